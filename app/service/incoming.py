"""Reads the points that a user enqueues and the finished trials that a user imports. Pure; every
fault is named at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..domain.checking import child, shown
from ..domain.points import check_point
from ..domain.space import Value
from ..domain.study import StudyDefinition
from ..domain.trial import Failure, FailureKind, TrialState
from ..errors import Fault, InvalidInput
from ..store.measurements import Point
from ..store.trials import Finished

MAX_ITEMS = 2_500
"""Most points or imported trials in one call."""

MAX_FAULTS = 1_000
"""Faults after which the rest of a call is not looked at."""

_ENDS = ("completed", "stopped", "infeasible", "failed", "cancelled")
_FIELDS = frozenset(
    {"params", "values", "state", "step", "measurements", "started_at", "ended_at", "failure"}
)
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One item, checked.

    Attributes:
        given: the parameters that the user gave.
        params: the point; equal to `given` until a partial one is completed.
        is_partial: whether active parameters are missing.
        state, ended: how an imported trial ended; `ended` is None for an enqueued point.
    """

    given: Mapping[str, Value]
    params: dict[str, Value]
    is_partial: bool
    state: TrialState = TrialState.PENDING
    ended: Finished | None = None

    def with_params(self, params: Mapping[str, Value]) -> Incoming:
        """The item with a completed point."""
        return dataclasses.replace(self, params=dict(params))


