"""A study's trials as a file, streamed: CSV (RFC 4180) for spreadsheets, JSON Lines for code,
Parquet (`parquet.py`) for data frames.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

from ..service.exports import Column
from . import parquet
from .answers import dumps, instant, number
from .deps import Api

Row = Mapping[str, Any]
Writer = Callable[[Sequence[Column], Iterator[Row]], Iterator[bytes]]

_BATCH = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet may take for the beginning of a formula, full-width forms included; and the
apostrophe itself, so that whoever takes one off again gets the text that was there.
"""
_NAME_CHARS = 80
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%]')


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
    """A cell that no spreadsheet runs: text that looks like a formula gets an apostrophe; a number
    stays a number.
    """
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
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


def _in_batches(lines: Callable[[Sequence[str], Iterator[Row]], Iterator[str]]) -> Writer:
    def pieces(columns: Sequence[Column], rows: Iterator[Row]) -> Iterator[bytes]:
        made = lines([column.name for column in columns], rows)
        while batch := "".join(islice(made, _BATCH)):
            yield batch.encode()

    return pieces


FORMATS: Mapping[str, tuple[str, Writer]] = {
    "csv": ("text/csv; charset=utf-8; header=present", _in_batches(csv_lines)),
    "jsonl": ("application/jsonl", _in_batches(json_lines)),
    "parquet": (parquet.MEDIA_TYPE, parquet.parquet_pieces),
}
"""Media type and writer of each format."""


def disposition(study_id: str, study_name: str, file_format: str) -> str:
    """The Content-Disposition of an export (RFC 6266): the id as its plain name, and the study's
    name where it makes a file name (RFC 8187).
    """
    plain = f'attachment; filename="{study_id}.{file_format}"'
    name = file_name(study_name)
    return f"{plain}; filename*=UTF-8''{quote(name, safe='')}.{file_format}" if name else plain


def file_name(text: str) -> str:
    """A user's text as the stem of a file name: without folders, control characters, marks that
    turn the direction of text, or a dot in front; may be empty.
    """
    shown = "".join("_" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in text)
    return _NOT_IN_NAMES.sub("_", shown)[:_NAME_CHARS].strip(" .")


async def chunks(api: Api, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, each made in a thread."""
    while (piece := await api.call(next, pieces, None)) is not None:
        if piece:
            yield piece
