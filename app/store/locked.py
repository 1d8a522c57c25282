"""A study locked in a transaction: its changes are gathered and written once, before the commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Update, bindparam, insert, literal_column, select, update

from ..domain.copies import with_fields
from ..domain.event import EventKind
from ..domain.study import (
    OPEN_STUDY_STATES,
    STUDY_TRANSITIONS,
    PauseReason,
    StopReason,
    Study,
    StudyDefinition,
    StudyState,
)
from ..domain.trial import TrialState
from ..errors import Conflict
from . import deliveries
from .definitions import definition_text
from .rows import study_columns
from .tables import events, past_definitions, studies
from .transaction import Tx
from .writes import Fixed

_KEPT_STATEMENTS = 256


class LockedStudy:
    """A study whose row this transaction holds.

    Attributes:
        tx: the transaction.
    """

    def __init__(self, tx: Tx, study: Study) -> None:
        self.tx = tx
        self._stored = study
        self._study = study
        self._changes: dict[str, Any] = {}
        self._changed: set[str] = set()
        self._events: list[dict[str, Any]] = []
        tx.before_commit(self._flush)

    @property
    def id(self) -> str:
        """The study's id."""
        return self._study.id

    @property
    def stored_seq(self) -> int:
        """The study's `change_seq` as the transaction found it, or has last written it."""
        return self._stored.change_seq

    @property
    def study(self) -> Study:
        """The study as it stands in this transaction."""
        if self._changes:
            self._study = with_fields(self._study, **self._changes)
            self._changes = {}
        return self._study

    @property
    def definition(self) -> StudyDefinition:
        """The study's definition."""
        definition: StudyDefinition = self._value("definition")
        return definition

    @property
    def next_number(self) -> int:
        """Number of the next trial."""
        return int(self._value("next_number"))

    @property
    def next_seq(self) -> int:
        """Sequence number of the next event."""
        return int(self._value("change_seq")) + 1

    def set(self, **changes: Any) -> None:
        """Changes fields of the study. A new definition counts up the revision.

        Raises:
            Conflict: already-exists, when a deleted study comes back under a name now taken.
        """
        if changes.get("deleted_at", self) is None:
            refuse_taken_name(self.tx, self._value("definition").name, but=self.id)
        if "definition" in changes and "revision" not in changes:
            changes["revision"] = self._value("revision") + 1
        changes.setdefault("updated_at", self.tx.now)
        self._changes.update(changes)
        self._changed.update(changes)

    def count(self, state: TrialState, delta: int) -> None:
        """Counts trials in or out of a state."""
        counts = self._changes.get("counts")
        if counts is None:
            counts = self._changes["counts"] = dict(self._study.counts)
            self._changed.add("counts")
        counts[state] += delta

    def add(self, **deltas: int) -> None:
        """Adds to the study's counters: `places`, `results_seq`, `next_number`."""
        for name, delta in deltas.items():
            if delta:
                self._changes[name] = self._value(name) + delta
                self._changed.add(name)

    def move(
        self,
        to: StudyState,
        reason: StopReason | None = None,
        *,
        pause: PauseReason = PauseReason.USER,
        pause_detail: str | None = None,
    ) -> None:
        """Changes the study's state.

        Args:
            reason: why it stops; without one an earlier reason stays. Active studies have none.
            pause: why it is paused, where it is to be.
            pause_detail: the same in a sentence.

        Raises:
            Conflict: illegal-transition, with `current_state` and `allowed`.
        """
        current: StudyState = self._value("state")
        allowed = STUDY_TRANSITIONS[current]
        if to not in allowed:
            raise illegal("study", self.id, current, to, allowed, study_id=self.id)
        if to is StudyState.ACTIVE:
            self.set(stop_detail=None)
        reason = None if to is StudyState.ACTIVE else reason or self._value("stop_reason")
        is_paused = to is StudyState.PAUSED
        self.set(
            state=to,
            stop_reason=reason,
            pause_reason=pause if is_paused else None,
            pause_detail=pause_detail if is_paused else None,
            ended_at=None if to in OPEN_STUDY_STATES else self.tx.now,
            revision=self._value("revision") + 1,
        )
        self.emit_state(previous=current)

    def emit_state(self, previous: StudyState | None = None) -> int:
        """Tells the study's state to who watches; returns the event's sequence number."""
        reason: StopReason | None = self._value("stop_reason")
        pause: PauseReason | None = self._value("pause_reason")
        return self.emit(
            EventKind.STUDY_STATE,
            data={
                "state": self._value("state").value,
                "previous": previous.value if previous else None,
                "stop_reason": reason.value if reason else None,
                "stop_detail": self._value("stop_detail"),
                "pause_reason": pause.value if pause else None,
                "pause_detail": self._value("pause_detail"),
            },
        )

    def emit(
        self,
        kind: EventKind,
        *,
        trial_id: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> int:
        """Adds an event with the next number of the study's sequence, and returns that number.

        Subscribers hear of it as the topic `study:ID`.
        """
        seq = self.next_seq
        self._changes["change_seq"] = seq
        self._changes["updated_at"] = self.tx.now
        self._changed.update(("change_seq", "updated_at"))
        self._events.append(
            {
                "study_id": self.id,
                "seq": seq,
                "kind": kind.value,
                "trial_id": trial_id,
                "data": dict(data or {}),
                "occurred_at": self.tx.now,
                "token_id": self.tx.actor.token_id,
            }
        )
        self.tx.signal(f"study:{self.id}")
        return seq

    def _value(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._study, name)

    def _flush(self) -> None:
        study, stored = self.study, self._stored
        if self._changed:
            columns = study_columns({name: getattr(study, name) for name in self._changed})
            guards = {"b_id": study.id, "b_state": stored.state, "b_change_seq": stored.change_seq}
            bound = {f"b_to_{name}": value for name, value in columns.items()}
            self.tx.update(
                _update(frozenset(columns)),
                {**bound, **guards},
                lambda: Conflict(f"study {study.id} was changed without its lock"),
            )
        if "definition" in self._changed and study.definition != stored.definition:
            self._keep_definition(stored)
        if deliveries.tells(stored, study):
            deliveries.insert_for(self.tx, study)
        if self._events:
            self.tx.insert(events, self._events, _EVENT_XID[self.tx.dialect])
        self._stored, self._changed, self._events = study, set(), []

    def _keep_definition(self, stored: Study) -> None:
        """Points that were made by the old definition can only be derived again from it."""
        kept = {
            "study_id": stored.id,
            "last_revision": stored.revision,
            "definition": definition_text(stored.definition),
        }
        self.tx.conn.execute(_INSERT_PAST, kept)


_INSERT_PAST = insert(past_definitions)
_ID_OF_NAME = select(studies.c.id).where(
    studies.c.name == bindparam("b_name"), studies.c.deleted_at.is_(None)
)


def refuse_taken_name(tx: Tx, name: str, but: str = "") -> None:
    """Checks that no study that is not deleted has the name, the one called `but` left aside.

    Raises:
        Conflict: already-exists, with the `study_id` of the one that has it.
    """
    taken = tx.conn.execute(_ID_OF_NAME, {"b_name": name}).scalar_one_or_none()
    if taken is not None and taken != but:
        raise Conflict(
            f"there is a study named {name!r} already",
            code="already-exists",
            members={"study_id": taken},
        )


def illegal(
    what: str,
    its_id: str,
    current: StrEnum,
    to: StrEnum,
    allowed: Collection[StrEnum],
    *,
    study_id: str,
) -> Conflict:
    """The error for a change of state that the table of transitions does not have."""
    return Conflict(
        f"{what} {its_id} is {current.value} and cannot become {to.value}",
        code="illegal-transition",
        members={
            "current_state": current.value,
            "allowed": sorted(state.value for state in allowed),
            "study_id": study_id,
        },
    )


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _update(columns: frozenset[str]) -> Update:
    # The lock holds the row; the guards say so in the statement itself.
    return (
        update(studies)
        .where(
            studies.c.id == bindparam("b_id"),
            studies.c.state == bindparam("b_state"),
            studies.c.change_seq == bindparam("b_change_seq"),
        )
        .values({name: bindparam(f"b_to_{name}") for name in sorted(columns)})
    )


# A transaction may have its id long before it gets its study's lock. So that a study's events sort
# as they are numbered, each takes the place of the newest event that shows by then, if that is a
# later one: whoever holds the lock sees the events of those who held it before. A place above all
# ids that were ever given is of another server, and would hide what comes after it.
_XACT_ID = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
_GIVEN = "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
_NEWEST = f"(SELECT max(xid) FROM events WHERE xid < {_GIVEN})"

_EVENT_XID: dict[str, Fixed] = {
    "sqlite": (("xid", literal_column("0")),),
    "postgresql": (("xid", literal_column(f"GREATEST({_XACT_ID}, {_NEWEST})")),),
}
