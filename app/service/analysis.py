"""What a study's plots show. Reads what has changed since the last look and keeps the rest."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from sqlalchemy import Connection

from ..analysis import curves as curve_plots
from ..analysis.envelope import Envelope, floats, integers
from ..analysis.explained import Target, contour, explained
from ..analysis.failures import Failed, failures
from ..analysis.history import Axis, history
from ..analysis.parallel import parallel
from ..analysis.pareto import pareto
from ..analysis.rungs import rungs
from ..analysis.selection import matching
from ..analysis.slices import slices
from ..analysis.surrogate import base_of, surrogate
from ..analysis.table import TrialTable
from ..analysis.timeline import Bar, timeline
from ..domain.ladder import bracket_steps, ladder_of
from ..domain.selection import Selection, check_names
from ..domain.space import Parameter
from ..domain.study import Study
from ..domain.trial import TrialSource
from ..errors import Fault, InvalidInput, Unavailable
from ..store import plots
from ..store import studies as study_rows
from ..store.engine import Store
from ..store.trial_select import first_metric
from ..suggest.registry import effective_suggester
from ..suggest.view import Line, View
from .flights import Flights
from .plot_tables import PlotTables, declared_metric
from .points import PointSource
from .provenance import NOTHING_SPENT
from .threads import Threads

Kind: TypeAlias = Literal[
    "history",
    "curves",
    "importance",
    "slice",
    "contour",
    "parallel",
    "pareto",
    "rungs",
    "surrogate",
    "timeline",
    "failures",
    "selected",
]
"""The analyses by name."""
_SLOW: frozenset[Kind] = frozenset({"importance", "contour", "surrogate"})
"""Those whose answers are kept: they grow a forest, or fit a model, for tenths of a second."""

MOST_PARAMS = 50
"""Parameters that may be named."""
MOST_NAME = 200
"""Characters of the name of a parameter or metric."""
MOST_AXES = 12
"""Parameters in a parallel plot, unless others are named."""
_MOST_ATTEMPTS = 20_000
_NEWEST = 1_000
"""Trials whose sources tell how often the suggester had to be stood in for."""
_BY_SUGGESTER = frozenset({TrialSource.SUGGESTER, TrialSource.INITIAL, TrialSource.FALLBACK})
_SAID = ("mean", "sd", "below", "above", "acquisition")
"""What a model says along a line, by column."""
_MOST_FAILURES = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked of an analysis.

    Attributes:
        x: the axis of `history`.
        params: names of parameters; empty: those that come first.
        max_points: how many points are drawn at most.
        from_s, to_s: window of the timeline, in seconds from the study's first start.
        at: number of the trial through which the line of `surrogate` goes; None: the best.
        target: what `importance` explains.
        metric: name of the metric that `history`, `curves`, `importance`, `slice`, `contour`,
            `parallel` and `surrogate` are about; None: the first objective.
        where: which trials are `selected`; no part of what an answer is kept by.
        clip: `importance` and `contour` take values worse than this quantile for that quantile, in
            (0, 1].
    """

    x: Axis = "number"
    params: tuple[str, ...] = ()
    max_points: int = 2_000
    from_s: float = 0.0
    to_s: float | None = None
    at: int | None = None
    target: Target = Target.VALUE
    clip: float = 0.9
    metric: str | None = None
    where: Selection = field(default_factory=Selection, compare=False)


