"""A study's history as a suggester sees it, kept up to date by what changed since the last look."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..domain.space import Params
from ..domain.study import StudyDefinition
from ..domain.trial import OPEN_TRIAL_STATES, FailureKind, Trial, TrialState
from ..suggest.base import FinishedTrial, PendingTrial, SuggestRequest

_SAYS_NOTHING = frozenset({FailureKind.PREEMPTED, FailureKind.INFRASTRUCTURE})
"""Failures that tell nothing about the point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """What a suggester may know of a trial; small, since it crosses a process border."""

    id: str
    number: int
    params: Params
    state: TrialState
    values: tuple[float, ...] | None
    failure: FailureKind | None


def record(trial: Trial, metrics: tuple[str, ...]) -> TrialRecord:
    """The part of a trial that a suggester sees; `metrics` orders its values."""
    values = tuple(float(trial.values.get(name, math.nan)) for name in metrics)
    known = all(math.isfinite(v) for v in values) and trial.state not in OPEN_TRIAL_STATES
    return TrialRecord(
        id=trial.id,
        number=trial.number,
        params=dict(trial.params),
        state=trial.state,
        values=values if known else None,
        failure=trial.failure.kind if trial.failure else None,
    )


class StudyHistory:
    """The finished and pending trials of one study, by number."""

    def __init__(self, definition: StudyDefinition) -> None:
        self.definition = definition
        self._finished: dict[int, FinishedTrial] = {}
        self._pending: dict[int, PendingTrial] = {}
        self._pending_ids: dict[int, str] = {}

    def apply(self, delta: Iterable[TrialRecord]) -> None:
        """Takes in new and changed trials."""
        for item in delta:
            self._finished.pop(item.number, None)
            self._pending.pop(item.number, None)
            self._pending_ids.pop(item.number, None)
            if item.state in OPEN_TRIAL_STATES:
                self._pending[item.number] = PendingTrial(number=item.number, params=item.params)
                self._pending_ids[item.number] = item.id
            elif item.state is not TrialState.CANCELLED and item.failure not in _SAYS_NOTHING:
                self._finished[item.number] = FinishedTrial(
                    number=item.number,
                    params=item.params,
                    state=item.state,
                    values=item.values,
                    failure=item.failure,
                )

    @property
    def pending_ids(self) -> tuple[str, ...]:
        """Ids of the trials that have not ended, by number."""
        return tuple(self._pending_ids[n] for n in sorted(self._pending_ids))

    def request(self, index: int, count: int) -> SuggestRequest:
        """The request for `count` points, the first of which becomes trial `index`."""
        definition = self.definition
        return SuggestRequest(
            space=definition.space,
            metrics=definition.metrics,
            finished=tuple(self._finished[n] for n in sorted(self._finished)),
            pending=tuple(self._pending[n] for n in sorted(self._pending)),
            options=definition.suggester.options,
            seed=definition.suggester.seed,
            index=index,
            count=count,
            max_trials=definition.limits.max_trials,
        )
