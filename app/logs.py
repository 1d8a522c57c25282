"""Logs as JSON lines on standard error: an event name and fields, one format for us and the
libraries.

What a request is about (its id, study, trial, worker, lease, token) is noted once, by `bind`, and
stands on every line that is written while it is served, in whichever thread.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_about: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

_CHARS = 100
"""How much of an id that somebody sent is written."""

OURS = (__name__.rpartition(".")[0] or "app", "tunewell")
"""The loggers that the level of the settings is for; libraries speak from WARNING on."""


@contextmanager
def serving(request_id: str) -> Iterator[dict[str, str]]:
    """A block in which one request is served; gives the fields that its lines carry."""
    fields = {"request_id": request_id}
    token = _about.set(fields)
    try:
        yield fields
    finally:
        _about.reset(token)


def bind(**fields: str | None) -> None:
    """Notes what the request is about, for all its further lines; None notes nothing."""
    about = _about.get()
    if about is not None:
        known = {name: value[:_CHARS] for name, value in fields.items() if value is not None}
        about.update(known)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, the fields given as `extra`, those of the
    request, the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(_about.get() or {})
        line.update({k: v for k, v in vars(record).items() if k not in _PLAIN})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str = "INFO") -> None:
    """Sends all logs of this process to standard error as JSON lines.

    Args:
        level: from which on our own lines are written; those of libraries from WARNING on, or from
            this level where it is higher.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    least = max(logging.WARNING, logging.getLevelNamesMapping()[level])
    logging.basicConfig(level=least, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