class AnalysisService:
    """Answers analyses, off the event loop."""

    def __init__(
        self, store: Store, threads: Threads, tables: PlotTables, points: PointSource
    ) -> None:
        self._store = store
        self._threads = threads
        self._tables = tables
        self._points = points
        self._growing = asyncio.Lock()
        self._flights = Flights()

    async def run(self, kind: Kind, study_id: str, query: Query) -> Envelope:
        """One analysis of a study.

        One forest grows at a time, whatever number of calls wait: the threads are for all.

        Raises:
            NotFound: there is no such study.
            InvalidInput: `params` names a parameter that the study does not have, or not two of
                them for a contour, or `metric` one that no trial has.
        """
        if kind not in _SLOW:
            return await self._threads.run(_KINDS[kind], self, study_id, query)
        seq = await self._threads.run(self._seq, study_id)

        async def make() -> Envelope:
            if kind == "surrogate":
                return await self._surrogate(study_id, query)
            async with self._growing:
                return await self._threads.run(_KINDS[kind], self, study_id, query)

        return await self._flights.get((study_id, kind, query), seq, make)

    async def close(self) -> None:
        """Waits for the answers that are being made."""
        await self._flights.close()

    def _seq(self, study_id: str) -> int:
        return self._store.read(lambda conn: study_rows.get(conn, study_id)).change_seq

    def _history(self, study_id: str, query: Query) -> Envelope:
        _, table = self._tables.look(study_id, query.metric)
        return history(table, query.x, max_points=query.max_points)

    def _slice(self, study_id: str, query: Query) -> Envelope:
        study, table = self._tables.look(study_id, query.metric)
        wanted = _parameters(study, query.params, most=1)
        return slices(table, wanted, max_points=query.max_points)

    def _importance(self, study_id: str, query: Query) -> Envelope:
        study, table = self._tables.look(study_id, query.metric)
        space, seed, clip = study.definition.space, _seed(study_id), _clip(study, query)
        return explained(table, space, clip=clip, seed=seed, target=query.target)

    def _contour(self, study_id: str, query: Query) -> Envelope:
        study, table = self._tables.look(study_id, query.metric)
        names = [parameter.name for parameter in _parameters(study, query.params, most=2)]
        if len(names) != 2 or names[0] == names[1]:
            detail = f"a contour is over two parameters of the study, found {', '.join(names)}"
            fault = Fault(pointer="/param", code="out-of-range", detail=detail)
            raise InvalidInput(detail, faults=[fault])
        space, seed, clip = study.definition.space, _seed(study_id), _clip(study, query)
        return contour(table, space, names[0], names[1], clip=clip, seed=seed)

    def _parallel(self, study_id: str, query: Query) -> Envelope:
        study, table = self._tables.look(study_id, query.metric)
        wanted = _parameters(study, query.params, most=MOST_AXES)
        return parallel(table, wanted, max_points=query.max_points, seed=_seed(study_id))

    def _curves(self, study_id: str, query: Query) -> Envelope:
        study, table = self._tables.look(study_id, query.metric)
        metric = query.metric or first_metric(study.definition).name
        seed = _seed(study_id)
        chosen = curve_plots.choose(table, max_curves=query.max_points, seed=seed)

        def read(ids: list[str]) -> dict[int, curve_plots.Curve]:
            return self._store.read(lambda conn: _curves_of(conn, ids, metric))

        found = self._tables.curves(study, query.metric, table, chosen, read)
        return curve_plots.curves(table, chosen, found)

    async def _surrogate(self, study_id: str, query: Query) -> Envelope:
        """What the suggester believes; the model is fitted where the study's points are made."""
        study, table = await self._threads.run(self._tables.look, study_id, query.metric)
        parameter = _parameters(study, query.params, most=1)[0]
        base = await self._threads.run(_base, table, parameter, query.at)
        name = effective_suggester(study.definition)
        view, spent, is_missing = View(suggester=name), NOTHING_SPENT, False
        if base is None or parameter.name not in table.params[base]:
            where = "any trial" if base is None else f"trial {table.number[base]}"
            view = replace(view, why=f"{parameter.name} is not active in {where}")
        elif query.metric not in (None, first_metric(study.definition).name):
            modelled = first_metric(study.definition).name
            view = replace(view, why=f"the suggester has a model of {modelled} only")
        else:
            line = Line(param=parameter.name, point=dict(table.params[base]))
            try:
                view, spent = await self._points.view(study, line)
            except Unavailable as error:
                view, is_missing = replace(view, why=error.detail), True
        found = await self._threads.run(
            self._viewed, study, table, parameter, base, view, spent.wall_s
        )
        return replace(found, is_passing=is_missing)

    def _viewed(
        self,
        study: Study,
        table: TrialTable,
        parameter: Parameter,
        base: int | None,
        view: View,
        fit_s: float,
    ) -> Envelope:
        sources = self._store.read(lambda conn: plots.newest_sources(conn, study.id, _NEWEST))
        made = [source for source in sources if source in _BY_SUGGESTER]
        n_fallback = made.count(TrialSource.FALLBACK)
        none = [None] * len(view.x)
        return surrogate(
            table,
            study.definition.space,
            parameter,
            base,
            columns={
                "x": list(view.x),
                **{name: floats(np.array(getattr(view, name))) or none for name in _SAID},
            },
            n_fit=view.n_fit,
            more={
                "suggester": view.suggester,
                "model": view.model,
                "why": view.why,
                "acquisition_name": view.acquisition_name,
                "fit_ms": round(1_000 * fit_s, 1),
                "fallback_share": round(n_fallback / len(made), 4) if made else None,
            },
        )

    def _pareto(self, study_id: str, query: Query) -> Envelope:
        study, table = self._tables.look(study_id)
        return pareto(table, study.definition.objectives, max_points=query.max_points)

    def _rungs(self, study_id: str, query: Query) -> Envelope:
        study, table = self._tables.look(study_id)
        definition = study.definition
        steps = None if ladder_of(definition) is None else partial(bracket_steps, definition)
        return rungs(table, steps, max_points=query.max_points)

    def _timeline(self, study_id: str, query: Query) -> Envelope:
        study, rows = self._attempts(study_id, _MOST_ATTEMPTS)
        begun = study.started_at
        bars = [
            Bar(
                number=row.number,
                attempt=row.attempt,
                holder=row.holder or "",
                slot=row.slot,
                start_s=_since(begun, row.started_at),
                end_s=None if row.ended_at is None else _since(begun, row.ended_at),
                end=row.outcome,
            )
            for row in rows
        ]
        return timeline(
            bars,
            change_seq=study.change_seq,
            n_total=sum(study.counts.values()),
            from_s=query.from_s,
            to_s=query.to_s,
        )

    def _failures(self, study_id: str, query: Query) -> Envelope:
        study, rows = self._attempts(study_id, _MOST_FAILURES, only_failed=True)
        failed = [
            Failed(
                number=row.number,
                kind=str(row.failure["kind"]),
                message=str(row.failure.get("message", "")),
                traceback=str(row.failure.get("traceback", "")),
                holder=row.holder or "",
                at=row.ended_at or row.started_at,
            )
            for row in rows
            if row.failure is not None
        ]
        n_total = sum(study.counts.values())
        return failures(failed, change_seq=study.change_seq, n_total=n_total)

    def _selected(self, study_id: str, query: Query) -> Envelope:
        """The numbers of all trials in a selection: a plot dims those that are not among them."""
        study, table = self._tables.look(study_id)
        check_names(study.definition.space.names, query.where)
        mask = matching(table, query.where, partial(self._tables.param_keys, study.id, table))
        numbers = table.number[mask]
        return Envelope(
            kind="selected",
            change_seq=table.change_seq,
            n_total=len(table),
            n_used=len(table),
            n_shown=len(numbers),
            sampling="all",
            columns={"number": integers(numbers)},
        )

    def _attempts(
        self, study_id: str, most: int, *, only_failed: bool = False
    ) -> tuple[Study, list[plots.AttemptRow]]:
        def read(conn: Connection) -> tuple[Study, list[plots.AttemptRow]]:
            study = study_rows.get(conn, study_id)
            found = plots.newest(conn, study_id, most, only_failed=only_failed)
            if only_failed:
                found += plots.imported_failures(conn, study_id, most - len(found))
            return study, found

        return self._store.read(read)


