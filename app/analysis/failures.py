"""What breaks, and where: failures that are alike, together."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .envelope import Envelope

MOST_GROUPS = 50
_MOST_NUMBERS = 20
_MOST_TRACEBACK = 4_000
_VARIES = re.compile(r"0x[0-9a-fA-F]+|\d+")
"""What differs between two failures of one cause: addresses, sizes, steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A failed attempt."""

    number: int
    kind: str
    message: str
    traceback: str
    holder: str
    at: datetime


def fingerprint(kind: str, message: str, traceback: str) -> str:
    """The same for failures of the same kind that end in the same frame with the same words,
    whatever the numbers in them.
    """
    frames = [line.strip() for line in traceback.splitlines() if line.lstrip().startswith("File ")]
    first_line = message.splitlines()[0] if message else ""
    text = "\n".join([kind, frames[-1] if frames else "", _VARIES.sub("#", first_line)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def failures(attempts: Sequence[Failed], *, change_seq: int, n_total: int) -> Envelope:
    """Groups of failed attempts, the largest first; the message and traceback are the newest's."""
    groups: dict[str, list[Failed]] = {}
    for failed in sorted(attempts, key=lambda each: each.at):
        key = fingerprint(failed.kind, failed.message, failed.traceback)
        groups.setdefault(key, []).append(failed)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:MOST_GROUPS]
    rows = [_row(key, group) for key, group in largest]
    names = (
        "kind",
        "fingerprint",
        "message",
        "traceback",
        "n",
        "first_at",
        "last_at",
        "holders",
        "numbers",
    )
    return Envelope(
        kind="failures",
        change_seq=change_seq,
        n_total=n_total,
        n_used=len({failed.number for failed in attempts}),
        n_shown=len(rows),
        sampling="all" if len(rows) == len(groups) else "largest",
        columns={name: [row[name] for row in rows] for name in names},
    )


def _row(key: str, group: Sequence[Failed]) -> dict[str, Any]:
    last = group[-1]
    numbers = sorted({failed.number for failed in group})
    return {
        "kind": last.kind,
        "fingerprint": key,
        "message": last.message,
        "traceback": last.traceback[-_MOST_TRACEBACK:],
        "n": len(group),
        "first_at": group[0].at,
        "last_at": last.at,
        "holders": dict(Counter(failed.holder for failed in group)),
        "numbers": numbers[-_MOST_NUMBERS:],
    }