def read_items(
    definition: StudyDefinition, items: Sequence[Mapping[str, Any]], now: datetime
) -> list[Incoming]:
    """Checks all items against a study's definition.

    Args:
        now: when an imported trial ended that does not say so.

    Raises:
        InvalidInput: naming every fault, with pointers under /trials.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        detail = f"1 to {MAX_ITEMS} trials a call, not {len(items)}"
        fault = Fault(pointer="/trials", code="count", detail=detail)
        raise InvalidInput(detail, faults=[fault])
    faults: list[Fault] = []
    read = []
    for i, item in enumerate(items):
        read.append(_read(definition, item, f"/trials/{i}", faults, now))
        if len(faults) > MAX_FAULTS:
            break
    if faults:
        raise none_added(faults)
    return read


def none_added(faults: Sequence[Fault]) -> InvalidInput:
    """Why nothing was added: faults in some of the trials, at least one."""
    n = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    return InvalidInput(f"{n} in the trials; none was added", faults=faults)


def _read(
    definition: StudyDefinition,
    item: Mapping[str, Any],
    at: str,
    faults: list[Fault],
    now: datetime,
) -> Incoming:
    nothing = Incoming(given={}, params={}, is_partial=False)
    for name in sorted(set(item) - _FIELDS):
        faults.append(
            Fault(
                pointer=child(at, name),
                code="unknown-field",
                detail=f"unknown field {shown(name)}",
            )
        )
    params = item.get("params")
    if not isinstance(params, Mapping):
        faults.append(
            Fault(pointer=f"{at}/params", code="wrong-type", detail="params must be an object")
        )
        return nothing
    is_import = item.get("values") is not None or item.get("state") is not None
    point, found = check_point(
        definition.space, params, partial=not is_import, pointer=f"{at}/params"
    )
    faults += found
    if is_import:
        state, ended = _read_end(definition, item, at, faults, now)
        return Incoming(given=point, params=point, is_partial=False, state=state, ended=ended)
    for name in ("measurements", "started_at", "ended_at", "step", "failure"):
        if item.get(name) is not None:
            faults.append(
                Fault(
                    pointer=f"{at}/{name}",
                    code="not-for-pending",
                    detail=f"{name} goes with values or state, which make an imported trial",
                )
            )
    _, missing = check_point(definition.space, params, partial=False, pointer=at)
    return Incoming(given=point, params=point, is_partial=bool(missing))


def _read_end(
    definition: StudyDefinition,
    item: Mapping[str, Any],
    at: str,
    faults: list[Fault],
    now: datetime,
) -> tuple[TrialState, Finished]:
    name = item.get("state") or "completed"
    if name not in _ENDS:
        faults.append(
            Fault(
                pointer=f"{at}/state",
                code="unknown-value",
                detail=f"an imported trial is one of {', '.join(_ENDS)}, not {shown(name)}",
            )
        )
        name = "completed"
    state = TrialState(name)
    values = _read_values(item.get("values") or {}, f"{at}/values", faults, finite=True)
    if state is TrialState.COMPLETED:
        for metric in definition.metrics:
            if metric.name not in values:
                faults.append(
                    Fault(
                        pointer=child(f"{at}/values", metric.name),
                        code="missing-metric",
                        detail=f"a completed trial needs the declared metric {shown(metric.name)}",
                    )
                )
    ended = Finished(
        values=values,
        step=_read_step(item.get("step"), f"{at}/step", faults),
        started_at=_read_time(item.get("started_at"), f"{at}/started_at", faults),
        ended_at=_read_time(item.get("ended_at"), f"{at}/ended_at", faults),
        failure=_read_failure(item.get("failure"), state, f"{at}/failure", faults),
        measurements=tuple(_read_points(item.get("measurements"), f"{at}/measurements", faults)),
    )
    if ended.started_at and ended.started_at > (ended.ended_at or now):
        if ended.ended_at:
            pointer, detail = f"{at}/ended_at", "ended_at lies before started_at"
        else:
            pointer, detail = (
                f"{at}/started_at",
                "started_at lies after now, and ended_at is left out",
            )
        faults.append(Fault(pointer=pointer, code="order", detail=detail))
    return state, ended


def _read_values(raw: Any, at: str, faults: list[Fault], *, finite: bool) -> dict[str, float]:
    if not isinstance(raw, Mapping):
        faults.append(Fault(pointer=at, code="wrong-type", detail="must be an object of numbers"))
        return {}
    values: dict[str, float] = {}
    for name, value in raw.items():
        number = _NON_FINITE.get(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            faults.append(
                Fault(
                    pointer=child(at, name),
                    code="wrong-type",
                    detail=f"{shown(value)} is not a number",
                )
            )
        elif finite and not math.isfinite(number):
            faults.append(
                Fault(
                    pointer=child(at, name),
                    code="not-finite",
                    detail=f"{shown(value)} is not finite",
                )
            )
        else:
            values[name] = float(number)
    return values


def _read_points(raw: Any, at: str, faults: list[Fault]) -> list[Point]:
    if raw is None:
        return []
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        faults.append(Fault(pointer=at, code="wrong-type", detail="must be a list of points"))
        return []
    points = []
    for k, entry in enumerate(raw):
        step = entry.get("step") if isinstance(entry, Mapping) else None
        number = _read_step(step, f"{at}/{k}/step", faults)
        if number is None or not isinstance(entry, Mapping):
            faults.append(
                Fault(pointer=f"{at}/{k}", code="wrong-type", detail="a point has step and values")
            )
            continue
        values = _read_values(entry.get("values"), f"{at}/{k}/values", faults, finite=False)
        elapsed = entry.get("elapsed_s")
        points.append(
            Point(
                step=number,
                values=values,
                elapsed_s=float(elapsed) if isinstance(elapsed, (int, float)) else None,
            )
        )
    return points


def _read_step(raw: Any, at: str, faults: list[Fault]) -> int | None:
    if raw is None:
        return None
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= 2**53:
        faults.append(
            Fault(
                pointer=at,
                code="out-of-range",
                detail=f"a step is an integer >= 1, not {shown(raw)}",
            )
        )
        return None
    return raw


def _read_time(raw: Any, at: str, faults: list[Fault]) -> datetime | None:
    if raw is None:
        return None
    try:
        when = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        when = None
    if when is None or when.tzinfo is None:
        faults.append(
            Fault(
                pointer=at, code="time", detail=f"{shown(raw)} is no RFC 3339 time with an offset"
            )
        )
        return None
    return when


def _read_failure(raw: Any, state: TrialState, at: str, faults: list[Fault]) -> Failure | None:
    if state is not TrialState.FAILED:
        return None
    given = raw if isinstance(raw, Mapping) else {}
    kind = given.get("kind", "user_error")
    if kind not in list(FailureKind):
        faults.append(
            Fault(pointer=f"{at}/kind", code="unknown-value", detail=f"unknown kind {shown(kind)}")
        )
        kind = "user_error"
    return Failure(
        kind=FailureKind(kind),
        message=str(given.get("message", ""))[:2_000],
        traceback=str(given.get("traceback", ""))[:20_000],
    )
