"""Each study's trials as one table that every plot reads: what has changed is read and the rest is
kept.
"""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection

from ..analysis.curves import Curve
from ..analysis.selection import Keys, param_keys
from ..analysis.table import Ints, Path, Row, TrialTable
from ..domain.fidelity import Directive
from ..domain.space import Value
from ..domain.study import Direction, Metric, Study, StudyDefinition
from ..domain.trial import OPEN_TRIAL_STATES, TrialSource, TrialState
from ..errors import Fault, InvalidInput
from ..store import plots
from ..store import studies as study_rows
from ..store.engine import Store
from ..store.rows import AnyRow
from ..store.trial_select import first_metric
from ..store.types import to_micros

MOST_CELLS = 20_000_000
"""Rows times parameters kept in memory, over all studies; the least recently seen go first."""
MOST_KEYS = 16
"""Parameters of a study by which its trials can be ordered at once."""
MOST_CURVES = 4_000
"""Curves kept of each study."""
MOST_NAMED = 20
"""Metrics that the refusal of an unknown one names."""
_ENDED = tuple(state for state in TrialState if state not in OPEN_TRIAL_STATES)
_MICROS = 1e-6
_STATES = {state.value: state for state in TrialState}

Curves: TypeAlias = dict[int, Curve]
"""Curves by number of the trial."""
_Key: TypeAlias = tuple[str, str | None]
"""Id of a study, and name of the metric that its values are of; None for the one that decides."""


@dataclass(slots=True)
class _Kept:
    """A study's trials as they were read last.

    Attributes:
        metrics: names of the final values that were met, where another metric than the one that
            decides is looked at.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: datetime | None = None
    table: TrialTable | None = None
    keys: OrderedDict[str, Keys] = field(default_factory=OrderedDict)
    curves: OrderedDict[int, Curve] = field(default_factory=OrderedDict)
    metrics: set[str] = field(default_factory=set)


class PlotTables:
    """The tables of the studies that were looked at last; safe to use from threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def look(self, study_id: str, metric: str | None = None) -> tuple[Study, TrialTable]:
        """A study and its trials, of one moment. Plots are computed after this, when no transaction
        is open.

        Args:
            metric: name of the one that the values are of; None for the one that decides.

        Raises:
            NotFound: there is no such study.
            InvalidInput: the study does not declare the metric, and no trial has a final value of
                it.
        """

        def read(conn: Connection) -> tuple[Study, TrialTable]:
            study = study_rows.get(conn, study_id)
            return study, self.table(conn, study, metric)

        return self._store.read(read)

    def table(self, conn: Connection, study: Study, metric: str | None = None) -> TrialTable:
        """The study's trials, read as far as they have changed.

        Raises:
            InvalidInput: as `look`.
        """
        key = _key(study, metric)
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            self._let_go()
        with kept.lock:
            if kept.table is None or kept.begun != study.started_at:
                declared = declared_metric(study.definition, metric)
                direction = Direction.MINIMIZE if declared is None else declared.direction
                kept.begun = study.started_at
                kept.curves.clear()
                kept.table = TrialTable.of([], change_seq=-1, direction=direction)
            if kept.table.change_seq < study.change_seq:
                rows = _read(conn, study, kept.table.change_seq, key[1], kept.metrics)
                kept.table = kept.table.updated(rows, change_seq=study.change_seq)
                kept.keys.clear()
                for row in rows:
                    kept.curves.pop(row.number, None)
            if _is_known(study.definition, key[1], kept.metrics):
                return kept.table
        with self._lock:
            self._kept.pop(key, None)
        raise _unknown(study.definition, str(metric), kept.metrics)

    def param_keys(self, study_id: str, table: TrialTable, name: str) -> Keys:
        """What a study's trials are ordered by for a parameter; kept as long as the table."""
        with self._lock:
            kept = self._kept.get((study_id, None)) or _Kept()
        with kept.lock:
            if kept.table is not table:
                return param_keys(table, name)
            if name not in kept.keys:
                kept.keys[name] = param_keys(table, name)
                if len(kept.keys) > MOST_KEYS:
                    kept.keys.popitem(last=False)
            return kept.keys[name]

    def curves(
        self,
        study: Study,
        metric: str | None,
        table: TrialTable,
        places: Ints,
        read: Callable[[list[str]], Curves],
    ) -> Curves:
        """The curves of some trials by number; those of ended trials are kept, which grow no more.

        Args:
            metric: as `look` has it.
            read: reads the curves of the trials with some ids.
        """
        with self._lock:
            kept = self._kept.get(_key(study, metric)) or _Kept()
        with kept.lock:
            known = dict(kept.curves)
        numbers = table.number[places].tolist()
        missing = [
            place
            for place, number in zip(places.tolist(), numbers, strict=True)
            if number not in known
        ]
        fresh = read([table.ids[place] for place in missing]) if missing else {}
        has_ended = set(table.number[table.is_in(*_ENDED)].tolist()) if fresh else set()
        with kept.lock:
            if kept.table is table:
                kept.curves.update((n, curve) for n, curve in fresh.items() if n in has_ended)
                while len(kept.curves) > MOST_CURVES:
                    kept.curves.popitem(last=False)
        return {**known, **fresh}

    def _let_go(self) -> None:
        """Forgets the studies that were looked at longest ago, past what may be kept."""
        while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > MOST_CELLS:
            self._kept.popitem(last=False)


