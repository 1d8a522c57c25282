"""The matrix: its rows, its columns, which cells cannot exist and why, and how each is played."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from .plan import Action, Plan, Point, Step
from .worker_faults import Blow


class Fault(StrEnum):
    """The columns of the matrix."""

    SERVICE_KILL = "service SIGKILL"
    WORKER_KILL = "worker SIGKILL"
    WORKER_STOP = "worker SIGSTOP"
    CUT = "database cut"
    LOST_REPLY = "reply lost"
    TWICE = "delivered twice"
    FULL = "disk full"
    CLOCK = "worker's clock off"
    REPLICAS = "two replicas sweep"


DIALECTS = ("sqlite", "postgresql")
HOUR_S = 3600.0

_NO_REQUEST = "no request belongs to it"
_NO_CLOCK = "the scripted worker that saves checkpoints reads no clock"
_NO_WORKER = "no worker takes part in it"
_OF_ANOTHER = "it is made by what befalls another trial: no worker is in the middle of it"

# (fault, step, database) -> why there is no such cell; None stands for all.
NOT_APPLICABLE: dict[tuple[Fault, Step | None, str | None], str] = {
    (Fault.CUT, None, "sqlite"): "SQLite is in the process: there is no connection",
    (Fault.REPLICAS, None, "sqlite"): "an SQLite file has one service: a second one is refused",
    (Fault.FULL, None, "postgresql"): "the server's disk cannot be filled for one database",
    (Fault.FULL, Step.CLAIM_AFTER, None): "a full disk refuses a commit; it undoes none",
    (Fault.FULL, Step.UPLOAD, None): "an upload grows a file of its own, not the database",
    (Fault.WORKER_KILL, Step.CREATE, None): _NO_WORKER,
    (Fault.WORKER_STOP, Step.CREATE, None): _NO_WORKER,
    (Fault.CLOCK, Step.CREATE, None): _NO_WORKER,
    (Fault.CLOCK, Step.ANNOUNCE, None): _NO_CLOCK,
    (Fault.CLOCK, Step.UPLOAD, None): _NO_CLOCK,
    (Fault.CLOCK, Step.COMMIT, None): _NO_CLOCK,
    (Fault.WORKER_KILL, Step.PROMOTE, None): _OF_ANOTHER,
    (Fault.WORKER_STOP, Step.PROMOTE, None): _OF_ANOTHER,
    (Fault.CLOCK, Step.PROMOTE, None): _OF_ANOTHER,
    (Fault.LOST_REPLY, Step.SWEEP, None): _NO_REQUEST,
    (Fault.LOST_REPLY, Step.MIGRATION, None): _NO_REQUEST,
    (Fault.TWICE, Step.SWEEP, None): _NO_REQUEST,
    (Fault.TWICE, Step.MIGRATION, None): _NO_REQUEST,
}

_BLOWS = {Fault.WORKER_KILL: Blow.KILL, Fault.WORKER_STOP: Blow.STOP, Fault.CLOCK: Blow.CLOCK}
_POINTS = {
    Step.CLAIM_BEFORE: (Point.BEFORE_COMMIT,),
    Step.CLAIM_AFTER: (Point.AFTER_COMMIT,),
    Step.UPLOAD: (Point.MIDWAY, Point.UNANSWERED),  # it writes a file, and commits nothing
}
_BOTH = (Point.BEFORE_COMMIT, Point.AFTER_COMMIT)


def why_not(fault: Fault, step: Step, dialect: str) -> str | None:
    """Why a cell cannot exist; None when it does."""
    for key in ((fault, step, None), (fault, None, dialect)):
        if key in NOT_APPLICABLE:
            return NOT_APPLICABLE[key]
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to play a cell; a cell is fine when all of its cases are.

    Attributes:
        plan: what the injector does; None where the replicas' own plans apply.
        blow: what happens to the worker.
        offset_s: how far its clock is off.
        at_commit: of a cut: the COMMIT arrives, its answer does not.
    """

    dialect: str
    step: Step
    fault: Fault
    variant: str
    plan: Plan | None = None
    blow: Blow | None = None
    offset_s: float = 0.0
    at_commit: bool = False

    @property
    def name(self) -> str:
        """As pytest shows it, and as the table is made from."""
        return "|".join((self.dialect, self.step.value, self.fault.value, self.variant))


def all_cases() -> Iterator[Case]:
    """Every case of every cell."""
    for dialect in DIALECTS:
        for fault in Fault:
            for step in Step:
                if why_not(fault, step, dialect) is None:
                    yield from _cases(dialect, step, fault)


def _cases(dialect: str, step: Step, fault: Fault) -> Iterator[Case]:
    def case(variant: str, plan: Plan | None = None, **more: object) -> Case:
        return Case(dialect=dialect, step=step, fault=fault, variant=variant, plan=plan, **more)  # type: ignore[arg-type]

    def plan(point: Point, action: Action, times: int = 1) -> Plan:
        return Plan(step=step, point=point, action=action, times=times)

    points = _POINTS.get(step, _BOTH)
    if fault is Fault.SERVICE_KILL:
        midway = (Point.MIDWAY,) if step is Step.MIGRATION else ()
        for point in (*midway, *points):
            yield case(point.value, plan(point, Action.KILL))
    elif fault in _BLOWS:
        # A lease may expire before its worker was struck: that sweep is not the one that is meant.
        held = replace(plan(points[0], Action.HOLD), is_armed=step is not Step.SWEEP)
        for offset_s in (HOUR_S, -HOUR_S) if fault is Fault.CLOCK else (0.0,):
            variant = f"{offset_s:+.0f} s" if offset_s else points[0].value
            yield case(variant, held, blow=_BLOWS[fault], offset_s=offset_s)
    elif fault is Fault.CUT:
        held = plan(Point.BEFORE_COMMIT, Action.HOLD)
        if step is Step.UPLOAD:
            yield case(Point.MIDWAY.value, plan(Point.MIDWAY, Action.HOLD))
            return
        if step is not Step.CLAIM_AFTER:
            yield case("before COMMIT", held)
        if step is not Step.CLAIM_BEFORE:
            yield case("COMMIT unanswered", held, at_commit=True)
    elif fault is Fault.LOST_REPLY:
        yield case("", plan(Point.REQUEST, Action.LOSE_REPLY))
    elif fault is Fault.TWICE:
        if step is not Step.CLAIM_AFTER:
            yield case("one after the other", plan(Point.REQUEST, Action.TWICE))
        if step is not Step.CLAIM_BEFORE:
            yield case("at once", plan(Point.REQUEST, Action.TWICE_AT_ONCE))
    elif fault is Fault.FULL:
        n_times = 1 if step is Step.MIGRATION else 3
        yield case("", plan(Point.BEFORE_COMMIT, Action.FULL, n_times))
    else:
        yield case("")
