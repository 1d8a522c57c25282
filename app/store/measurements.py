"""Measurements: what a trial reports while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Update, bindparam, select, update

from ..domain.event import EventKind
from ..domain.trial import Measurement
from ..errors import NotFound
from .locked import LockedStudy
from .page import Page, cut, decode
from .rows import AnyRow
from .tables import measurements, trials
from .types import finite_json

_CHUNK = 500
MOST = 100_000
"""Measurements in one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a report: values after `step` units of resource, an integer >= 1."""

    step: int
    values: Mapping[str, float]
    elapsed_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All measurements of a trial in short: how many, and the last one."""

    count: int
    last_step: int | None
    last_values: Mapping[str, float]


_COUNT: Update = (
    update(trials)
    .where(trials.c.id == bindparam("b_id"))
    .values(
        n_measurements=trials.c.n_measurements + bindparam("b_n"),
        last_step=bindparam("b_step"),
        last_values=bindparam("b_values"),
        change_seq=bindparam("b_seq"),
    )
)
_OF_TRIAL = (
    select(measurements)
    .where(measurements.c.trial_id == bindparam("b_id"), measurements.c.id > bindparam("b_after"))
    .order_by(measurements.c.id)
    .limit(bindparam("b_limit"))
)
_SUMMARIES = select(
    trials.c.id, trials.c.n_measurements, trials.c.last_step, trials.c.last_values
).where(trials.c.id.in_(bindparam("b_ids", expanding=True)))


def append(
    study: LockedStudy, trial_id: str, lease_id: str | None, seq: int, points: Sequence[Point]
) -> None:
    """Adds the points of one report and emits one `trial.measurement` for them. The caller has
    read the trial under the study's lock.

    Args:
        lease_id: the attempt that reports; None for an imported trial.
        seq: the report's number within the lease, >= 0.
        points: in the order in which they were measured; none changes nothing.
    """
    if not points:
        return
    last = points[-1]
    values = {
        "b_id": trial_id,
        "b_n": len(points),
        "b_step": last.step,
        "b_values": last.values,
        "b_seq": study.next_seq,
    }
    study.tx.update(_COUNT, values, lambda: NotFound(f"there is no trial {trial_id}"))
    store(study, trial_id, lease_id, seq, points)
    study.emit(
        EventKind.TRIAL_MEASUREMENT,
        trial_id=trial_id,
        data={
            "lease_id": lease_id,
            "seq": seq,
            "n_points": len(points),
            "step": last.step,
            "values": finite_json(last.values),
        },
    )


def store(
    study: LockedStudy, trial_id: str, lease_id: str | None, seq: int, points: Sequence[Point]
) -> None:
    """Inserts the rows of one report, without an event."""
    now = study.tx.now
    rows = [
        {
            "trial_id": trial_id,
            "lease_id": lease_id,
            "seq": seq,
            "step": point.step,
            "reported_values": point.values,
            "elapsed_s": point.elapsed_s,
            "reported_at": now,
        }
        for point in points
    ]
    if rows:
        study.tx.insert(measurements, rows)


def page(
    conn: Connection, trial_id: str, size: int = MOST, token: str | None = None
) -> Page[Measurement]:
    """Measurements of a trial, in the order in which they came, `size` of them.

    Raises:
        InvalidInput: `token` does not belong here.
    """
    named, after = ["measurements", trial_id], 0
    if token is not None:
        [after] = decode(token, named, (int,))
    values = {"b_id": trial_id, "b_after": after, "b_limit": size + 1}
    rows, following = cut(conn.execute(_OF_TRIAL, values).all(), size, named, lambda r: (r.id,))
    return Page(items=tuple(_measurement(row) for row in rows), next_page_token=following)


def _measurement(row: AnyRow) -> Measurement:
    return Measurement(
        trial_id=row.trial_id,
        lease_id=row.lease_id,
        seq=row.seq,
        step=row.step,
        values=row.reported_values,
        elapsed_s=row.elapsed_s,
        reported_at=row.reported_at,
    )


def summary(conn: Connection, trial_ids: Sequence[str]) -> dict[str, Summary]:
    """Summaries by trial id; a trial without measurements has a count of 0."""
    found: dict[str, Summary] = {}
    for start in range(0, len(trial_ids), _CHUNK):
        rows = conn.execute(_SUMMARIES, {"b_ids": list(trial_ids[start : start + _CHUNK])})
        for row in rows:
            found[row.id] = Summary(
                count=row.n_measurements,
                last_step=row.last_step,
                last_values=row.last_values or {},
            )
    return found
