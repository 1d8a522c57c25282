"""Whether a failed trial runs again, and when. Pure; the same trial always waits the same time."""

from __future__ import annotations

import hashlib

from .study import FailurePolicy
from .trial import FailureKind

_BACKOFF_FACTOR = 2.0
_LARGEST_EXPONENT = 64
"""Far past any bound of the doubling; a larger one could overflow."""


def is_retried(policy: FailurePolicy, kind: FailureKind) -> bool:
    """Whether a failure of this kind leaves the trial a further attempt, if it has one left."""
    return {
        FailureKind.USER_ERROR: policy.retry_user_error,
        FailureKind.OOM: policy.retry_oom,
        FailureKind.NAN: policy.retry_nan,
        FailureKind.TIMEOUT: policy.retry_timeout,
    }.get(kind, True)


def backoff_s(policy: FailurePolicy, trial_id: str, attempts: int) -> float:
    """Seconds that a trial waits before its next attempt.

    Exponential with full jitter (Brooker 2015, "Exponential Backoff And Jitter"), the jitter drawn
    from the trial and the attempt, so that it can be derived again.

    Args:
        policy: its `backoff_s` and `max_backoff_s` bound the wait.
        trial_id: the trial.
        attempts: failures that used up an attempt so far, the present one included; >= 1.
    """
    doubled = policy.backoff_s * _BACKOFF_FACTOR ** min(attempts - 1, _LARGEST_EXPONENT)
    return min(doubled, policy.max_backoff_s) * _share(f"{trial_id}/{attempts}")


def _share(name: str) -> float:
    """A number in [0, 1) that looks random and depends on the name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