_KINDS: Mapping[Kind, Callable[[AnalysisService, str, Query], Envelope]] = {
    "history": AnalysisService._history,
    "curves": AnalysisService._curves,
    "importance": AnalysisService._importance,
    "slice": AnalysisService._slice,
    "contour": AnalysisService._contour,
    "parallel": AnalysisService._parallel,
    "pareto": AnalysisService._pareto,
    "rungs": AnalysisService._rungs,
    "timeline": AnalysisService._timeline,
    "failures": AnalysisService._failures,
    "selected": AnalysisService._selected,
}


def _base(table: TrialTable, parameter: Parameter, number: int | None) -> int | None:
    """The place of the trial with a number, else of the one that is the best to look from.

    Raises:
        InvalidInput: there is no trial of that number.
    """
    if number is None:
        return base_of(table, parameter.name)
    found = np.flatnonzero(table.number == number)
    if not len(found):
        detail = f"there is no trial {number}; the study has {len(table)}"
        raise InvalidInput(
            detail, faults=[Fault(pointer="/at", code="out-of-range", detail=detail)]
        )
    return int(found[0])


def _clip(study: Study, query: Query) -> float:
    """Where values are cut off; nowhere if nobody knows which of them are the worse ones."""
    return 1.0 if declared_metric(study.definition, query.metric) is None else query.clip


def _parameters(study: Study, names: Sequence[str], *, most: int) -> list[Parameter]:
    by_name = {parameter.name: parameter for parameter in study.definition.space.parameters}
    for at, name in enumerate(names):
        if name not in by_name:
            detail = f"there is no parameter {name!r}; the study has {', '.join(by_name)}"
            fault = Fault(pointer=f"/param/{at}", code="unknown-parameter", detail=detail)
            raise InvalidInput(detail, faults=[fault])
    return [by_name[name] for name in names] or list(by_name.values())[:most]


def _curves_of(
    conn: Connection, trial_ids: Sequence[str], metric: str
) -> dict[int, curve_plots.Curve]:
    """Finite values by step; of a step that was trained twice the last."""
    points: dict[int, dict[int, float]] = {}
    for number, step, values in plots.reports(conn, trial_ids):
        if math.isfinite(value := values.get(metric, math.nan)):
            points.setdefault(number, {})[step] = value
    return {
        number: curve_plots.Curve.of(
            np.array(sorted(found), dtype=np.int64),
            np.array([found[step] for step in sorted(found)], dtype=np.float64),
        )
        for number, found in points.items()
    }


def _since(begun: datetime | None, at: datetime) -> float:
    return 0.0 if begun is None else (at - begun).total_seconds()


def _seed(study_id: str) -> int:
    return zlib.crc32(study_id.encode())
