"""Points prepared ahead by one replica, for whichever replica is asked for them.

They are no trials: a row only saves the fit. Whether its points may still be used is decided under
the lock of the study when one becomes a trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from ..domain.study import OPEN_STUDY_STATES
from .tables import prepared_points, studies
from .transaction import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A study's next points.

    Attributes:
        first_number: number of the trial that the first point is for.
        results_seq: the results that the points know.
        exhausted: whether the suggester has no further ones.
        points: one JSON object a point, as the service wrote it.
    """

    first_number: int
    results_seq: int
    exhausted: bool
    points: Sequence[Mapping[str, Any]]


def _put(insert: Any) -> Any:
    statement = insert(prepared_points)
    new, kept = statement.excluded, prepared_points.c
    return statement.on_conflict_do_update(
        index_elements=["study_id"],
        set_={c.name: new[c.name] for c in kept if c.name != "study_id"},
        # What knows less never replaces what knows more.
        where=or_(
            kept.first_number < new.first_number,
            and_(
                kept.first_number == new.first_number,
                kept.results_seq <= new.results_seq,
            ),
        ),
    )


_PUT = {"sqlite": _put(sqlite.insert), "postgresql": _put(postgresql.insert)}
_GET = select(prepared_points).where(prepared_points.c.study_id == bindparam("b_id"))
_OPEN = select(studies.c.id).where(
    studies.c.state.in_(sorted(OPEN_STUDY_STATES)), studies.c.deleted_at.is_(None)
)
_PURGE = delete(prepared_points).where(prepared_points.c.study_id.not_in(_OPEN))


def put(tx: Tx, study_id: str, prepared: Prepared) -> None:
    """Keeps points of a study, unless newer ones are there."""
    values = {
        "study_id": study_id,
        "first_number": prepared.first_number,
        "results_seq": prepared.results_seq,
        "exhausted": prepared.exhausted,
        "points": [dict(point) for point in prepared.points],
    }
    tx.conn.execute(_PUT[tx.dialect], values)


def get(conn: Connection, study_id: str) -> Prepared | None:
    """The points that were prepared last for a study, or None."""
    row = conn.execute(_GET, {"b_id": study_id}).one_or_none()
    if row is None:
        return None
    return Prepared(
        first_number=row.first_number,
        results_seq=row.results_seq,
        exhausted=row.exhausted,
        points=row.points,
    )


def purge(tx: Tx) -> int:
    """Removes the points of studies that have ended; returns how many rows went."""
    return tx.conn.execute(_PURGE).rowcount
