"""A study as it was when a point was made: the request that its suggester was asked, built anew.

Pure, from what the store kept: the same `StudyHistory` builds the request that built it then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..domain.study import Study, StudyDefinition
from ..domain.trial import Trial, TrialState
from ..store.past import NotedRung, PastDefinition, Result, TakenPoint
from ..suggest.base import Rungs, SuggestRequest
from .history import StudyHistory, TrialRecord, record_of


class Lost(Exception):
    """What a point was derived from is not known any more; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What an ask was given, by the provenance of a trial that came of it.

    Attributes:
        history_seq: the study's `results_seq`.
        pending_ids: trials that had not ended.
        definition_revision: the study's `revision`.
        index, count: number of the first point, and how many were asked for.
    """

    history_seq: int
    pending_ids: tuple[str, ...]
    definition_revision: int
    index: int
    count: int

    @classmethod
    def of(cls, trial: Trial) -> Origin | None:
        """The origin of a suggested trial; None for one that no suggester made."""
        known = trial.provenance
        if "history_seq" not in known:
            return None
        position = position_of(trial)
        return cls(
            history_seq=known["history_seq"],
            pending_ids=tuple(known["pending_ids"]),
            definition_revision=known["definition_revision"],
            index=known.get("batch_index", known.get("index", trial.number) - position),
            count=known.get("batch_count", position + 1),
        )


def position_of(trial: Trial) -> int:
    """The place of a trial's point in its batch, from 0."""
    position: int = trial.provenance.get("batch_position", 0)
    return position


class StudyPast:
    """A study with all its results, in order; goes to any earlier moment of it.

    Args:
        study: as it is now.
        results: every result, in the order of `results_seq`.
        points: the points of all trials.
        definitions: those that were changed since, oldest first.
    """

    def __init__(
        self,
        study: Study,
        results: Sequence[Result | NotedRung],
        points: Sequence[TakenPoint],
        definitions: Sequence[PastDefinition],
    ) -> None:
        self.study = study
        self._results = results
        self._points = {point.id: point for point in points}
        self._by_number = {point.number: point for point in points}
        self._definitions = definitions
        self._metrics = tuple(metric.name for metric in study.definition.metrics)
        self._history = StudyHistory(study.definition)
        self._rungs: dict[str, Rungs] = {}
        self._seq = 0

    def request(self, origin: Origin) -> SuggestRequest:
        """What the suggester was asked, without what a memory might add.

        Raises:
            Lost: the database does not hold all of it.
        """
        self._go_to(origin.history_seq)
        self._history.definition = self.definition_at(origin.definition_revision)
        self._history.expect([self._pending(trial_id) for trial_id in origin.pending_ids])
        return replace(self._history.request(origin.index, origin.count), memory=None)

    def definition_at(self, revision: int) -> StudyDefinition:
        """The definition that held at a revision of the study."""
        last = [past.last_revision for past in self._definitions]
        k = bisect_left(last, revision)
        return self._definitions[k].definition if k < len(last) else self.study.definition

    def params_before(self, number: int, count: int) -> list[dict[str, Any]]:
        """The points of the `count` trials before a number."""
        return [dict(self._by_number[k].params) for k in range(number - count, number)]

    def _go_to(self, seq: int) -> None:
        if seq > len(self._results):
            raise Lost(f"{len(self._results)} results are known, and it knew {seq}")
        if seq < self._seq:
            self._history, self._rungs, self._seq = StudyHistory(self.study.definition), {}, 0
        for result in self._results[self._seq : seq]:
            self._take(result)
        self._seq = seq

    def _take(self, result: Result | NotedRung) -> None:
        if isinstance(result, NotedRung):
            known = self._rungs.get(result.trial_id, ())
            self._rungs[result.trial_id] = (*known, (result.step, result.value))
        else:
            self._history.apply([self._record(result)])

    def _record(self, result: Result) -> TrialRecord:
        return record_of(
            result.trial_id,
            result.number,
            self._points[result.trial_id].params,
            result.state,
            result.values,
            result.failure,
            self._metrics,
            rungs=self._rungs.get(result.trial_id, ()),
            step=result.step,
        )

    def _pending(self, trial_id: str) -> TrialRecord:
        point = self._points.get(trial_id)
        if point is None:
            raise Lost(f"the pending trial {trial_id} is not there")
        return record_of(
            point.id,
            point.number,
            point.params,
            TrialState.PENDING,
            {},
            None,
            self._metrics,
            rungs=self._rungs.get(point.id, ()),
        )
