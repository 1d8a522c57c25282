"""How a study goes: its rate, the time that is left, its trend and what failed last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..domain.study import Study, StudyState
from ..domain.trial import TrialState
from ..store import progress, trial_sets
from ..store.progress import EndedTrial
from .views import RecentTrials, StudySummary

TREND_POINTS = 32
_READ = 200
_RATE_TRIALS = 10
_RATE_WINDOW = timedelta(minutes=10)
_RECENT = 10
_FEWEST_FOR_ETA = 3
_FEWEST_FOR_SPREAD = 8
_SHOWN_FAILURES = 3


def summary_of(conn: Connection, study: Study, now: datetime) -> StudySummary:
    """Rate, time left, trend and last failures of a study."""
    first = study.definition.objectives[0]
    ended = progress.last_ended(conn, study.id, _READ)
    worked = [trial for trial in ended if trial.state is not TrialState.CANCELLED]
    rate = _rate_per_h([trial.ended_at for trial in worked])
    left_s = _time_left_s(study, rate)
    low_s, high_s = _span(study, left_s, worked, now)
    failed = trial_sets.last_failed(conn, study.id, _SHOWN_FAILURES)
    return StudySummary(
        rate_per_h=rate,
        time_left_s=left_s,
        eta_low_s=low_s,
        eta_high_s=high_s,
        trend=progress.improvements(conn, study.id, first.direction, TREND_POINTS),
        last_failures=tuple(
            {"number": t.number, "kind": t.failure.kind.value, "message": t.failure.message}
            for t in failed
            if t.failure is not None
        ),
        recent=_recent(worked[:_RECENT]),
    )


def _rate_per_h(ends: Sequence[datetime]) -> float | None:
    """Trials per hour over the last 10 minutes of work, or the last 10 trials if that is longer."""
    if len(ends) < 2:
        return None
    ends = sorted(ends, reverse=True)
    recent = [at for k, at in enumerate(ends) if k < _RATE_TRIALS or at > ends[0] - _RATE_WINDOW]
    span_s = (recent[0] - recent[-1]).total_seconds()
    return 3600 * (len(recent) - 1) / span_s if span_s > 0 else None


def _time_left_s(study: Study, rate: float | None) -> float | None:
    total = study.definition.limits.max_trials
    if rate is None or total is None or study.state is not StudyState.ACTIVE:
        return None
    to_come = (TrialState.PENDING, TrialState.RUNNING)
    left = total - study.places + sum(study.counts.get(state, 0) for state in to_come)
    return 3600 * left / rate


def _span(
    study: Study, left_s: float | None, ended: Sequence[EndedTrial], now: datetime
) -> tuple[float | None, float | None]:
    """The time left if trials take as long as the quicker and the slower quarter of the last ones,
    at most to the end of `max_duration_s`; None before 3 trials have ended.
    """
    if left_s is None or len(ended) < _FEWEST_FOR_ETA:
        return None, None
    low_s = high_s = left_s
    took = sorted(
        (trial.ended_at - trial.started_at).total_seconds()
        for trial in ended
        if trial.started_at is not None
    )
    if len(took) >= _FEWEST_FOR_SPREAD and took[len(took) // 2] > 0:
        middle = took[len(took) // 2]
        low_s = left_s * took[len(took) // 4] / middle
        high_s = left_s * took[3 * len(took) // 4] / middle
    longest = study.definition.limits.max_duration_s
    if longest is not None and study.started_at is not None:
        until_s = max(0.0, longest - (now - study.started_at).total_seconds())
        low_s, high_s = min(low_s, until_s), min(high_s, until_s)
    return low_s, high_s


def _recent(ended: Sequence[EndedTrial]) -> RecentTrials:
    failed = [trial for trial in ended if trial.state is TrialState.FAILED]
    kinds = Counter(trial.failure_kind.value for trial in failed if trial.failure_kind)
    return RecentTrials(n_ended=len(ended), n_failed=len(failed), kinds=dict(kinds.most_common()))
