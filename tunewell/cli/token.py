"""tunewell token: create, list, revoke. Against the database, or over HTTP when --url is given."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from .._parts import part
from .output import Json, TokenOption, Url, connect, print_json, print_table, say
from .service import DatabaseUrl

app = typer.Typer(no_args_is_help=True, help="Tokens: the first one turns auth on for good.")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@app.command()
def create(
    role: Annotated[str, typer.Option(help="reader, worker, submitter or admin.")],
    name: Annotated[str, typer.Option(help="What the token is for.")],
    expires_in: Annotated[
        str | None, typer.Option(help="Such as 12h or 30d.", show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the secret alone.")] = False,
    database_url: DatabaseUrl = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Make a token. Its secret is shown this once."""
    seconds = _seconds(expires_in)
    if role not in ("reader", "worker", "submitter", "admin"):
        raise typer.BadParameter(f"a role is reader, worker, submitter or admin, not {role!r}")
    if _is_remote(url, database_url):
        with connect(url, token) as client:
            made = client.create_token(name, role, seconds)
    else:
        tokens = part("app", "main").local_tokens(database_url)
        try:
            found, secret = tokens.create(name, role, seconds)
        finally:
            tokens.close()
        made = {**_plain(found), "secret": secret}
    if json:
        print_json(made)
    elif quiet:
        print(made["secret"])
    else:
        print(made["secret"])
        say(f"{made['role']} token {made['name']} ({made['id']}). It is not shown again.")


@app.command("list")
def list_tokens(
    database_url: DatabaseUrl = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """List tokens, without their secrets."""
    if _is_remote(url, database_url):
        with connect(url, token) as client:
            found = list(client.list_tokens())
    else:
        tokens = part("app", "main").local_tokens(database_url)
        try:
            found = [_plain(each) for each in tokens.list()]
        finally:
            tokens.close()
    if json:
        print_json({"tokens": found})
        return
    names = ("name", "role", "prefix", "expires_at", "revoked_at", "id")
    print_table(names, [[t[n] for n in names] for t in found], empty="No token yet: auth is off.")


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id.")],
    database_url: DatabaseUrl = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """End a token at once, in every process."""
    if _is_remote(url, database_url):
        with connect(url, token) as client:
            client.revoke_token(token_id)
    else:
        tokens = part("app", "main").local_tokens(database_url)
        try:
            tokens.revoke(token_id)
        finally:
            tokens.close()
    if json:
        print_json({"id": token_id, "revoked": True})
    else:
        print(f"{token_id}  revoked")


def _is_remote(url: str | None, database_url: str | None) -> bool:
    return url is not None and database_url is None


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise typer.BadParameter(f"a time is a number with s, m, h, d or w, not {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def _plain(token: Any) -> dict[str, Any]:
    """A token of the database as the service would show it."""
    names = ("id", "name", "role", "prefix", "created_at", "expires_at", "revoked_at")
    found = {name: getattr(token, name) for name in names}
    return {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in found.items()}
