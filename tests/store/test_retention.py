"""What is kept no longer goes, a little at a time; what a replay needs stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from app.domain.study import StopReason, StudyState
from app.errors import NotFound
from app.store import events, leases, measurements, prepared, retention, studies
from app.store.engine import Store
from app.store.measurements import Point
from app.store.prepared import Prepared
from app.store.tables import audit, checkpoints, deliveries, metadata, purges
from app.store.tables import events as event_table

from . import making

LONG_AGO = timedelta(days=1)


def report(store: Store, study_id: str, n: int, points: int = 1) -> str:
    """A running trial with `n` reports; returns its id."""
    trial, lease = making.running(store, study_id)

    def write(tx: Any) -> None:
        study = studies.lock(tx, study_id)
        for seq in range(n):
            curve = [Point(step=k + 1, values={"loss": 1.0}) for k in range(points)]
            measurements.append(study, trial.id, lease.id, seq, curve)

    store.write(write)
    return trial.id


def end(store: Store, study_id: str) -> None:
    def write(tx: Any) -> None:
        study = studies.lock(tx, study_id)
        study.move(StudyState.CANCELLED, StopReason.USER)

    store.write(write)


def kinds(store: Store, study_id: str) -> Counter[str]:
    found = store.read(lambda conn: events.of_study(conn, study_id, 0, 10_000))
    return Counter(event.kind for event in found)


def until_done(step: Callable[[], Any]) -> int:
    """How many steps it takes."""
    n = 1
    while step():
        n += 1
    return n


def purge_events(
    store: Store, study_id: str, reports_before: datetime, ended_before: datetime | None = None
) -> int:
    making.settled(store)
    ended = ended_before or reports_before - timedelta(days=365)
    return until_done(
        lambda: store.write(
            lambda tx: retention.purge_events(
                tx, study_id, reports_before=reports_before, ended_before=ended
            )
        )
    )


def due(store: Store, reports_before: datetime, ended_before: datetime) -> list[str]:
    return store.read(
        lambda conn: retention.with_old_events(
            conn, reports_before=reports_before, ended_before=ended_before
        )
    )


def test_old_measurement_events_go_and_younger_ones_and_others_stay(store: Store) -> None:
    study_id = making.study(store).id
    report(store, study_id, 3)
    between = store.now()
    store.clock.offset_s += 60
    report(store, study_id, 2)
    assert due(store, between, between - LONG_AGO) == [study_id]
    purge_events(store, study_id, between)
    assert kinds(store, study_id) == {"study.state": 1, "trial.state": 4, "trial.measurement": 2}
    assert store.read(lambda conn: events.oldest(conn, study_id)) == 7
    rest = store.read(lambda conn: events.of_study(conn, study_id, 6, 100))
    assert [event.seq for event in rest] == [7, 8, 9, 10]


def test_of_a_study_that_ended_long_ago_only_the_states_of_trials_stay(store: Store) -> None:
    study_id = making.study(store).id
    report(store, study_id, 3)
    end(store, study_id)
    now = store.now()
    assert due(store, now - LONG_AGO, now) == [study_id]
    purge_events(store, study_id, now - LONG_AGO, now)
    assert kinds(store, study_id) == {"trial.state": 2}
    latest = store.read(lambda conn: events.latest(conn, study_id))
    assert store.read(lambda conn: events.oldest(conn, study_id)) == latest + 1
    assert due(store, now, now) == []


def test_events_go_in_batches_and_the_next_purge_goes_on_from_there(store: Store) -> None:
    study_id = making.study(store).id
    report(store, study_id, 3 * retention.BATCH)
    sizes: list[int] = []
    count = select(func.count()).select_from(event_table)

    def step(tx: Any) -> bool:
        before = tx.conn.execute(count).scalar_one()
        more = retention.purge_events(
            tx, study_id, reports_before=tx.now, ended_before=tx.now - LONG_AGO
        )
        sizes.append(before - tx.conn.execute(count).scalar_one())
        return more

    making.settled(store)
    until_done(lambda: store.write(step))
    assert sum(sizes) == 3 * retention.BATCH
    assert max(sizes) <= retention.BATCH
    assert len(sizes) == 4
    assert purge_events(store, study_id, store.now()) == 1


def test_a_cursor_of_the_feed_is_too_old_once_something_behind_it_has_gone(store: Store) -> None:
    study_id = making.study(store).id

    def is_too_old(cursor: str | None) -> bool:
        return store.read(lambda conn: events.is_too_old(conn, cursor))

    start = store.read(events.tail)
    report(store, study_id, 2)
    making.trial(store, study_id)
    assert not is_too_old(start)
    purge_events(store, study_id, store.now())
    assert is_too_old(start)
    assert is_too_old(None)
    assert not is_too_old(store.read(events.tail))


def test_what_was_purged_before_a_restore_into_another_database_resets_no_cursor_for_ever(
    store: Store,
) -> None:
    study_id = making.study(store).id
    far = {"study_id": study_id, "seq": 1, "xid": 2**60, "event_id": 7}
    store.write(lambda tx: tx.conn.execute(insert(purges).values(far)))
    at = store.read(events.tail)
    assert not store.read(lambda conn: events.is_too_old(conn, at))


def test_measurements_of_an_ended_study_go_and_the_summary_stays(store: Store) -> None:
    study_id = making.study(store).id
    trial_ids = [report(store, study_id, 1, points=700) for _ in range(2)]
    end(store, study_id)
    now = store.now()
    assert (
        store.read(lambda c: retention.with_old_measurements(c, ended_before=now - LONG_AGO)) == []
    )
    assert store.read(lambda c: retention.with_old_measurements(c, ended_before=now)) == [study_id]
    after: int | None = 0
    left = [sum(len(curve(store, trial_id)) for trial_id in trial_ids)]
    while after is not None:
        after = store.write(
            lambda tx, after=after: retention.purge_measurements(tx, study_id, after)
        )
        left.append(sum(len(curve(store, trial_id)) for trial_id in trial_ids))
    assert left[0] == 1400
    assert left[-1] == 0
    assert max(a - b for a, b in pairwise(left)) <= retention.BATCH
    found = store.read(lambda conn: measurements.summary(conn, trial_ids))
    assert [found[trial_id].count for trial_id in trial_ids] == [700, 700]
    assert with_old_measurements(store, now) == []


def with_old_measurements(store: Store, ended_before: datetime) -> list[str]:
    return store.read(lambda c: retention.with_old_measurements(c, ended_before=ended_before))


def curve(store: Store, trial_id: str) -> list[Any]:
    return list(store.read(lambda conn: measurements.page(conn, trial_id)).items)


def test_measurements_of_a_study_that_was_opened_again_stay(store: Store) -> None:
    study_id = making.study(store).id
    trial_id = report(store, study_id, 2)
    assert store.write(lambda tx: retention.purge_measurements(tx, study_id)) is None
    assert len(curve(store, trial_id)) == 2


def delete(store: Store, study_id: str, days: int = 1) -> None:
    def write(tx: Any) -> None:
        study = studies.lock(tx, study_id)
        study.set(deleted_at=tx.now, purge_at=tx.now + timedelta(days=days))

    store.write(write)


def purge_study(store: Store, study_id: str) -> int:
    return until_done(lambda: store.write(lambda tx: retention.purge_study(tx, study_id)))


def test_a_deleted_study_is_gone_for_good_when_its_time_has_come(store: Store) -> None:
    kept, gone = making.study(store, "kept"), making.study(store, "gone")
    for _ in range(3):
        report(store, gone.id, 2, points=600)
    point = {"params": {"x": 0.5}, "source": "suggester", "provenance": {}}
    ready = Prepared(first_number=4, results_seq=0, exhausted=False, points=[point])
    store.write(lambda tx: prepared.put(tx, gone.id, ready))
    purge_events(store, gone.id, store.now())
    delete(store, gone.id)
    assert store.read(retention.due_studies) == []
    assert purge_study(store, gone.id) == 1
    assert making.present(store, gone.id)
    store.clock.offset_s += 86_400
    assert store.read(retention.due_studies) == [gone.id]
    assert purge_study(store, gone.id) > 7  # 3,600 measurements, 500 at a time
    with pytest.raises(NotFound):
        making.present(store, gone.id)
    assert making.present(store, kept.id) == kept
    for table in metadata.sorted_tables:
        if "study_id" in table.c:
            rows = store.read(lambda conn, table=table: conn.execute(select(table.c.study_id)))
            assert gone.id not in {row.study_id for row in rows}, table.name


def test_a_study_waits_for_the_content_of_its_checkpoints_to_go(store: Store) -> None:
    study_id = making.study(store).id
    trial, lease = making.running(store, study_id)
    row = {
        "id": "ck_1", "trial_id": trial.id, "study_id": study_id, "lease_id": lease.id, "step": 1,
        "size_bytes": 1, "sha256": "0", "state": "uploading", "created_at": store.now(),
    }  # fmt: skip
    store.write(lambda tx: tx.conn.execute(insert(checkpoints).values(row)))
    delete(store, study_id, days=0)
    assert store.read(retention.due_studies) == []
    assert purge_study(store, study_id) == 1
    change = "UPDATE checkpoints SET state = 'deleted', deleted_at = 1"
    store.write(lambda tx: tx.conn.execute(text(change)))
    assert store.read(retention.due_studies) == [study_id]
    purge_study(store, study_id)
    with pytest.raises(NotFound):
        making.present(store, study_id)
    assert store.read(lambda conn: leases.get(conn, lease.id)) is None


def test_old_audit_rows_and_deliveries_that_are_over_go(store: Store) -> None:
    study_id, now = making.study(store).id, store.now()

    def fill(tx: Any) -> None:
        for at in (now - LONG_AGO, now):
            tx.conn.execute(insert(audit).values(occurred_at=at, action="made", data={}))
            for next_at in (None, now):
                row = {
                    "id": f"{at}{next_at}", "study_id": study_id, "url": "", "body": "",
                    "attempts": 1, "next_at": next_at, "created_at": at,
                }  # fmt: skip
                tx.conn.execute(insert(deliveries).values(row))

    store.write(fill)
    before = now - LONG_AGO
    assert store.write(lambda tx: retention.purge_audit(tx, before)) == 1
    assert store.write(lambda tx: retention.purge_audit(tx, before)) == 0
    assert store.write(lambda tx: retention.purge_deliveries(tx, before)) == 1
    assert store.write(lambda tx: retention.purge_deliveries(tx, before)) == 0
