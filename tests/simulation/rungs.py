"""Proves from the log of a study with rungs that trials paused and went on as the papers have it.

The log tells of each rung that was reached, of each promotion and of each end, in their order. It
is played from the start, and each promotion is held against the results that were in by then.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any, TypeAlias

from app.domain.event import Event
from app.domain.fidelity import brackets, halving_rungs
from app.domain.trial import Trial, TrialState

from ..audit import Ledger
from .service import MAX_RESOURCE

ETA = 3
LAST_ONE = "the best of those that pause"
"""How the reason begins of the one promotion that no paper knows: at the end of a study in which
nothing else was trained in full.
"""

_DEAD = {TrialState.FAILED, TrialState.CANCELLED, TrialState.INFEASIBLE}
Place: TypeAlias = tuple[int | None, int]


def faults(ledger: Ledger) -> list[str]:
    """Every broken promise, in words."""
    played = _Played(ledger)
    return [*played.faults, *_recorded(ledger), *_left_behind(played)]


class _Played:
    """The log of a study, played to its end.

    Attributes:
        high: steps of a full training.
        results: (loss, number) of the trials at each rung, those that died on their way included.
        gone: numbers of the trials that went on from each rung; `promoted`: those that the paper
            lets go on.
        faults: promises that were broken on the way.
    """

    def __init__(self, ledger: Ledger) -> None:
        definition = ledger.study.definition
        self.high = int(definition.early_stopping.options["max_resource"])
        self.table = brackets(self.high, ETA)
        self.trials = {trial.id: trial for trial in ledger.trials}
        self.results: dict[Place, list[tuple[float, int]]] = defaultdict(list)
        self.gone: dict[Place, list[int]] = defaultdict(list)
        self.promoted: dict[Place, list[int]] = defaultdict(list)
        self.faults: list[str] = []
        self._dead: set[int] = set()
        self._aims = {trial.id: self.first(trial) for trial in ledger.trials}
        for event in ledger.events:
            if event.trial_id is not None:
                self._play(event, self.trials[event.trial_id])

    def first(self, trial: Trial) -> int:
        """The rung at which a trial begins."""
        return 1 if trial.bracket is None else self.rows(trial.bracket)[0].step

    def rows(self, bracket: int) -> Any:
        """Rungs of a bracket, of whichever round."""
        return self.table[bracket % len(self.table)]

    def _play(self, event: Event, trial: Trial) -> None:
        data: dict[str, Any] = event.data
        aim = self._aims[trial.id]
        if event.kind == "trial.rung":
            value = math.inf if data["value"] == "NaN" else float(data["value"])
            self.results[trial.bracket, data["step"]].append((value, trial.number))
        elif event.kind == "trial.state" and data["state"] in _DEAD:
            self._dead.add(trial.number)
            here = self.results[trial.bracket, aim]
            if trial.number not in [number for _, number in here]:
                here.append((math.inf, trial.number))
        is_told = event.kind in ("trial.rung", "trial.directive")
        if is_told and data["directive"] == "continue" and (data["to_step"] or 0) > aim:
            self._promote(trial, aim, str(data["reason"]))
            self._aims[trial.id] = data["to_step"]

    def _promote(self, trial: Trial, rung: int, reason: str) -> None:
        place, number = (trial.bracket, rung), trial.number
        if number in self.gone[place]:
            self.faults.append(f"trial {number} went on from step {rung} twice")
        self.gone[place].append(number)
        if not reason.startswith(LAST_ONE):
            before, share = self._share(place)
            ranked = [n for _, n in sorted(self.results[place]) if n not in before]
            if number not in ranked[:share]:
                self.faults.append(
                    f"trial {number} went on from step {rung} of bracket {trial.bracket}, where "
                    f"the best {share} of {ranked} may"
                )
            self.promoted[place].append(number)

    def _share(self, place: Place) -> tuple[set[int], int]:
        """Who is not to be counted at a rung, and how many of the others may go on by now."""
        bracket, rung = place
        results = self.results[place]
        lost = {n for loss, n in results if loss == math.inf}
        if bracket is None:
            return lost, len(results) // ETA
        above = {row.step: next_.n for row, next_ in pairwise(self.rows(bracket))}
        gone = set(self.promoted[place])
        return lost | gone | self._dead, above.get(rung, 0) - len(gone)


def _recorded(ledger: Ledger) -> list[str]:
    """A trial's value at a rung is that of the first report that came of it there or beyond."""
    found = []
    for trial in ledger.trials:
        points = [p for p in ledger.measurements if p.trial_id == trial.id]  # as they came
        for rung, value in trial.rungs:
            first = next((p for p in points if p.step >= rung), None)
            if first is None or first.values["value"] != value:
                found.append(f"trial {trial.number} has {value} at step {rung}, not {first}")
        missing = [r for r in halving_rungs(1, MAX_RESOURCE, ETA) if r not in dict(trial.rungs)]
        if any(p.step >= r for p in points for r in missing):
            found.append(f"trial {trial.number} has passed a rung of {missing} and has no value")
        if trial.to_step is not None and any(p.step > trial.to_step for p in points):
            found.append(f"trial {trial.number} was trained beyond step {trial.to_step}")
    return found


def _left_behind(played: _Played) -> list[str]:
    """At the end of successive halving without brackets nobody waits who should have gone on."""
    found = []
    dead = {trial.number for trial in played.trials.values() if trial.state in _DEAD}
    for (bracket, rung), results in played.results.items():
        if bracket is not None or rung == played.high:
            continue
        alive = [n for loss, n in sorted(results) if loss < math.inf]
        due = set(alive[: len(results) // ETA])
        if left := due - set(played.gone[bracket, rung]) - dead:
            found.append(f"the trials {sorted(left)} should have gone on from step {rung}")
    return found
