"""Trials: every transition, its guard, what it counts, and who gets the next one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.event import EventKind
from app.domain.study import Study
from app.domain.trial import (
    OPEN_TRIAL_STATES,
    TRIAL_TRANSITIONS,
    Failure,
    FailureKind,
    Trial,
    TrialSource,
    TrialState,
)
from app.errors import Conflict, NotFound
from app.store import events, leases, measurements, queue, studies, trials
from app.store.engine import Store
from app.store.measurements import Point
from app.store.transaction import Tx
from app.store.trials import Finished

from . import making

S = TrialState
LEGAL = [(a, b) for a in S for b in S if b in TRIAL_TRANSITIONS[a]]


def brought_to(store: Store, study_id: str, state: TrialState) -> Trial:
    """A trial in that state, under its lease where it has had one."""
    if state is S.PENDING:
        return making.trial(store, study_id)
    one, _ = making.running(store, study_id)
    return one if state is S.RUNNING else making.move(store, one, state)


def arguments(store: Store, one: Trial, to: TrialState) -> dict[str, Any]:
    """What a move into `to` has to say beside the state."""
    if to is not S.RUNNING:
        return {}

    def write(tx: Tx) -> str:
        return leases.insert(studies.lock(tx, one.study_id), one, duration_s=60).id

    return {"lease_id": store.write(write)}


@pytest.mark.parametrize(("current", "to"), LEGAL)
def test_a_legal_move_is_stored_counted_and_told(
    store: Store, current: TrialState, to: TrialState
) -> None:
    made = making.study(store)
    one = brought_to(store, made.id, current)
    before = making.present(store, made.id)
    more = arguments(store, one, to)
    moved = making.move(store, one, to, **more)
    after = making.present(store, made.id)
    stored = store.read(lambda conn: trials.get(conn, one.id))
    assert stored.state is to
    assert stored.revision == one.revision + 1
    assert stored.change_seq == after.change_seq == before.change_seq + 1
    assert (stored.ended_at is not None) == (to not in OPEN_TRIAL_STATES)
    assert (stored.started_at is not None) == (current is not S.PENDING or to is S.RUNNING)
    assert moved.state is to
    wanted = dict(before.counts)
    wanted[current] -= 1
    wanted[to] += 1
    assert after.counts == wanted
    assert after.places - before.places == int(current is S.FAILED) - int(
        to in (S.FAILED, S.CANCELLED)
    )
    is_result = to not in OPEN_TRIAL_STATES or current is S.FAILED
    assert after.results_seq - before.results_seq == int(is_result)
    (event,) = store.read(lambda conn: events.of_study(conn, made.id, before.change_seq, 10))
    assert (event.kind, event.trial_id) == ("trial.state", one.id)
    assert event.data["state"] == to
    assert event.data["previous"] == current


@pytest.mark.parametrize("current", S)
def test_an_illegal_move_changes_nothing(store: Store, current: TrialState) -> None:
    made = making.study(store)
    one = brought_to(store, made.id, current)
    before = making.present(store, made.id)
    for to in frozenset(S) - TRIAL_TRANSITIONS[current]:
        with pytest.raises(Conflict) as refused:
            making.move(store, one, to)
        assert refused.value.code == "illegal-transition"
        assert refused.value.members == {
            "current_state": current,
            "allowed": sorted(TRIAL_TRANSITIONS[current]),
            "study_id": made.id,
        }
    assert making.present(store, made.id) == before


def test_a_move_that_saw_an_older_state_changes_nothing(store: Store) -> None:
    made = making.study(store)
    seen, _ = making.running(store, made.id)
    making.move(store, seen, S.COMPLETED, values={"loss": 1.0})
    before = making.present(store, made.id)
    with pytest.raises(Conflict) as refused:
        making.move(store, seen, S.FAILED)
    told = {"current_state": "completed", "allowed": [], "study_id": made.id}
    assert refused.value.members == told
    assert making.present(store, made.id) == before


def test_a_move_under_an_older_lease_changes_nothing(store: Store) -> None:
    made = making.study(store)
    seen, _ = making.running(store, made.id)
    pending = making.move(store, seen, S.PENDING)
    lease_id = arguments_after(store, seen)
    making.move(store, pending, S.RUNNING, lease_id=lease_id)
    with pytest.raises(Conflict):
        making.move(store, seen, S.COMPLETED)
    with pytest.raises(Conflict):
        store.write(lambda tx: trials.update(studies.lock(tx, made.id), seen, note="late"))
    assert store.read(lambda conn: trials.get(conn, seen.id)).lease_id == lease_id


def arguments_after(store: Store, one: Trial) -> str:
    """A new lease for a trial whose first one is over."""

    def write(tx: Tx) -> str:
        locked = studies.lock(tx, one.study_id)
        (first,) = leases.of_trial(tx.conn, one.id)
        leases.finish(tx, first, making.RELEASED)
        return leases.insert(locked, one, duration_s=60).id

    return store.write(write)


def test_a_refused_move_undoes_the_whole_transaction(store: Store) -> None:
    made = making.study(store)
    seen, _ = making.running(store, made.id)
    making.move(store, seen, S.COMPLETED)

    def write(tx: Tx) -> None:
        locked = studies.lock(tx, made.id)
        locked.emit(EventKind.STUDY_BEST)
        trials.insert(locked, params={"x": 0.5}, source=TrialSource.USER)
        trials.move(locked, seen, S.FAILED)

    before = making.present(store, made.id)
    with pytest.raises(Conflict):
        store.write(write)
    assert making.present(store, made.id) == before


def test_everything_that_a_trial_holds_reads_back(store: Store) -> None:
    made = making.study(store)
    params = {"x": 1e16, "n": 3, "flag": True, "text": "NaN", "tiny": 1e-300}
    one = making.trial(
        store,
        made.id,
        params=params,
        source=TrialSource.USER,
        provenance={"sd": float("inf"), "pending_ids": ["a"]},
        requested={"x": 1e16},
    )
    one, _ = store.write(lambda tx: making.claim(tx, made.id, one, client_id="me"))
    failure = Failure(kind=FailureKind.OOM, message="m" * 3000, traceback="a" * 30_000 + "end")
    making.move(
        store,
        one,
        S.FAILED,
        failure=failure,
        attempts=1,
        step=4,
        usage={"gpu_s": 1.5},
        data={"dataset": "d", "digest": "e"},
        note="nul \x00 and \ud800",
    )
    stored = store.read(lambda conn: trials.get(conn, one.id))
    assert stored.params == params
    assert [type(value) for value in stored.params.values()] == [float, int, bool, str, float]
    assert stored.provenance == {"sd": "Infinity", "pending_ids": ["a"], "requested": {"x": 1e16}}
    assert stored.failure is not None
    assert stored.failure.message == "m" * 2000
    assert stored.failure.traceback.endswith("end")
    assert len(stored.failure.traceback) == 20_000
    assert stored.note == "nul \N{REPLACEMENT CHARACTER} and ?"
    assert (stored.attempts, stored.step, stored.client_id) == (1, 4, "me")
    assert stored.usage == {"gpu_s": 1.5}
    assert stored.data == {"dataset": "d", "digest": "e"}


def test_a_trial_shows_the_expiry_of_its_lease_and_none_when_that_is_over(store: Store) -> None:
    made = making.study(store)
    one, lease = making.running(store, made.id)
    assert store.read(lambda conn: trials.get(conn, one.id)).lease_expires_at == lease.expires_at
    store.clock.offset_s += 30
    renewed = store.write(lambda tx: leases.renew(tx, lease))
    assert store.read(lambda conn: trials.get(conn, one.id)).lease_expires_at == renewed.expires_at
    store.write(lambda tx: leases.finish(tx, lease, making.RELEASED))
    assert store.read(lambda conn: trials.get(conn, one.id)).lease_expires_at is None


def test_an_imported_trial_holds_no_place(store: Store) -> None:
    made = making.study(store)
    now = store.now()
    points = [Point(step=k, values={"loss": 1 / k}) for k in (1, 2)]
    ended = Finished(
        values={"loss": 0.25},
        step=2,
        started_at=now - timedelta(hours=1),
        ended_at=now,
        measurements=points,
    )
    one = making.trial(store, made.id, source=TrialSource.IMPORT, state=S.COMPLETED, ended=ended)
    after = making.present(store, made.id)
    assert store.read(lambda conn: trials.get(conn, one.id)) == one
    assert (one.started_at, one.ended_at) == (now - timedelta(hours=1), now)
    assert (after.places, after.counts[S.COMPLETED], after.results_seq) == (0, 1, 1)
    assert after.next_number == 2
    curve = store.read(lambda conn: measurements.page(conn, one.id)).items
    assert [(point.step, point.lease_id) for point in curve] == [(1, None), (2, None)]


def test_a_failed_import_that_is_retried_holds_no_place_either(store: Store) -> None:
    made = making.study(store)
    one = making.trial(store, made.id, source=TrialSource.IMPORT, state=S.FAILED)
    making.move(store, one, S.PENDING)
    assert making.present(store, made.id).places == 0


def test_the_first_trial_handed_out_starts_the_study(store: Store) -> None:
    made = making.study(store)
    one = making.trial(store, made.id)
    assert making.present(store, made.id).started_at is None
    store.clock.offset_s += 10
    moved, _ = store.write(lambda tx: making.claim(tx, made.id, one))
    assert making.present(store, made.id).started_at == moved.started_at
    store.clock.offset_s += 10
    making.running(store, made.id)
    assert making.present(store, made.id).started_at == moved.started_at


def test_a_note_is_an_update_that_watchers_hear_of(store: Store) -> None:
    made = making.study(store)
    one = making.trial(store, made.id)
    noted = store.write(lambda tx: trials.update(studies.lock(tx, made.id), one, note="odd"))
    assert store.read(lambda conn: trials.get(conn, one.id)) == noted
    assert noted.revision == one.revision + 1
    assert noted.change_seq == making.present(store, made.id).change_seq == one.change_seq + 1
    lost = store.write(lambda tx: trials.update(studies.lock(tx, made.id), noted, losses=1))
    assert (lost.revision, lost.losses) == (noted.revision, 1)


def next_up(store: Store, made: Study, client_id: str | None = None) -> int | None:
    def write(tx: Tx) -> int | None:
        found = queue.next_pending(studies.lock(tx, made.id), client_id=client_id)
        return None if found is None else found.number

    return store.write(write)


def test_the_users_points_and_trials_that_come_back_run_first(store: Store) -> None:
    made = making.study(store)
    suggested = [making.trial(store, made.id) for _ in range(3)]
    assert next_up(store, made) == 1
    making.trial(store, made.id, source=TrialSource.USER)
    assert next_up(store, made) == 4
    third, _ = store.write(lambda tx: making.claim(tx, made.id, suggested[2]))
    making.move(store, third, S.PENDING)
    assert next_up(store, made) == 3


def test_a_trial_kept_for_a_client_goes_to_others_when_its_time_is_up(store: Store) -> None:
    made = making.study(store)
    one, _ = making.running(store, made.id, client_id="me")
    until = store.now() + timedelta(seconds=60)
    making.move(store, one, S.PENDING, reserved_for="me", reserved_until=until)
    assert next_up(store, made) is None
    assert next_up(store, made, "other") is None
    assert next_up(store, made, "me") == 1
    making.trial(store, made.id)
    assert next_up(store, made, "other") == 2
    assert next_up(store, made, "me") == 1
    store.clock.offset_s += 61
    assert next_up(store, made) == 1


def test_of_many_that_claim_one_trial_at_once_one_gets_it(store: Store) -> None:
    made = making.study(store)
    making.trial(store, made.id)

    def take() -> str | None:
        def write(tx: Tx) -> str | None:
            locked = studies.lock(tx, made.id)
            found = queue.next_pending(locked, client_id=None)
            return None if found is None else making.claim(tx, made.id, found)[1].id

        return store.write(write)

    got = making.together([take] * 16)
    assert sum(isinstance(one, str) for one in got) == 1
    assert got.count(None) == 15
    assert making.present(store, made.id).counts[S.RUNNING] == 1


def test_sixteen_that_claim_share_out_all_trials(store: Store) -> None:
    made = making.study(store)
    for _ in range(16):
        making.trial(store, made.id)

    def take() -> int:
        def write(tx: Tx) -> int:
            found = queue.next_pending(studies.lock(tx, made.id), client_id=None)
            if found is None:
                return 0
            return making.claim(tx, made.id, found)[0].number

        return store.write(write)

    got = making.together([take] * 16)
    assert sorted(one for one in got if isinstance(one, int)) == list(range(1, 17))


def test_numbers_and_places_are_exact_when_many_create_at_once(store: Store) -> None:
    made = making.study(store)
    found = making.together([lambda: making.trial(store, made.id)] * 12)
    assert sorted(one.number for one in found if isinstance(one, Trial)) == list(range(1, 13))
    after = making.present(store, made.id)
    assert (after.places, after.next_number, after.counts[S.PENDING]) == (12, 13, 12)


def test_trials_are_found_by_id_in_the_order_asked(store: Store) -> None:
    made = making.study(store)
    one, two = making.trial(store, made.id), making.trial(store, made.id)
    found = store.read(lambda conn: trials.get_many(conn, [two.id, "tr_0", one.id]))
    assert found == [two, one]
    with pytest.raises(NotFound):
        store.read(lambda conn: trials.get(conn, "tr_0"))
