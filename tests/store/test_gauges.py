"""The counts of the metrics page, on both databases."""

from __future__ import annotations

from app.domain.study import StudyState
from app.store import gauges, studies, workers
from app.store.engine import Store

from . import making


def test_an_empty_database_counts_nothing(store: Store) -> None:
    found = store.read(gauges.read)
    assert (found.studies, found.depths) == ({}, ())
    assert (found.pending, found.running, found.leases_active, found.workers_seen) == (0, 0, 0, 0)
    assert found.size_bytes > 0


def test_studies_trials_leases_and_workers_are_counted(store: Store) -> None:
    one, other = making.study(store, "one"), making.study(store, "other")
    making.running(store, one.id)
    for _ in range(3):
        making.trial(store, other.id)
    ended = making.study(store, "ended", webhook={"url": "https://hooks.example/"})
    making.trial(store, ended.id)
    store.write(lambda tx: studies.lock(tx, ended.id).move(StudyState.CANCELLED))
    store.write(
        lambda tx: workers.register(
            tx, name="w", boot_id="1", labels={}, devices=[], objectives=[], slots=1
        )
    )
    found = store.read(gauges.read)
    assert found.studies == {"active": 2, "cancelled": 1}
    shown = [(depth.study_id, depth.pending, depth.running) for depth in found.depths]
    assert shown == [(other.id, 3, 0), (one.id, 0, 1)]
    assert (found.pending, found.running) == (3, 1)
    assert (found.leases_active, found.leases_overdue) == (1, 0)
    assert (found.workers_registered, found.workers_seen, found.workers_draining) == (1, 1, 0)
    assert found.webhooks_pending == 1
    store.clock.offset_s = 1_000
    later = store.read(gauges.read)
    assert (later.leases_active, later.leases_overdue) == (0, 1)
    assert (later.workers_registered, later.workers_seen) == (1, 0)


def test_what_waits_for_the_writer_is_counted(store: Store) -> None:
    before = store.stats()
    making.study(store)
    after = store.stats()
    assert after.n_transactions - before.n_transactions == 1
    assert after.waited_s >= before.waited_s
    assert (after.n_waiting, after.busy_s) == (0, 0.0)
