"""How fast a study goes, and when it may be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=10)
AT_LEAST = 10
"""The rate is that of the last so many trials, or of the last ten minutes where these have more."""
FEWEST = 3
"""Before so many trials have ended nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A trial that has ended.

    Attributes:
        at: when.
        took_s: how long it took, None where nobody knows.
        holds_place: whether it counts in the study's budget: one that failed does not.
    """

    at: datetime
    took_s: float | None
    holds_place: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What can be said of a study's speed; None where it cannot.

    Attributes:
        rate_per_h: trials that end in an hour.
        left_s: seconds to the last trial at that rate, where as large a part as lately counts.
        low_s, high_s: the same if trials take as long as a quarter of them took at most, or as
            three quarters, up to the end of the study's own time.
    """

    rate_per_h: float | None = None
    left_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None


def pace_of(ended: Sequence[Ended], n_left: int | None, most_s: float | None) -> Pace:
    """The pace by the trials that ended last.

    Args:
        ended: latest first.
        n_left: trials of the budget still to end; None where nobody knows.
        most_s: seconds until the study's own time is over, or None.
    """
    if len(ended) < FEWEST:
        return Pace()
    latest = ended[0].at
    n_within = sum(one.at > latest - WINDOW for one in ended)
    recent = ended[: max(AT_LEAST, n_within)]
    span_s = (latest - recent[-1].at).total_seconds()
    if span_s <= 0:
        return Pace()
    rate = (len(recent) - 1) / span_s
    counted = [one for one in recent if one.holds_place]
    if n_left is None or not counted:
        return Pace(rate_per_h=3600 * rate)
    left = n_left / rate * len(recent) / len(counted)
    shortest, middle, longest = _quartiles([one.took_s for one in counted if one.took_s])
    low, high = left * shortest / middle, left * longest / middle
    most = high if most_s is None else max(0.0, most_s)
    return Pace(rate_per_h=3600 * rate, left_s=left, low_s=min(low, most), high_s=min(high, most))


def _quartiles(durations: Sequence[float]) -> tuple[float, float, float]:
    """Durations that a quarter, a half and three quarters of the trials took at most; 1 each where
    nobody knows any.
    """
    if not durations:
        return 1.0, 1.0, 1.0
    ordered, last = sorted(durations), len(durations) - 1
    low, middle, high = (ordered[round(share * last)] for share in (0.25, 0.5, 0.75))
    return low, middle, high
