"""The best trials of a noisy study: by what a model expects of their points, not by lucky draws."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from ..domain.study import Direction, Study
from ..errors import Fault, InvalidInput
from ..store import studies as study_rows
from ..store import trial_sets
from ..store.engine import Store
from ..store.trial_lists import RANKED_STATES
from ..suggest.winner import MIN_VALUES, Posterior
from .points import PointSource
from .threads import Threads
from .views import Expected, Winners

_CHUNK = 200


class WinnerService:
    """Ranks finished trials by their posterior means."""

    def __init__(self, store: Store, threads: Threads, points: PointSource) -> None:
        self._store = store
        self._threads = threads
        self._points = points

    async def best(self, study_id: str, k: int) -> Winners:
        """The `k` best completed or stopped trials that keep all thresholds, best first.

        Raises:
            NotFound: there is no such study.
            InvalidInput: it has several objectives, or too few results.
            Unavailable: the model could not be fitted, or not in time.
        """
        study = await self._threads.run(
            self._store.read, lambda conn: study_rows.get(conn, study_id)
        )
        if len(study.definition.objectives) != 1:
            raise _refused("a study with several objectives has no single best: ask for /pareto")
        posterior = await self._points.posterior(study_id)
        if posterior is None:
            raise _refused(
                f"a model needs {MIN_VALUES} finished trials with a value, and a parameter that "
                "varies; ask by=observed"
            )
        return await self._threads.run(
            self._store.read, lambda conn: _winners(conn, study, posterior, k)
        )


def _refused(detail: str) -> InvalidInput:
    fault = Fault(pointer="/by", code="unknown-value", detail=detail)
    return InvalidInput(detail, faults=[fault])


def _winners(conn: Connection, study: Study, posterior: Posterior, k: int) -> Winners:
    found: list[Expected] = []
    for expected in _ranked(conn, study, posterior):
        if len(found) == k:
            break
        found.append(expected)
    return Winners(
        trials=tuple(found),
        n_results=len(posterior.numbers),
        is_noisy=posterior.is_noisy,
        warp=posterior.warp,
    )


def _ranked(conn: Connection, study: Study, posterior: Posterior) -> Iterator[Expected]:
    """Trials that may be a best, by posterior mean; equal ones by number."""
    sign = 1.0 if study.definition.objectives[0].direction is Direction.MINIMIZE else -1.0
    known = {
        number: (mean, sd)
        for number, mean, sd in zip(posterior.numbers, posterior.means, posterior.sds, strict=True)
    }
    order = sorted(known, key=lambda number: (sign * known[number][0], number))
    for start in range(0, len(order), _CHUNK):
        for trial in trial_sets.numbered(conn, study.id, order[start : start + _CHUNK]):
            if trial.state in RANKED_STATES and study.definition.is_feasible(trial.values):
                mean, sd = known[trial.number]
                yield Expected(trial=trial, mean=mean, sd=sd)
