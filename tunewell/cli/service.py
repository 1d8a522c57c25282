"""serve, migrate, demo, version."""

from __future__ import annotations

from typing import Annotated

import typer

from .._parts import part
from .output import Json, print_json

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="TUNEWELL_DATABASE_URL",
        help="sqlite:///path or postgresql://...; default: a file in your data folder.",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands that stand at the top."""
    app.command()(serve)
    app.command()(migrate)
    app.command()(demo)
    app.command()(version)


def serve(
    host: Annotated[str, typer.Option(envvar="TUNEWELL_HOST", help="Listen here.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="TUNEWELL_PORT", min=0, max=65535, help="0 picks a free one.")
    ] = 8700,
    database_url: DatabaseUrl = None,
    migrate: Annotated[
        bool, typer.Option("--migrate/--no-migrate", help="Bring the schema up to date first.")
    ] = True,
    lease_ttl_s: Annotated[
        float | None, typer.Option(envvar="TUNEWELL_LEASE_TTL_S", help="Seconds a lease lasts.")
    ] = None,
    suggest_wait_s: Annotated[
        float | None,
        typer.Option(envvar="TUNEWELL_SUGGEST_WAIT_S", help="Seconds a claim waits for the model."),
    ] = None,
    json: Json = False,
) -> None:
    """Run the service. Prints one line with `ready` and its address once it listens."""
    status = part("app", "main").serve(
        host=host,
        port=port,
        database_url=database_url,
        migrate=migrate,
        json_lines=json,
        lease_ttl_s=lease_ttl_s,
        suggest_wait_s=suggest_wait_s,
    )
    raise typer.Exit(status)


def migrate(
    database_url: DatabaseUrl = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether one is due.")] = False,
    json: Json = False,
) -> None:
    """Bring the database's schema up to date."""
    status = part("app", "main").migrate(database_url, check=check, json_lines=json)
    raise typer.Exit(status)


def demo(
    json: Json = False,
    keep: Annotated[
        bool | None,
        typer.Option("--serve/--no-serve", help="Go on serving afterwards.", show_default=False),
    ] = None,
) -> None:
    """Tune a small network on MNIST three times: by random search, GP and TPE."""
    from ..demo import run_demo

    raise typer.Exit(run_demo(as_json=json, keep_serving=keep))


def version(json: Json = False) -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    found = version_of("tunewell")
    if json:
        print_json({"version": found})
    else:
        print(found)
