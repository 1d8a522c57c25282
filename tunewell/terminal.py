"""What standard output and standard error are, each judged by itself: a screen or not, with colour
or without; and what the caller wants of them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from dataclasses import dataclass
from typing import TextIO

FALLBACK_WIDTH = 80
"""Columns of a terminal that does not say how wide it is."""

ERASE_LINE = "\r\x1b[2K"
"""Takes the cursor's line off a screen."""

_COLOR = re.compile(r"(\x1b\[[0-9;]*m)")
"""What `painted` writes."""

_STYLES = {"bold": "1", "faint": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}

_STATE_STYLES = {
    "active": "green", "running": "green", "completed": "blue", "paused": "yellow",
    "stopping": "yellow", "stopped": "yellow", "pending": "faint", "cancelled": "faint",
    "infeasible": "yellow", "failed": "red",
}  # fmt: skip


@dataclass(slots=True)
class Wishes:
    """What this command was told.

    Attributes:
        is_quiet: say nothing but data and errors.
        no_color: no colour, whatever the environment says.
        is_noted: whether a note stands on the screen.
    """

    is_quiet: bool = False
    no_color: bool = False
    is_noted: bool = False


WISHES = Wishes()
"""Those of the command at hand."""


def forget_wishes() -> None:
    """As before any command."""
    clear_note()
    WISHES.is_quiet = WISHES.no_color = False


def is_screen(stream: TextIO) -> bool:
    """Whether the cursor can be moved there."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO) -> bool:
    """Whether text for people may be coloured there: `--no-color`, `NO_COLOR`, `FORCE_COLOR` and
    `TERM=dumb` count in this order; else terminals are coloured.
    """
    if WISHES.no_color or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_screen(stream)


def may_ask() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def width() -> int:
    """Columns of the terminal; `COLUMNS` goes before."""
    return max(20, shutil.get_terminal_size((FALLBACK_WIDTH, 24)).columns)


def painted(text: str, style: str | None, stream: TextIO) -> str:
    """A text in a style (a colour, bold, faint) where the stream has colour."""
    code = _STYLES.get(style or "")
    return text if code is None or not has_color(stream) else f"\x1b[{code}m{text}\x1b[0m"


def state_style(state: str) -> str | None:
    """The style of a state's name."""
    return _STATE_STYLES.get(state)


def say(text: str) -> None:
    """Talk: one line on standard error, but for those who asked for quiet."""
    if not WISHES.is_quiet:
        complain(text)


def complain(text: str) -> None:
    """One line on standard error that is said in any case: what went wrong."""
    clear_note()
    print(text, file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Says on a screen what is being waited for, until there is more to say."""
    if is_screen(sys.stderr) and not WISHES.is_quiet:
        print(text, end="", file=sys.stderr, flush=True)
        WISHES.is_noted = True


def clear_note() -> None:
    """Takes the note off the screen."""
    if WISHES.is_noted:
        print(ERASE_LINE, end="", file=sys.stderr, flush=True)
        WISHES.is_noted = False


def cells(text: str) -> int:
    """Columns that a text takes on a screen: wide letters take two, marks upon others none."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(c) for c in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, most: int) -> str:
    """A text that takes at most `most` columns (>= 1): its middle is left out."""
    if cells(text) <= most:
        return text
    head, tail = most // 2, (most - 1) // 2
    return f"{_taken(text, head)}…{_taken(text[::-1], tail)[::-1]}"


def cut_end(text: str, most: int) -> str:
    """A text, which may be coloured, that takes at most `most` columns (>= 1): its end is left
    out.
    """
    if cells(_COLOR.sub("", text)) <= most:
        return text
    parts, left = [], most - 1
    # Every second one is a sequence that sets a colour; the last of them sets none.
    for index, part in enumerate(_COLOR.split(text)):
        is_color = index % 2 == 1
        shown = part if is_color else _taken(part, left)
        left -= 0 if is_color else cells(shown)
        parts.append(shown)
        if not is_color and shown != part:
            break
    return "".join([*parts, "\x1b[0m…" if len(parts) > 1 else "…"])


def _taken(text: str, most: int) -> str:
    """The longest beginning of a text that takes at most `most` columns."""
    n_cells = 0
    for index, character in enumerate(text):
        n_cells += _cells_of(character)
        if n_cells > most:
            return text[:index]
    return text


def padded(text: str, wanted: int, *, right: bool = False) -> str:
    """A text filled up with blanks to `wanted` columns."""
    blanks = " " * max(0, wanted - cells(text))
    return blanks + text if right else text + blanks
