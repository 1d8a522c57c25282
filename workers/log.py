"""The worker's own lines: each event in words, or as a JSON line with its name and fields."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from . import talk


class Log:
    """Writes a line for each event; safe to call from any thread.

    Args:
        json_lines: whether a line is a JSON object.
        out: where to write; standard output by default.
    """

    def __init__(self, *, json_lines: bool = False, out: TextIO | None = None) -> None:
        self._json_lines = json_lines
        self._out = out or sys.stdout
        self._lock = threading.Lock()
        self._about: dict[str, Any] = {}
        self._talk = talk.Talk()

    def bind(self, **fields: Any) -> None:
        """Has each further JSON line carry these fields; lines for people stay short."""
        self._about = {**self._about, **fields}

    def __call__(self, event: str, **fields: Any) -> None:
        """Notes an event. Errors are told to people on standard error, in either way."""
        if event in talk.ERRORS:
            self._write(sys.stderr, talk.error_lines(event, fields))
        if self._json_lines:
            self._write(self._out, [self._as_json(event, fields)])
        elif event not in talk.ERRORS and (text := self._talk(event, fields)) is not None:
            self._write(self._out, [f"{_clock(self._out)} {text}"])

    def _write(self, out: TextIO, lines: Sequence[str]) -> None:
        with self._lock:
            try:
                out.writelines(f"{line}\n" for line in lines)
                out.flush()
            except (OSError, ValueError):
                # A reader that is gone must not end the training.
                return

    def _as_json(self, event: str, fields: dict[str, Any]) -> str:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "event": event, **self._about, **fields}, default=str)


def _clock(out: TextIO) -> str:
    """The time for a line: of the wall on a terminal, else in full."""
    if out.isatty():
        return datetime.now().astimezone().strftime("%H:%M:%S")
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
