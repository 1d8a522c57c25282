"""A trial's channel for objectives that are run without a worker."""

from __future__ import annotations

from collections.abc import Mapping


class Nowhere:
    """Takes the reports and forgets them."""

    should_stop = False
    should_checkpoint = False
    to_step = None

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        """Forgets a report."""

    def elapsed_s(self) -> float:
        """No time passes here."""
        return 0.0
