"""Tables: fitted to a terminal, or tab-separated in full."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .lines import cell, clean
from .terminal import cells, cut, padded, painted, say, state_style, width

_GAP = "  "
_LEAST_NAME = 12
"""Columns that a name keeps when it is cut."""
_GOOD_NAME = 28
"""Columns that a name has before others are left out for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        is_name: texts of people: their middle may be cut. Values are never cut.
        is_number: set to the right.
        is_state: coloured by what it says.
        rank: how soon it is left out where there is no room: the highest first; 0 never.
    """

    name: str
    is_name: bool = False
    is_number: bool = False
    is_state: bool = False
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """A value that people are shown in another way than programs."""

    people: str
    data: Any


def print_table(
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[Any]],
    *,
    empty: str,
    shown: Mapping[str, str] | None = None,
) -> None:
    """A table on a terminal, tab-separated lines when piped.

    Args:
        columns: in order.
        rows: values in the order of the columns.
        empty: is said when there is no row.
        shown: headings for people by column name, where programs get other ones.
    """
    heads = [Column(name=c) if isinstance(c, str) else c for c in columns]
    is_piped = not sys.stdout.isatty()
    texts = [[_text(value, is_piped=is_piped) for value in row] for row in rows]
    if not texts:
        say(empty)
        return
    if is_piped:
        for row in [[clean(head.name) for head in heads], *texts]:
            print("\t".join(row))
        return
    for line in table_lines(heads, texts, width(), shown or {}):
        print(line)
    sys.stdout.flush()
    if left_out := [clean(h.name) for h in _left_out(heads, texts, width())]:
        say(f"left out for room: {', '.join(left_out)}; --json has them")


def _text(value: Any, *, is_piped: bool) -> str:
    if isinstance(value, Both):
        value = value.data if is_piped else value.people
    if is_piped and isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    is_float = isinstance(value, float) and is_piped
    return repr(value) if is_float else cell(value)


def table_lines(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    room: int,
    shown: Mapping[str, str] | None = None,
) -> list[str]:
    """The lines of a table of at most `room` columns where that can be had without cutting a value.

    Args:
        columns: in order.
        rows: texts in the order of the columns.
        room: columns of the terminal.
        shown: headings in place of the columns' names.
    """
    kept = _kept(columns, rows, room)
    sizes = _sizes(columns, rows, kept, room)
    heads = [(shown or {}).get(c.name, c.name) for c in columns]
    lines = [_line([clean(head) for head in heads], columns, kept, sizes, head=True)]
    return lines + [_line(row, columns, kept, sizes) for row in rows]


def _natural(columns: Sequence[Column], rows: Sequence[Sequence[str]], index: int) -> int:
    return max(cells(clean(columns[index].name)), *(cells(row[index]) for row in rows), 1)


def _wanted(columns: Sequence[Column], rows: Sequence[Sequence[str]], index: int) -> int:
    full = _natural(columns, rows, index)
    return min(full, _GOOD_NAME) if columns[index].is_name else full


def _kept(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """Indices of the columns that have room beside names of a good length."""
    wanted = {i: _wanted(columns, rows, i) for i in range(len(columns))}
    kept = list(wanted)
    order = sorted((i for i in kept if columns[i].rank), key=lambda i: (columns[i].rank, i))
    while order and sum(wanted[i] for i in kept) + len(_GAP) * (len(kept) - 1) > room:
        kept.remove(order.pop())
    return kept


def _left_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[Column]:
    kept = set(_kept(columns, rows, room))
    return [column for index, column in enumerate(columns) if index not in kept]


def _sizes(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], kept: Sequence[int], room: int
) -> dict[int, int]:
    """Widths: each column's own, and what is left for the names, the widest cut first."""
    sizes = {i: _natural(columns, rows, i) for i in kept}
    too_much = sum(sizes.values()) + len(_GAP) * (len(kept) - 1) - room
    names = [i for i in kept if columns[i].is_name]
    while too_much > 0 and (widest := max(names, key=lambda i: sizes[i], default=None)) is not None:
        if sizes[widest] <= _LEAST_NAME:
            break
        sizes[widest] -= 1
        too_much -= 1
    return sizes


def _line(
    texts: Sequence[str],
    columns: Sequence[Column],
    kept: Sequence[int],
    sizes: Mapping[int, int],
    *,
    head: bool = False,
) -> str:
    parts = []
    for index in kept:
        column, size = columns[index], sizes[index]
        text = cut(texts[index], size) if column.is_name or head else texts[index]
        filled = padded(text, size, right=column.is_number)
        if index == kept[-1]:
            filled = filled.rstrip()
        style = "bold" if head else state_style(texts[index].split(" ")[0].rstrip(":"))
        parts.append(painted(filled, style if head or column.is_state else None, sys.stdout))
    return _GAP.join(parts)
