"""A trial that keeps what is reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunewell.objective import Trial


class Kept:
    """Keeps the reports; asks to stop after a number of them, if one is given."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.reports: list[tuple[int, dict[str, float]]] = []
        self._stop_after = stop_after

    @property
    def should_stop(self) -> bool:
        return self._stop_after is not None and len(self.reports) >= self._stop_after

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        self.reports.append((step, dict(values)))

    def elapsed_s(self) -> float:
        return 0.0


def trial(
    params: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    *,
    number: int = 1,
    kept: Kept | None = None,
) -> Trial:
    """A trial of a point."""
    return Trial(
        id="tr_1", number=number, params=params, options=options or {}, channel=kept or Kept()
    )
