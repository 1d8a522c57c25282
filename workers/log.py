"""The worker's own lines: an event name in snake case and fields, as text or as JSON lines."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from typing import Any, TextIO


class Log:
    """Writes one line per event; safe to call from any thread.

    Args:
        json_lines: whether a line is a JSON object.
        out: where to write; standard output by default.
    """

    def __init__(self, *, json_lines: bool = False, out: TextIO | None = None) -> None:
        self._json_lines = json_lines
        self._out = out or sys.stdout
        self._lock = threading.Lock()
        self._about: dict[str, Any] = {}

    def bind(self, **fields: Any) -> None:
        """Has each further JSON line carry these fields; lines for people stay short."""
        self._about = {**self._about, **fields}

    def __call__(self, event: str, **fields: Any) -> None:
        """Notes an event."""
        line = self._as_json(event, fields) if self._json_lines else _as_text(event, fields)
        with self._lock:
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except (OSError, ValueError):
                # A reader that is gone must not end the training.
                return

    def _as_json(self, event: str, fields: dict[str, Any]) -> str:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "event": event, **self._about, **fields}, default=str)


def _as_text(event: str, fields: dict[str, Any]) -> str:
    shown = [f"{key}={_shown(value)}" for key, value in fields.items() if value is not None]
    return "  ".join([event, *shown])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    is_plain = text.isprintable() and " " not in text and text
    # What a terminal obeys, and a line end that would begin a line of its own, are spelled out.
    return text if is_plain or not isinstance(value, str) else json.dumps(text)
