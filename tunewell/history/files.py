"""Reads CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import why
from .records import BadHistory, History, Row

_FORMULA = ("=", "+", "-", "@", "'")
"""What our own exports put an apostrophe before."""


def read_csv(source: str) -> History:
    """A CSV file with a header; commas, semicolons or tabs between its cells.

    Args:
        source: its path, or "-" for standard input.

    Raises:
        BadHistory: it cannot be read, or has no header.
    """
    text, name = _text_of(source)
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise BadHistory(f"{name}, line {reader.line_num}: {error}") from error
    if not lines:
        raise BadHistory(f"{name} is empty: its first line names the columns")
    heads = [_unquoted(head.strip()) for head in lines[0][1]]
    twice = {head for head in heads if heads.count(head) > 1 and head}
    if twice:
        raise BadHistory(f"{name}: two columns are named {min(twice)!r}")
    rows = [_csv_row(name, number, heads, cells) for number, cells in lines[1:]]
    return History(name=name, columns=[head for head in heads if head], rows=rows)


def _csv_row(name: str, number: int, heads: list[str], cells: list[str]) -> Row:
    if len(cells) > len(heads):
        raise BadHistory(
            f"{name}, line {number}: {len(cells)} cells, but the header names {len(heads)} columns"
        )
    found = zip(heads, (_unquoted(cell.strip()) for cell in cells), strict=False)
    columns = {head: cell for head, cell in found if head and cell}
    return Row(place=f"line {number}", columns=columns)


def _unquoted(cell: str) -> str:
    """A cell as it was before an export kept spreadsheets from running it."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def read_jsonl(source: str) -> History:
    """JSON lines: an object a line. Objects in it are columns with a dot: `params.lr`.

    Args:
        source: its path, or "-" for standard input.

    Raises:
        BadHistory: it cannot be read, or a line is no object.
    """
    text, name = _text_of(source)
    rows = [_json_row(name, number, line) for number, line in _lines(text)]
    return History(name=name, columns=columns_of(rows), rows=rows)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _json_row(name: str, number: int, line: str) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadHistory(f"{name}, line {number} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadHistory(f"{name}, line {number} is no JSON object")
    try:
        curve = _curve_of(found)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadHistory(
            f"{name}, line {number}: curve is a list of pairs of a whole step and a number: {error}"
        ) from error
    return Row(place=f"line {number}", columns=dict(_flat(found)), curve=curve)


def _flat(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        elif value is not None and not isinstance(value, list):
            yield name, value


def _curve_of(found: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Reports where a line has them as `curve`: a list of pairs of step and value.

    Raises:
        TypeError, ValueError, OverflowError: it is a list of something else.
    """
    curve = found.get("curve")
    pairs = curve if isinstance(curve, list) else []  # else it may be a parameter of that name
    return [(_whole(step), float(value)) for step, value in pairs]


def _whole(step: Any) -> int:
    if int(step) != float(step):
        raise ValueError(f"{step} is no whole number")
    return int(step)


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Names of all columns of some rows, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row.columns))


def _text_of(source: str) -> tuple[str, str]:
    if source == "-":
        return sys.stdin.read(), "standard input"
    try:
        return Path(source).read_text(encoding="utf-8-sig"), source
    except (OSError, UnicodeDecodeError) as error:
        raise BadHistory(f"{source} cannot be read: {why(error)}") from error
