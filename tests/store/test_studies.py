"""Studies: creation, names, the lock, states, what is listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.event import EventKind
from app.domain.study import (
    OPEN_STUDY_STATES,
    STUDY_TRANSITIONS,
    StopReason,
    Study,
    StudyState,
)
from app.domain.trial import TrialState
from app.errors import Conflict, InvalidInput, NotFound
from app.store import events, studies
from app.store.engine import Store
from app.store.studies import StudyFilter

from . import making

PATHS = {
    StudyState.ACTIVE: (),
    StudyState.PAUSED: (StudyState.PAUSED,),
    StudyState.STOPPING: (StudyState.STOPPING,),
    StudyState.COMPLETED: (StudyState.STOPPING, StudyState.COMPLETED),
    StudyState.CANCELLED: (StudyState.CANCELLED,),
    StudyState.FAILED: (StudyState.FAILED,),
}
"""How a new study gets into each state."""


def brought_to(store: Store, state: StudyState) -> Study:
    made = making.study(store)
    for step in PATHS[state]:
        made = move(store, made.id, step)
    return made


def move(store: Store, study_id: str, to: StudyState, reason: StopReason | None = None) -> Study:
    def change(tx: Any) -> Study:
        locked = studies.lock(tx, study_id)
        locked.move(to, reason)
        return locked.study

    return store.write(change)


def change(store: Store, study_id: str, **changes: Any) -> Study:
    def write(tx: Any) -> Study:
        locked = studies.lock(tx, study_id, deleted=True)
        locked.set(**changes)
        return locked.study

    return store.write(write)


def test_a_new_study_reads_back_as_it_was_written(store: Store) -> None:
    made = making.study(
        store,
        objective={"name": "function", "options": {"function": "sphere"}},
        space=[{"name": "x0", "type": "float", "low": 1e-5, "high": 1e16, "log": True}],
        labels={"team": "vision", "a.b[0] \"'": "é"},
        priority=3,
        description="two\nlines",
        limits={"max_trials": 10, "no_progress": {"trials": 3}},
    )
    assert making.present(store, made.id) == made
    assert made.state is StudyState.ACTIVE
    assert made.change_seq == 1
    assert made.counts == dict.fromkeys(TrialState, 0)


def test_a_name_is_taken_until_its_study_is_deleted(store: Store) -> None:
    first = making.study(store, "same")
    with pytest.raises(Conflict) as refused:
        making.study(store, "same")
    assert refused.value.code == "already-exists"
    assert refused.value.members == {"study_id": first.id}
    now = store.now()
    change(store, first.id, deleted_at=now, purge_at=now + timedelta(days=1))
    second = making.study(store, "same")
    found = store.read(lambda conn: studies.by_name(conn, "same"))
    assert found is not None
    assert found.id == second.id
    with pytest.raises(Conflict) as taken:
        change(store, first.id, deleted_at=None, purge_at=None)
    assert taken.value.members == {"study_id": second.id}


def test_of_many_that_ask_for_one_name_at_once_one_gets_it(store: Store) -> None:
    found = making.together([lambda: making.study(store, "same")] * 8)
    made = [one for one in found if isinstance(one, Study)]
    refused = [one for one in found if isinstance(one, Conflict)]
    assert len(made) == 1
    assert [error.members for error in refused] == [{"study_id": made[0].id}] * 7


def test_a_deleted_study_is_found_only_when_asked_for(store: Store) -> None:
    made = making.study(store)
    now = store.now()
    change(store, made.id, deleted_at=now, purge_at=now + timedelta(days=1))
    with pytest.raises(NotFound):
        store.read(lambda conn: studies.get(conn, made.id))
    with pytest.raises(NotFound):
        store.write(lambda tx: studies.lock(tx, made.id))
    assert making.present(store, made.id).deleted_at == now
    assert store.write(lambda tx: studies.lock(tx, made.id, deleted=True).study).id == made.id
    assert store.read(studies.open_studies) == []


def test_a_study_that_never_was_is_not_found(store: Store) -> None:
    for odd in ("st_0", "", "st_\x00", "\ud800"):
        with pytest.raises(NotFound):
            store.read(lambda conn, odd=odd: studies.get(conn, odd))
        with pytest.raises(NotFound):
            store.write(lambda tx, odd=odd: studies.lock(tx, odd))


@pytest.mark.parametrize("current", StudyState)
def test_a_study_takes_the_legal_transitions_and_no_other(
    store: Store, current: StudyState
) -> None:
    made = brought_to(store, current)
    for to in StudyState:
        if to in STUDY_TRANSITIONS[current]:
            continue
        with pytest.raises(Conflict) as refused:
            move(store, made.id, to)
        assert refused.value.code == "illegal-transition"
        assert refused.value.members == {
            "current_state": current,
            "allowed": sorted(STUDY_TRANSITIONS[current]),
            "study_id": made.id,
        }
    assert making.present(store, made.id) == made
    for to in sorted(STUDY_TRANSITIONS[current])[:1]:
        moved = move(store, made.id, to)
        assert moved.state is to
        assert moved.revision == made.revision + 1
        assert moved.change_seq == made.change_seq + 1
        assert (moved.ended_at is None) == (to in OPEN_STUDY_STATES)
        assert making.present(store, made.id) == moved


def test_the_reason_of_a_stop_stays_until_the_study_is_active_again(store: Store) -> None:
    made = making.study(store)
    move(store, made.id, StudyState.STOPPING, StopReason.MAX_TRIALS)
    ended = move(store, made.id, StudyState.COMPLETED)
    assert ended.stop_reason is StopReason.MAX_TRIALS
    again = move(store, made.id, StudyState.ACTIVE)
    assert again.stop_reason is None
    assert again.ended_at is None
    kinds = store.read(lambda conn: events.of_study(conn, made.id, 0, 10))
    assert [event.data["state"] for event in kinds] == [
        "active",
        "stopping",
        "completed",
        "active",
    ]


def test_a_new_definition_counts_up_the_revision(store: Store) -> None:
    made = making.study(store)
    other = replace(made.definition, priority=9, labels={"a": "b"})
    changed = change(store, made.id, definition=other)
    assert changed.revision == made.revision + 1
    assert making.present(store, made.id).definition == other
    by_label = StudyFilter(labels={"a": "b"})
    found = store.read(lambda conn: studies.page(conn, filters=by_label, size=10))
    assert [one.id for one in found.items] == [made.id]


def test_what_fails_changes_nothing_and_the_next_write_goes_on(store: Store) -> None:
    made = making.study(store)

    def fail(tx: Any) -> None:
        locked = studies.lock(tx, made.id)
        locked.move(StudyState.PAUSED)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.write(fail)
    assert making.present(store, made.id) == made
    assert move(store, made.id, StudyState.PAUSED).state is StudyState.PAUSED


def test_locking_twice_in_a_transaction_gives_the_same_study(store: Store) -> None:
    made = making.study(store)

    def write(tx: Any) -> int:
        studies.lock(tx, made.id).emit(EventKind.STUDY_BEST)
        return studies.lock(tx, made.id).emit(EventKind.STUDY_BEST)

    assert store.write(write) == 3
    assert making.present(store, made.id).change_seq == 3


def test_workers_are_sent_to_high_priority_then_to_the_idlest_study(store: Store) -> None:
    def add(name: str, priority: int, n_running: int, objective: str = "function") -> str:
        options = {"function": "sphere"} if objective == "function" else {}
        space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
        made = making.study(
            store,
            name,
            objective={"name": objective, "options": options},
            space=space,
            priority=priority,
        )
        for _ in range(n_running):
            making.running(store, made.id)
        return made.id

    busy, idle, later = add("a", 0, 2), add("b", 0, 0), add("c", 0, 0)
    first, other = add("d", 1, 5), add("e", 5, 0, "mine")
    paused = add("f", 9, 0)
    move(store, paused, StudyState.PAUSED)
    making.study(store, "asked by clients")
    names = ["function", "unknown"]
    found = store.read(lambda conn: studies.claimable(conn, names))
    assert [one.id for one in found] == [first, *sorted([idle, later]), busy]
    assert store.read(lambda conn: studies.claimable(conn, ["mine"]))[0].id == other
    assert store.read(lambda conn: studies.claimable(conn, [])) == []
    assert store.read(lambda conn: studies.open_of(conn, ["mine"]))
    move(store, other, StudyState.CANCELLED)
    assert not store.read(lambda conn: studies.open_of(conn, ["mine"]))
    assert len(store.read(studies.open_studies)) == 6


def listed(store: Store, size: int, **filters: Any) -> list[str]:
    """Names of all studies, read page by page."""
    names, token = [], None
    chosen = StudyFilter(**filters)
    while True:
        page = store.read(
            lambda conn, token=token: studies.page(conn, filters=chosen, size=size, token=token)
        )
        names += [one.definition.name for one in page.items]
        token = page.next_page_token
        if token is None:
            return names


def test_studies_are_listed_newest_first_page_by_page(store: Store) -> None:
    names = [f"s{k}" for k in range(7)]
    for name in names:
        making.study(store, name)
    for size in (1, 3, 7, 1000):
        assert listed(store, size) == names[::-1]


def test_studies_are_listed_by_state_label_and_prefix(store: Store) -> None:
    made = {
        name: making.study(store, name, labels=labels).id
        for name, labels in (("ab", {"k": "1"}), ("aB", {"k": "1", "x.y": "2"}), ("b%", {}))
    }
    move(store, made["ab"], StudyState.PAUSED)
    assert listed(store, 10, states=(StudyState.PAUSED,)) == ["ab"]
    assert listed(store, 10, labels={"k": "1"}) == ["aB", "ab"]
    assert listed(store, 10, labels={"k": "1", "x.y": "2"}) == ["aB"]
    assert listed(store, 10, name_prefix="a") == ["aB", "ab"]
    assert listed(store, 10, name_prefix="b%") == ["b%"]
    assert listed(store, 10, name_prefix="%") == []
    assert listed(store, 10, name_prefix="AB") == []


def test_a_page_token_belongs_to_its_filters(store: Store) -> None:
    for name in ("a", "b"):
        making.study(store, name)
    every = StudyFilter()
    token = store.read(lambda conn: studies.page(conn, filters=every, size=1)).next_page_token
    other = StudyFilter(name_prefix="a")
    for filters, given in ((other, token), (every, "rubbish"), (every, ""), (every, "x" * 9000)):
        with pytest.raises(InvalidInput) as refused:
            store.read(
                lambda conn, filters=filters, given=given: studies.page(
                    conn, filters=filters, size=1, token=given
                )
            )
        assert refused.value.faults[0].pointer == "/page_token"
