"""Leases and measurements: guards, renewal and revival, expiry by the database's clock."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from app.domain.lease import Lease, LeaseEnd
from app.domain.trial import Failure, FailureKind, TrialState
from app.errors import Conflict, StaleLease
from app.store import events, leases, measurements, studies, trials
from app.store.engine import Store
from app.store.measurements import Point, Summary

from . import making


def stored(store: Store, lease: Lease) -> Lease | None:
    return store.read(lambda conn: leases.get(conn, lease.id))


def finish(store: Store, lease: Lease, end: LeaseEnd, **more: Any) -> Lease:
    return store.write(lambda tx: leases.finish(tx, lease, end, **more))


def test_a_lease_reads_back_with_who_holds_it(store: Store) -> None:
    made = making.study(store)
    holder = {"worker_id": "wk_1", "client_id": "c", "token_id": "tk_1"}
    one, lease = making.running(store, made.id, duration_s=12.5, **holder)
    assert stored(store, lease) == lease
    assert (lease.worker_id, lease.client_id, lease.token_id) == ("wk_1", "c", "tk_1")
    assert lease.expires_at - lease.acquired_at == timedelta(seconds=12.5)
    assert store.read(lambda conn: leases.get(conn, "ls_0")) is None
    assert store.read(lambda conn: leases.of_trial(conn, one.id)) == [lease]
    assert store.read(lambda conn: leases.active_of_worker(conn, "wk_1")) == [lease]
    assert store.read(lambda conn: leases.open_of_client(conn, made.id, "c", "tk_1")) == [lease]
    assert store.read(lambda conn: leases.open_of_client(conn, made.id, "c", "tk")) == []
    assert store.read(lambda conn: leases.open_of_client(conn, made.id, "d", "tk_1")) == []


def test_a_trial_has_one_active_lease_at_most(store: Store) -> None:
    made = making.study(store)
    one, _ = making.running(store, made.id)
    with pytest.raises(Conflict):
        store.write(lambda tx: leases.insert(studies.lock(tx, made.id), one, duration_s=60))


def test_a_renewal_counts_from_now_and_never_takes_a_report_back(store: Store) -> None:
    made = making.study(store)
    _, lease = making.running(store, made.id)
    store.clock.offset_s += 30
    once = store.write(lambda tx: leases.renew(tx, lease, last_seq=4, last_step=9))
    assert once.expires_at >= lease.expires_at + timedelta(seconds=30)
    assert (once.last_seq, once.last_step) == (4, 9)
    # A beat that was under way since before the report knows less than the row.
    store.write(lambda tx: leases.renew(tx, lease, last_seq=3, last_step=2))
    late = stored(store, lease)
    assert (late.last_seq, late.last_step) == (4, 9)
    store.clock.offset_s += 30
    plain = store.write(lambda tx: leases.renew(tx, late))
    assert stored(store, lease) == plain
    assert (plain.last_seq, plain.last_step) == (4, 9)


@pytest.mark.parametrize("end", LeaseEnd)
def test_an_ended_lease_is_stale_and_only_an_expired_one_revives(
    store: Store, end: LeaseEnd
) -> None:
    made = making.study(store)
    _, lease = making.running(store, made.id)
    failure = Failure(kind=FailureKind.NAN, message="m", traceback="t")
    ended = finish(store, lease, end, failure=failure, answer={"a": [1]})
    assert stored(store, lease) == ended
    assert ended.end is end
    for write in (
        lambda tx: leases.renew(tx, lease),
        lambda tx: leases.renew(tx, lease, last_seq=1),
        lambda tx: leases.finish(tx, lease, LeaseEnd.COMPLETED),
    ):
        with pytest.raises(StaleLease) as refused:
            store.write(write)
        assert refused.value.members == {"action": "abort"}
    assert stored(store, lease) == ended
    if end is not LeaseEnd.EXPIRED:
        with pytest.raises(StaleLease):
            store.write(lambda tx: leases.revive(tx, lease))
        return
    revived = store.write(lambda tx: leases.revive(tx, ended))
    assert stored(store, lease) == revived
    assert revived.end is None


def test_an_expired_lease_does_not_revive_once_its_trial_is_claimed(store: Store) -> None:
    made = making.study(store)
    one, lease = making.running(store, made.id)
    ended = finish(store, lease, LeaseEnd.EXPIRED)
    pending = making.move(store, one, TrialState.PENDING)
    store.write(lambda tx: making.claim(tx, made.id, pending))
    with pytest.raises(StaleLease):
        store.write(lambda tx: leases.revive(tx, ended))


def test_of_many_that_end_a_lease_at_once_one_does(store: Store) -> None:
    made = making.study(store)
    _, lease = making.running(store, made.id)
    found = making.together([lambda: finish(store, lease, LeaseEnd.COMPLETED)] * 8)
    assert sum(isinstance(one, Lease) for one in found) == 1
    assert sum(isinstance(one, StaleLease) for one in found) == 7


def test_expiry_goes_by_the_clock_of_the_database(store: Store) -> None:
    made = making.study(store)
    _, short = making.running(store, made.id, duration_s=10)
    _, long = making.running(store, made.id, duration_s=20)
    _, ended = making.running(store, made.id, duration_s=5)
    finish(store, ended, LeaseEnd.RELEASED)

    def expired(limit: int = 10) -> list[str]:
        now = store.now()
        return [one.id for one in store.read(lambda conn: leases.expired(conn, now, limit))]

    assert expired() == []
    store.clock.offset_s += 15
    assert expired() == [short.id]
    store.clock.offset_s += 15
    assert expired() == [short.id, long.id]
    assert expired(limit=1) == [short.id]
    store.write(lambda tx: leases.renew(tx, short))
    assert expired() == [long.id]


def test_the_clock_moves_by_its_offset_in_reads_and_writes(store: Store) -> None:
    before = store.now()
    store.clock.offset_s = 3600
    assert timedelta(hours=1) <= store.now() - before < timedelta(hours=1, minutes=1)
    made = making.study(store)
    assert made.created_at - before >= timedelta(hours=1)
    locked = store.write(lambda tx: (studies.lock(tx, made.id), tx.now)[1])
    assert locked >= made.created_at


def append(
    store: Store, study_id: str, trial_id: str, lease_id: str, seq: int, *points: Point
) -> None:
    store.write(
        lambda tx: measurements.append(studies.lock(tx, study_id), trial_id, lease_id, seq, points)
    )


def test_a_report_is_kept_summed_up_and_told_once(store: Store) -> None:
    made = making.study(store)
    one, lease = making.running(store, made.id)
    before = making.present(store, made.id).change_seq
    append(
        store,
        made.id,
        one.id,
        lease.id,
        0,
        Point(step=1, values={"loss": math.nan}, elapsed_s=0.5),
        Point(step=2, values={"loss": -math.inf, "other": 1}),
        Point(step=3, values={"loss": math.inf}),
    )
    append(store, made.id, one.id, lease.id, 5, Point(step=4, values={"loss": 0.25}))
    append(store, made.id, one.id, lease.id, 6)
    curve = store.read(lambda conn: measurements.page(conn, one.id)).items
    assert [point.step for point in curve] == [1, 2, 3, 4]
    assert [point.seq for point in curve] == [0, 0, 0, 5]
    assert math.isnan(curve[0].values["loss"])
    assert [point.values for point in curve[1:]] == [
        {"loss": -math.inf, "other": 1.0},
        {"loss": math.inf},
        {"loss": 0.25},
    ]
    assert curve[0].elapsed_s == 0.5
    other = making.trial(store, made.id)
    summaries = store.read(lambda conn: measurements.summary(conn, [one.id, other.id, "tr_0"]))
    assert summaries == {
        one.id: Summary(count=4, last_step=4, last_values={"loss": 0.25}),
        other.id: Summary(count=0, last_step=None, last_values={}),
    }
    told = store.read(lambda conn: events.of_study(conn, made.id, before, 10))
    assert [event.kind for event in told] == ["trial.measurement"] * 2 + ["trial.state"]
    assert told[0].data["values"] == {"loss": "Infinity"}
    assert store.read(lambda conn: trials.get(conn, one.id)).change_seq == told[1].seq
