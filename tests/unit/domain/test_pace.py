"""How fast a study goes: windows, quartiles, and when nothing can be said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.pace import Ended, Pace, pace_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ended(*seconds_ago: float, took_s: float | None = 10.0) -> list[Ended]:
    return [Ended(at=NOW - timedelta(seconds=s), took_s=took_s) for s in seconds_ago]


def test_before_three_trials_nothing_is_said() -> None:
    assert pace_of(ended(0, 60), 10, None) == Pace()
    assert pace_of(ended(0, 0, 0), 10, None) == Pace()  # all imported at once


def test_the_rate_is_that_of_the_last_ten_or_of_ten_minutes() -> None:
    slow = ended(*(k * 3600 for k in range(30)))
    assert pace_of(slow, None, None).rate_per_h == pytest.approx(1.0)
    fast = ended(*(k * 10 for k in range(50)), *(86_400 + k for k in range(50)))
    assert pace_of(fast, None, None).rate_per_h == pytest.approx(360.0)


def test_the_time_left_is_between_short_and_long_trials() -> None:
    took = [5.0, 10.0, 10.0, 10.0, 40.0]
    trials = [Ended(at=NOW - timedelta(seconds=60 * k), took_s=took[k % 5]) for k in range(10)]
    found = pace_of(trials, 20, None)
    assert (found.low_s, found.high_s) == (pytest.approx(1200), pytest.approx(1200))
    uneven = [Ended(at=one.at, took_s=k + 1.0) for k, one in enumerate(trials)]
    found = pace_of(uneven, 20, None)
    assert found.low_s is not None
    assert found.high_s is not None
    assert found.low_s < 1200 < found.high_s
    assert pace_of(uneven, 20, 100.0).high_s == 100.0
    assert pace_of(uneven, 20, -5.0).low_s == 0.0


def test_trials_of_unknown_duration_have_one_time_left() -> None:
    found = pace_of(ended(0, 60, 120, took_s=None), 6, None)
    assert found.low_s == found.high_s == pytest.approx(360)


def test_trials_that_hold_no_place_bring_the_end_no_nearer() -> None:
    every_other = [
        Ended(at=one.at, took_s=1.0 if k % 2 else 10.0, holds_place=k % 2 == 0)
        for k, one in enumerate(ended(*(60 * k for k in range(10))))
    ]
    found = pace_of(every_other, 20, None)
    assert found.rate_per_h == pytest.approx(60.0)
    assert (found.left_s, found.low_s, found.high_s) == pytest.approx((2400, 2400, 2400))
    none = [Ended(at=one.at, took_s=1.0, holds_place=False) for one in every_other]
    assert pace_of(none, 20, None) == Pace(rate_per_h=found.rate_per_h)
