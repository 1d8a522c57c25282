"""Which failures are retried, and how long a trial waits before it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.retry import backoff_s, is_retried
from app.domain.study import FailurePolicy
from app.domain.trial import FailureKind

DEFAULTS = {
    FailureKind.USER_ERROR: True,
    FailureKind.OOM: True,
    FailureKind.TIMEOUT: False,
    FailureKind.NAN: False,
    FailureKind.PREEMPTED: True,
    FailureKind.INFRASTRUCTURE: True,
}


@pytest.mark.parametrize("kind", FailureKind)
def test_what_would_only_fail_again_is_not_retried(kind: FailureKind) -> None:
    assert is_retried(FailurePolicy(), kind) is DEFAULTS[kind]


@pytest.mark.parametrize("kind", ["user_error", "oom", "nan", "timeout"])
def test_the_policy_decides_for_each_kind(kind: str) -> None:
    for is_on in (True, False):
        policy = FailurePolicy(**{f"retry_{kind}": is_on})  # type: ignore[arg-type]
        assert is_retried(policy, FailureKind(kind)) is is_on


def test_a_wait_is_the_same_each_time_and_other_for_each_attempt() -> None:
    waits = [backoff_s(FailurePolicy(), "tr_1", attempts) for attempts in (1, 2, 3)]
    assert waits == [backoff_s(FailurePolicy(), "tr_1", attempts) for attempts in (1, 2, 3)]
    assert len({wait / 2**k for k, wait in enumerate(waits)}) == 3


@given(st.text(max_size=30), st.integers(1, 10_000), st.floats(0, 3600), st.floats(0, 86_400))
def test_no_wait_passes_its_bounds(trial_id: str, attempts: int, base: float, most: float) -> None:
    wait = backoff_s(FailurePolicy(backoff_s=base, max_backoff_s=most), trial_id, attempts)
    assert 0.0 <= wait <= most
    assert wait <= base * 2.0 ** min(attempts - 1, 64)


def test_waits_spread_over_the_whole_of_their_range() -> None:
    """Trials that fail together, say with their file server, do not come back together."""
    policy = FailurePolicy(backoff_s=64.0)
    waits = [backoff_s(policy, f"tr_{k}", 1) for k in range(400)]
    for quarter in range(4):
        assert sum(16 * quarter <= wait < 16 * (quarter + 1) for wait in waits) > 70