def _size(kept: _Kept) -> int:
    table = kept.table
    return 0 if table is None or not len(table) else len(table) * (12 + len(table.params[0]))


def declared_metric(definition: StudyDefinition, name: str | None) -> Metric | None:
    """The declared metric of some name, the one that decides for None; None where a study does not
    declare it, so that nobody knows which end of it is the better one.
    """
    if name is None:
        return first_metric(definition)
    return next((metric for metric in definition.metrics if metric.name == name), None)


def _key(study: Study, metric: str | None) -> _Key:
    is_first = metric == first_metric(study.definition).name
    return study.id, None if is_first else metric


def _is_known(definition: StudyDefinition, name: str | None, met: set[str]) -> bool:
    return declared_metric(definition, name) is not None or name in met


def _unknown(definition: StudyDefinition, name: str, met: set[str]) -> InvalidInput:
    """The refusal of a metric that is not declared and of which no trial has a final value."""
    known = list(dict.fromkeys([*(metric.name for metric in definition.metrics), *sorted(met)]))
    more = ", ..." if len(known) > MOST_NAMED else ""
    detail = f"there is no metric {name!r}; the study has {', '.join(known[:MOST_NAMED])}{more}"
    fault = Fault(pointer="/metric", code="unknown-metric", detail=detail)
    return InvalidInput(detail, faults=[fault])


def _read(conn: Connection, study: Study, seq: int, metric: str | None, met: set[str]) -> list[Row]:
    definition = study.definition
    is_other = metric is not None
    with_values = is_other or len(definition.metrics) > 1
    with_paths = definition.early_stopping.name != "none"
    rows = list(
        plots.changed_since(conn, study.id, seq, with_values=with_values, with_paths=with_paths)
    )
    if is_other:
        met.update(name for row in rows for name in row.final_values)
    # All in one: a hundred thousand calls would take longer than what they read.
    params = json.loads(f"[{','.join(row.params for row in rows)}]")
    made = _Rows(
        definition=definition,
        begun=None if study.started_at is None else to_micros(study.started_at),
        objectives=tuple(metric.name for metric in definition.objectives) if with_values else (),
        metric=first_metric(definition).name if metric is None else metric,
        is_first=not is_other,
        is_ranked=declared_metric(definition, metric) is not None,
        with_paths=with_paths,
    )
    return [made.row(row, point) for row, point in zip(rows, params, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Makes rows of a table; what is the same for all of a study's trials.

    Attributes:
        begun: when the first trial was handed out, in microseconds since the epoch.
        objectives: names, empty where there is one metric alone.
        metric: name of the one that the values are of.
        is_first: whether that is the one that decides.
        is_ranked: whether it is known which end of it is the better one; without that no trial is
            the best.
    """

    definition: StudyDefinition
    begun: int | None
    objectives: tuple[str, ...]
    metric: str
    is_first: bool
    is_ranked: bool
    with_paths: bool

    def row(self, found: AnyRow, params: dict[str, Value]) -> Row:
        value, bracket, final = found.value, found.bracket, None
        if self.objectives:
            final = found.final_values
            value = value if self.is_first else final.get(self.metric)
        return Row(
            number=found.number,
            id=found.id,
            state=_STATES[found.state],
            value=math.nan if value is None else value,
            last=math.nan if not found.last else self._last(found.last),
            elapsed_s=_between(self.begun, found.ended),
            duration_s=_took(found),
            begun_s=_between(self.begun, found.started),
            bracket=-1 if bracket is None else bracket,
            has_reported=found.n_measurements > 0,
            params=params,
            is_feasible=self.is_ranked and (final is None or self.definition.is_feasible(final)),
            values=() if final is None else self._values(final),
            path=_path(found) if self.with_paths else None,
        )

    def _last(self, values: Mapping[str, float]) -> float:
        value = values.get(self.metric, math.inf)
        return value if math.isfinite(value) else math.inf

    def _values(self, final: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(final.get(name, math.nan) for name in self.objectives)


def _between(start: int | None, end: int | None) -> float:
    """Seconds from one instant to another, NaN before the second; 0 from one that nobody knows."""
    if end is None:
        return math.nan
    return 0.0 if start is None else (end - start) * _MICROS


def _took(row: AnyRow) -> float:
    is_known = row.started is not None and row.source != TrialSource.DUPLICATE
    return _between(row.started, row.ended) if is_known else math.nan


def _path(row: AnyRow) -> Path:
    return Path(
        rungs=row.rungs,
        to_step=row.to_step,
        directive=None if row.directive is None else Directive(row.directive),
        step=row.last_step,
    )
