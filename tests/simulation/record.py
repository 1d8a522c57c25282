"""What was sent to the service and what it has acknowledged: the checker holds it to its word."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

_STRIDE, _N_VALUES = 611_953, 1_000_003
"""Steps of the one walk through all numbers below the other, a prime."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A write that the service has said it took."""

    lease_id: str
    kind: str
    body: dict[str, Any]
    answer: Any


@dataclass
class Record:
    """Gathers it over a whole simulation.

    Attributes:
        values: every value that was ever sent, by lease; no value is sent twice.
        acknowledged: in the order in which the answers came.
        enqueued: numbers of the acknowledged points of users.
    """

    values: dict[str, dict[float, tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    enqueued: list[int] = field(default_factory=list)
    _counter: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _names: dict[str, str] = field(default_factory=dict)

    def fresh_value(self) -> float:
        """A value that names the write that carries it; in no order, so that ranks are of all
        kinds.
        """
        return float(next(self._counter) * _STRIDE % _N_VALUES)

    def granted(self, granted: dict[str, Any], to: str) -> None:
        """A lease that somebody was given."""
        self._names.setdefault(granted["lease_id"], f"L{len(self._names)}({to})")

    def short(self, lease_id: str) -> str:
        """A name for a lease that is the same in each run of a seed."""
        return self._names.get(lease_id, "?")

    def sent(self, lease_id: str, kind: str, body: dict[str, Any]) -> None:
        """A write that is about to be sent, perhaps several times."""
        self.values.setdefault(lease_id, {})[body["value"]] = (kind, body)

    def answered(
        self, lease_id: str, kind: str, body: dict[str, Any], code: str, answer: Any
    ) -> None:
        """What the service said of a write."""
        if code == "ok":
            self.acknowledged.append(Acknowledged(lease_id, kind, body, answer))
