"""Studies: creation, the lock that every write under them takes first, and what lists them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, exists, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from ..domain.ids import new_id
from ..domain.study import OPEN_STUDY_STATES, Study, StudyDefinition, StudyState
from ..domain.trial import TrialState
from ..errors import Conflict, NotFound
from .locked import LockedStudy, refuse_taken_name
from .rows import AnyRow, study_columns, study_of
from .study_lists import StudyFilter, StudyOrder, page, state_counts
from .tables import studies
from .transaction import POSTGRES_MICROS, Tx
from .types import to_micros

__all__ = [
    "LockedStudy",
    "StudyFilter",
    "StudyOrder",
    "by_name",
    "claimable",
    "get",
    "hold",
    "insert",
    "lock",
    "open_of",
    "open_studies",
    "page",
    "served",
    "state_counts",
]


_ALL = select(studies)
_BY_ID = _ALL.where(studies.c.id == bindparam("b_id"))
_LOCKS = {
    # SQLite's only writer holds the file already.
    "sqlite": _BY_ID.add_columns(literal_column("NULL").label("now_micros")),
    "postgresql": _BY_ID.add_columns(
        literal_column(POSTGRES_MICROS).label("now_micros")
    ).with_for_update(key_share=True),
}
_LIVE = studies.c.deleted_at.is_(None)
_BY_NAME = _ALL.where(studies.c.name == bindparam("b_name"), _LIVE)
_SERVED = and_(_LIVE, studies.c.objective.in_(bindparam("b_objectives", expanding=True)))
_IN_TURN = (studies.c.priority.desc(), studies.c.n_running, studies.c.id)
_CLAIMABLE = _ALL.where(_SERVED, studies.c.state == StudyState.ACTIVE).order_by(*_IN_TURN)
_ALL_CLAIMABLE = _ALL.where(
    _LIVE, studies.c.state == StudyState.ACTIVE, studies.c.objective.is_not(None)
).order_by(*_IN_TURN)
_OPEN_STATES = sorted(OPEN_STUDY_STATES)
_OPEN_OF = select(exists().where(_SERVED, studies.c.state.in_(_OPEN_STATES)))
_OPEN = _ALL.where(_LIVE, studies.c.state.in_(_OPEN_STATES)).order_by(studies.c.id)
# An INSERT tells how many rows it made only when asked to.
_INSERTS = {
    name: insert_into(studies).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    for name, insert_into in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_INSERT_ATTEMPTS = 3


def insert(tx: Tx, definition: StudyDefinition) -> LockedStudy:
    """Creates an active study, locked, and emits its first `study.state`.

    Raises:
        Conflict: already-exists with `study_id`, when a study that is not deleted has the name.
    """
    study = _new_study(tx, definition)
    values = study_columns({name: getattr(study, name) for name in _STORED_FIELDS})
    for _ in range(_INSERT_ATTEMPTS):
        refuse_taken_name(tx, definition.name)
        if tx.conn.execute(_INSERTS[tx.dialect], values).rowcount == 1:
            locked = LockedStudy(tx, study)
            tx.held[study.id] = locked
            locked.emit_state()
            return locked
        # Another transaction took the name since the check, and by now it has ended.
    raise Conflict(f"there is a study named {definition.name!r} already", code="already-exists")


_STORED_FIELDS = tuple(Study.__dataclass_fields__)


def _new_study(tx: Tx, definition: StudyDefinition) -> Study:
    return Study(
        id=new_id("st", now_ms=to_micros(tx.now) // 1000),
        definition=definition,
        state=StudyState.ACTIVE,
        counts=dict.fromkeys(TrialState, 0),
        places=0,
        next_number=1,
        results_seq=0,
        change_seq=0,
        revision=1,
        created_at=tx.now,
        updated_at=tx.now,
    )


def lock(tx: Tx, study_id: str, *, deleted: bool = False) -> LockedStudy:
    """Locks a study for the rest of the transaction; again is free and gives the same object.

    Who locks several takes them in the order of their ids, or two could wait for each other.

    Args:
        deleted: whether a deleted study is found too.

    Raises:
        NotFound: there is none.
    """
    held: LockedStudy | None = tx.held.get(study_id)
    if held is None:
        row = tx.conn.execute(_LOCKS[tx.dialect], {"b_id": study_id}).one_or_none()
        study = _found(row, study_id)
        if row is not None and row.now_micros is not None:
            tx.set_now(row.now_micros)
        held = hold(tx, study)
    _refuse_deleted(held.study, deleted)
    return held


def hold(tx: Tx, study: Study) -> LockedStudy:
    """A study whose row was just locked and read; the object that already stands for it, if any."""
    held: LockedStudy = tx.held.get(study.id) or LockedStudy(tx, study)
    tx.held[study.id] = held
    return held


def get(conn: Connection, study_id: str, *, deleted: bool = False) -> Study:
    """A study by its id.

    Raises:
        NotFound: there is none, or it is deleted and `deleted` is false.
    """
    study = _found(conn.execute(_BY_ID, {"b_id": study_id}).one_or_none(), study_id)
    _refuse_deleted(study, deleted)
    return study


def _found(row: AnyRow | None, study_id: str) -> Study:
    if row is None:
        raise NotFound(f"there is no study {study_id}")
    return study_of(row)


def _refuse_deleted(study: Study, deleted: bool) -> None:
    if study.deleted_at is not None and not deleted:
        raise NotFound(f"study {study.id} is deleted")


def by_name(conn: Connection, name: str) -> Study | None:
    """The study of that name that is not deleted, or None."""
    row = conn.execute(_BY_NAME, {"b_name": name}).one_or_none()
    return None if row is None else study_of(row)


def claimable(conn: Connection, objective_names: Sequence[str]) -> list[Study]:
    """Active studies of these objectives: by priority, then fewest running trials, then age."""
    rows = conn.execute(_CLAIMABLE, {"b_objectives": list(objective_names)})
    return [study_of(row) for row in rows]


def served(conn: Connection) -> list[Study]:
    """Active studies that workers evaluate, in the order of `claimable`."""
    return [study_of(row) for row in conn.execute(_ALL_CLAIMABLE)]


def open_of(conn: Connection, objective_names: Sequence[str]) -> bool:
    """Whether a study of these objectives has not ended."""
    return bool(conn.execute(_OPEN_OF, {"b_objectives": list(objective_names)}).scalar_one())


def open_studies(conn: Connection) -> list[Study]:
    """Every study that is active, paused or stopping."""
    return [study_of(row) for row in conn.execute(_OPEN)]
