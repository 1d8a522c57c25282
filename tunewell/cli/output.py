"""What the commands share: options, connections, and how they print.

Tables and lines for people, JSON for programs, talk on standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._parts import part
from ..errors import ApiError, NotInstalled, TunewellError
from ..lines import cell, clean

if TYPE_CHECKING:
    from ..client import Client

RETRY_S = 1.0
"""For how long one command tries to reach the service."""

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="TUNEWELL_URL",
        help="Address of the service; http://127.0.0.1:8700 by default.",
        show_default=False,
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", envvar="TUNEWELL_TOKEN", help="Bearer token.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class DatabaseRefused(TunewellError):
    """What the service's part says of a call straight to the database."""

    def __init__(self, detail: str, code: str) -> None:
        super().__init__(detail)
        self.exit_status = _STATUS.get(code, 1)


_STATUS = {"storage-busy": 3, "invalid-value": 2}


@contextmanager
def refusals() -> Iterator[None]:
    """What the service's part refuses in the block, as our errors."""
    errors = load("app", "errors", extra="server")
    try:
        yield
    except errors.AppError as error:
        raise DatabaseRefused(str(error.detail), str(error.code)) from error


@contextmanager
def opened(what: str, database_url: str | None) -> Iterator[Any]:
    """What a function of the service's `main` opens of a database; its refusals as our errors."""
    main = load("app", "main", extra="server")
    with refusals():
        found = getattr(main, what)(database_url)
        try:
            yield found
        finally:
            found.close()


def connect(url: str | None, token: str | None) -> Client:
    """A client for one command: it tries a few times, then says that nobody answers."""
    from ..client import Client

    return Client(url, token, retry_s=RETRY_S)


def load(name: str, module: str, *, extra: str) -> ModuleType:
    """A module of the service or the worker.

    Raises:
        NotInstalled: it, or something that it needs, is not installed.
    """
    try:
        return part(name, module)
    except ModuleNotFoundError as error:
        raise NotInstalled(
            f"this command needs {error.name or error}, which is not installed: "
            f"pip install 'tunewell[{extra}]'"
        ) from error


def say(text: str) -> None:
    """Talk: one line on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Data: one JSON document on standard output."""
    print(json.dumps(value, indent=2), flush=True)


def print_json_line(value: Any) -> None:
    """Data: one JSON document on one line of standard output."""
    print(json.dumps(value), flush=True)


def problem_lines(error: ApiError) -> list[str]:
    """A refusal with each of its faults, and what to do next."""
    lines = [f"tunewell: {clean(error.detail)} ({clean(error.code)})"]
    for fault in error.errors:
        lines.append(f"  {clean(fault.get('pointer') or '/')}: {clean(fault.get('detail', ''))}")
    for change in error.problem.get("diff") or ():
        there, given = json.dumps(change.get("stored")), json.dumps(change.get("given"))
        lines.append(f"  {clean(str(change.get('pointer')))}: is {there}, given {given}")
    if error.code == "unauthenticated":
        lines.append("  give a token with --token or TUNEWELL_TOKEN")
    if error.code == "already-exists" and "study_id" in error.problem:
        found = clean(str(error.problem["study_id"]))
        lines.append(f"  follow it with `tunewell study watch {found}`, or give --name another one")
    if error.status >= 500 and "request_id" in error.problem:
        lines.append(f"  request {clean(str(error.problem['request_id']))}")
    return lines


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """A table on a terminal, tab-separated lines when piped; `empty` is said when there is none."""
    shown = [[cell(value) for value in row] for row in rows]
    if not shown:
        say(empty)
        return
    if not sys.stdout.isatty():
        for row in [list(columns), *shown]:
            print("\t".join(row))
        return
    _print_rich_table(columns, shown)


def _print_rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(Text(clean(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    Console().print(table)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line; those without a value are left out."""
    for name, value in facts:
        if value is not None and value != "":
            print(f"{name:<12} {cell(value)}")
