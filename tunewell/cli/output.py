"""How commands print: tables and lines for people, JSON for programs, talk on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..client import Client
from ..errors import ApiError
from ..lines import cell

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="TUNEWELL_URL", help="Address of the service.", show_default=False
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", envvar="TUNEWELL_TOKEN", help="Bearer token.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def connect(url: str | None, token: str | None) -> Client:
    """A client for one command: it tries a few times, then says that nobody answers."""
    return Client(url, token, retries=3)


def say(text: str) -> None:
    """Talk: one line on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Data: one JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)


def print_problem(error: ApiError) -> None:
    """A refusal with each of its faults."""
    say(f"tunewell: {error.detail} ({error.code})")
    for fault in error.faults:
        say(f"  {fault.get('pointer') or '/'}: {fault.get('detail')}")
    if error.code == "unauthenticated":
        say("  Give a token with --token or TUNEWELL_TOKEN.")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """A table that fits a terminal; tab-separated lines when piped; `empty` when there is none."""
    shown = [[cell(value) for value in row] for row in rows]
    if not shown:
        say(empty)
        return
    if not sys.stdout.isatty():
        for row in [list(columns), *shown]:
            print("\t".join(row))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in shown:
        table.add_row(*(escape(text) for text in row))
    Console().print(table)


def ago(text: str | None) -> str:
    """How long ago an instant was, in words."""
    if text is None:
        return "-"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def best_of(study: Mapping[str, Any]) -> Any:
    """The best trial's value of the study's first metric, or None."""
    best = study.get("best")
    if not best:
        return None
    metric = study["definition"]["metrics"][0]["name"]
    return best["values"].get(metric)


def progress_of(study: Mapping[str, Any]) -> str:
    """Finished trials of the budget, and how many run."""
    counts: Mapping[str, int] = study["trial_counts"]
    done = sum(counts.get(state, 0) for state in ("completed", "stopped", "infeasible"))
    total = (study["definition"].get("limits") or {}).get("max_trials")
    running = counts.get("running", 0)
    text = f"{done}/{total}" if total else str(done)
    return f"{text} (+{running} running)" if running else text
