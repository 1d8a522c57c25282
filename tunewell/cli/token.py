"""tunewell token: create, list, revoke: against the database, or over HTTP when a URL is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from ..lines import cell
from ..tables import Both
from .app import App
from .output import (
    Column,
    Json,
    TokenOption,
    Url,
    Yes,
    connect,
    go_on_or_leave,
    opened,
    print_json,
    print_table,
    say,
)
from .service import DatabaseUrl

app = App("Tokens: the first one turns auth on for good. Without --url: those of the database.")

COLUMNS = (
    Column(name="name", is_name=True),
    Column(name="role"),
    Column(name="prefix", rank=5),
    Column(name="expires_at"),
    Column(name="revoked_at"),
    Column(name="id"),
    Column(name="last_used_at", rank=9),
)
_HEADS = {"expires_at": "expires", "revoked_at": "revoked", "last_used_at": "last used"}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FIELDS = ("id", "name", "role", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at")


@app.command()
def create(
    role: Annotated[
        Literal["reader", "worker", "submitter", "admin"], typer.Option(help="What it may do.")
    ],
    name: Annotated[str, typer.Option(help="What the token is for.")],
    expires_in: Annotated[
        str | None, typer.Option(help="Such as 12h or 30d; never by default.", show_default=False)
    ] = None,
    database_url: DatabaseUrl = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Make a token and print its secret, which is shown this once."""
    seconds = _seconds(expires_in)
    if _is_remote(url, database_url):
        with connect(url, token) as client:
            made = client.create_token(name, role, seconds)
    else:
        with opened("local_tokens", database_url) as tokens:
            found, secret = tokens.create(name, role, seconds)
        made = {**_plain(found), "secret": secret}
    if json:
        print_json(made)
        return
    print(made["secret"])
    ends = made["expires_at"] and datetime.fromisoformat(str(made["expires_at"]))
    until = f", until {cell(ends)} UTC" if ends else ""
    say(f"{made['role']} token {cell(made['name'])} ({made['id']}){until}; not shown again")


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
        with opened("local_tokens", database_url) as tokens:
            found = [_plain(each) for each in tokens.list()]
    if json:
        print_json({"tokens": found})
        return
    rows = [[_shown(each, column.name) for column in COLUMNS] for each in found]
    print_table(COLUMNS, rows, empty="No token: auth is off.", shown=_HEADS)


def _shown(token: Mapping[str, Any], column: str) -> Any:
    """A value of a token; of a time the day is enough for people."""
    value = token.get(column)
    is_time = column.endswith("_at") and isinstance(value, str)
    return Both(people=value[:10], data=value) if is_time and value else value


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id.")],
    yes: Yes = False,
    database_url: DatabaseUrl = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """End a token at once, in every process."""
    go_on_or_leave(f"Whoever uses {cell(token_id)} is shut out for good. Revoke it?", yes=yes)
    if _is_remote(url, database_url):
        with connect(url, token) as client:
            revoked = client.revoke_token(token_id) or {"id": token_id}
    else:
        with opened("local_tokens", database_url) as tokens:
            revoked = _plain(tokens.revoke(token_id))
    if json:
        print_json(revoked)
    else:
        print(f"{cell(revoked['id'])}  revoked")


def _is_remote(url: str | None, database_url: str | None) -> bool:
    """Over HTTP, unless a database is named: the first token is made beside the service."""
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
    found = {name: getattr(token, name) for name in _FIELDS}
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in found.items()
    }
