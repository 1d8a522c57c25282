"""A study's history as a suggester sees it, kept up to date by what changed since the last look."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..domain.ladder import ladder_of
from ..domain.space import Params
from ..domain.study import StudyDefinition
from ..domain.trial import OPEN_TRIAL_STATES, FailureKind, TrialState, tells_of_point
from ..suggest.base import FinishedTrial, PendingTrial, Rungs, SuggestRequest
from ..suggest.memory import SuggestMemory

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """What a suggester may know of a trial; small, since it crosses a process border."""

    id: str
    number: int
    params: Params
    state: TrialState
    values: tuple[float, ...] | None
    failure: FailureKind | None
    rungs: Rungs = ()
    step: int | None = None


def record_of(
    trial_id: str,
    number: int,
    params: Params,
    state: TrialState,
    values: Mapping[str, float],
    failure: FailureKind | None,
    metrics: tuple[str, ...],
    *,
    rungs: Rungs = (),
    step: int | None = None,
) -> TrialRecord:
    """What a suggester sees of a trial in some state.

    Args:
        failure: the last one; it counts for a trial that ended by it alone.
        metrics: order of the values; all of them have to be there and finite.
        rungs: (step, value) at the rungs that it has reached; step: that of its final values.
    """
    ordered = tuple(float(values.get(name, math.nan)) for name in metrics)
    known = all(math.isfinite(v) for v in ordered) and state not in OPEN_TRIAL_STATES
    return TrialRecord(
        id=trial_id,
        number=number,
        params=dict(params),
        state=state,
        values=ordered if known else None,
        failure=failure if state is TrialState.FAILED else None,
        rungs=rungs,
        step=step,
    )


class _ByNumber(Generic[T]):
    """Trials in the order of their numbers, kept so as they come and go."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._items: list[T] = []

    def put(self, number: int, item: T) -> None:
        """Adds the trial with this number, or puts it in place of the one that has it."""
        place = bisect_left(self._numbers, number)
        if place < len(self._numbers) and self._numbers[place] == number:
            self._items[place] = item
        else:
            self._numbers.insert(place, number)
            self._items.insert(place, item)

    def __len__(self) -> int:
        return len(self._items)

    def drop(self, number: int) -> None:
        """Removes the trial with this number, if there is one."""
        place = bisect_left(self._numbers, number)
        if place < len(self._numbers) and self._numbers[place] == number:
            del self._numbers[place], self._items[place]

    def all(self) -> tuple[T, ...]:
        """The trials by number."""
        return tuple(self._items)


class StudyHistory:
    """The finished and pending trials of one study, by number."""

    def __init__(self, definition: StudyDefinition) -> None:
        self.definition = definition
        self._finished: _ByNumber[FinishedTrial] = _ByNumber()
        self._pending: _ByNumber[PendingTrial] = _ByNumber()
        self._pending_ids: _ByNumber[str] = _ByNumber()
        self._memory = SuggestMemory()

    def apply(self, delta: Iterable[TrialRecord]) -> None:
        """Takes in new and changed trials."""
        for item in delta:
            self._finished.drop(item.number)
            self._pending.drop(item.number)
            self._pending_ids.drop(item.number)
            if item.state in OPEN_TRIAL_STATES:
                pending = PendingTrial(number=item.number, params=item.params, rungs=item.rungs)
                self._pending.put(item.number, pending)
                self._pending_ids.put(item.number, item.id)
            elif tells_of_point(item.state, item.failure):
                finished = FinishedTrial(
                    number=item.number,
                    params=item.params,
                    state=item.state,
                    values=item.values,
                    failure=item.failure,
                    rungs=item.rungs,
                    step=item.step,
                )
                self._finished.put(item.number, finished)

    def expect(self, expected: Iterable[TrialRecord]) -> None:
        """Takes these trials for the pending ones, whatever was known of them; for a replay."""
        self._pending, self._pending_ids = _ByNumber(), _ByNumber()
        for item in expected:
            pending = PendingTrial(number=item.number, params=item.params, rungs=item.rungs)
            self._pending.put(item.number, pending)
            self._pending_ids.put(item.number, item.id)

    @property
    def n_trials(self) -> int:
        """How many trials it holds."""
        return len(self._finished) + len(self._pending)

    @property
    def pending_ids(self) -> tuple[str, ...]:
        """Ids of the trials that have not ended, by number."""
        return self._pending_ids.all()

    def request(self, index: int, count: int) -> SuggestRequest:
        """The request for `count` points, the first of which becomes trial `index`."""
        definition = self.definition
        return SuggestRequest(
            space=definition.space,
            metrics=definition.metrics,
            finished=self._finished.all(),
            pending=self._pending.all(),
            options=definition.suggester.options,
            seed=definition.suggester.seed,
            index=index,
            count=count,
            max_trials=definition.limits.max_trials,
            time_per_trial_s=definition.limits.time_per_trial_s,
            ladder=ladder_of(definition),
            memory=self._memory,
        )
