"""A study's trials as a file, streamed: CSV (RFC 4180) for spreadsheets, JSON Lines for code."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from .answers import dumps, instant
from .deps import Api

Row = Mapping[str, Any]

_BATCH = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet may take for the beginning of a formula."""


def csv_lines(columns: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    """A header and one record a trial, ended by CRLF; an empty cell where a trial has no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in columns])
    yield _taken(text)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
        yield _taken(text)


def _taken(text: io.StringIO) -> str:
    line = text.getvalue()
    text.seek(0)
    text.truncate()
    return line


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet runs: what looks like a formula gets an apostrophe."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def json_lines(columns: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    """One object a trial, with the columns as its names; absent values are left out."""
    for row in rows:
        shown = {name: _plain(row[name]) for name in columns if row.get(name) is not None}
        yield dumps(shown) + "\n"


def _plain(value: Any) -> Any:
    return instant(value) if isinstance(value, datetime) else value


FORMATS: Mapping[str, tuple[str, Callable[[Sequence[str], Iterator[Row]], Iterator[str]]]] = {
    "csv": ("text/csv; charset=utf-8; header=present", csv_lines),
    "jsonl": ("application/jsonl", json_lines),
}
"""Media type and writer of each format."""


async def chunks(api: Api, lines: Iterator[str]) -> AsyncIterator[str]:
    """The lines in batches, each made in a thread."""

    def take() -> str:
        return "".join(islice(lines, _BATCH))

    while chunk := await api.call(take):
        yield chunk
