"""Checkpoints: announced, uploaded in chunks, committed under the lease; what is needless goes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from app.domain.checkpoint import CheckpointState
from app.domain.token import Role
from app.errors import AppError, Conflict, Denied, InvalidInput, NotFound, StaleLease
from app.service.checkpoints import Upload
from app.service.services import Services
from app.service.views import Caller, Grant
from app.settings import Settings
from app.store import checkpoints as checkpoint_rows
from app.store import trials as trial_rows
from app.store.engine import Store

from .conftest import LEASE_TTL_S, Bench, definition

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def settings(store: Store, tmp_path: Path) -> Settings:
    return Settings(
        database_url=store.url,
        lease_ttl_s=LEASE_TTL_S,
        sweep_s=3600,
        checkpoint_dir=str(tmp_path / "checkpoints"),
        checkpoint_study_quota_bytes=3 * len(CONTENT),
        checkpoint_total_quota_bytes=4 * len(CONTENT),
        checkpoint_grace_s=100,
        checkpoint_upload_age_s=1000,
    )


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Saving:
    """Short forms of the calls of who saves."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.service = bench.services.checkpoints
        self.caller = bench.caller

    def create(self, grant: Grant, step: int = 3, content: bytes = CONTENT) -> Upload:
        return self.service.create(
            grant.trial.id,
            lease_id=grant.lease.id,
            step=step,
            size_bytes=len(content),
            sha256=sha256(content),
            caller=self.caller,
        )

    def send(self, upload: Upload, content: bytes = CONTENT, offset: int = 0) -> int:
        chunk, _ = self.service.chunk(
            upload.checkpoint.id, offset, size_bytes=None, caller=self.caller
        )
        with chunk:
            chunk.write(content[offset:])
        return self.service.get(upload.checkpoint.id, caller=self.caller).received_bytes

    def commit(self, upload: Upload) -> Upload:
        checkpoint = upload.checkpoint
        return self.service.commit(checkpoint.id, lease_id=checkpoint.lease_id, caller=self.caller)

    def saved(self, grant: Grant, step: int = 3, content: bytes = CONTENT) -> Upload:
        upload = self.create(grant, step, content)
        self.send(upload, content)
        return self.commit(upload)

    def collect(self) -> list[str]:
        return list(self.bench.services.housekeeping.collector.steps())

    def files(self, tmp_path: Path) -> set[str]:
        return {path.name for path in (tmp_path / "checkpoints").rglob("ck_*")}


@pytest.fixture
def saving(bench: Bench) -> Saving:
    return Saving(bench)


async def asked(bench: Bench, **more: Any) -> Grant:
    (grant,) = await bench.suggest(bench.study(definition(**more)))
    return grant


async def again(bench: Bench, grant: Grant) -> Grant:
    """The next attempt at a trial whose lease has expired."""
    bench.services.store.clock.offset_s += LEASE_TTL_S + 1
    assert bench.sweep() == 1
    (new,) = await bench.suggest(grant.trial.study_id)
    assert new.trial.id == grant.trial.id
    return new


async def test_the_next_attempt_goes_on_from_a_committed_checkpoint(
    bench: Bench, saving: Saving
) -> None:
    first = await asked(bench)
    assert (first.checkpoint, first.budget.from_step) == (None, 0)
    committed = saving.saved(first, step=3).checkpoint
    assert committed.state is CheckpointState.COMMITTED
    second = await again(bench, first)
    assert second.checkpoint == committed
    assert second.budget.from_step == 3
    pieces = saving.service.read(saving.service.content(committed.id, caller=saving.caller), 0, 999)
    assert b"".join(pieces) == CONTENT[:999]


@pytest.mark.parametrize("n_sent", [0, 100, len(CONTENT)])
async def test_an_upload_that_was_not_committed_is_never_gone_on_from(
    bench: Bench, saving: Saving, n_sent: int
) -> None:
    first = await asked(bench)
    upload = saving.create(first)
    saving.send(upload, CONTENT[:n_sent])
    assert (await again(bench, first)).checkpoint is None
    with pytest.raises(NotFound):
        saving.service.content(upload.checkpoint.id, caller=saving.caller)


async def test_chunks_go_on_where_the_last_one_ended(bench: Bench, saving: Saving) -> None:
    upload = saving.create(await asked(bench))
    assert saving.send(upload, CONTENT[:1000]) == 1000
    with pytest.raises(InvalidInput) as gap:
        saving.send(upload, CONTENT, offset=1001)
    assert gap.value.members == {"received_bytes": 1000}
    assert saving.send(upload, CONTENT[:1000]) == 1000
    with pytest.raises(Conflict, match="1000 of 5120") as missing:
        saving.commit(upload)
    assert missing.value.code == "upload-incomplete"
    assert saving.send(upload, CONTENT, offset=500) == len(CONTENT)
    assert saving.commit(upload).checkpoint.state is CheckpointState.COMMITTED


async def test_another_content_than_announced_is_refused_and_gone(
    bench: Bench, saving: Saving
) -> None:
    upload = saving.create(await asked(bench))
    saving.send(upload, bytes(len(CONTENT)))
    with pytest.raises(InvalidInput, match="announced"):
        saving.commit(upload)
    assert saving.service.get(upload.checkpoint.id, caller=saving.caller).received_bytes == 0
    saving.send(upload)
    assert saving.commit(upload).checkpoint.state is CheckpointState.COMMITTED


async def test_the_same_calls_again_change_nothing(bench: Bench, saving: Saving) -> None:
    grant = await asked(bench)
    upload = saving.create(grant)
    saving.send(upload)
    again_made = saving.create(grant)
    assert again_made.checkpoint.id == upload.checkpoint.id
    assert again_made.received_bytes == len(CONTENT)
    first, second = saving.commit(upload), saving.commit(upload)
    assert first == second
    assert saving.send(upload) == len(CONTENT)


async def test_a_lease_that_is_not_the_trials_changes_nothing(
    bench: Bench, saving: Saving, store: Store
) -> None:
    first = await asked(bench)
    upload = saving.create(first)
    saving.send(upload)
    await again(bench, first)
    with pytest.raises(StaleLease):
        saving.commit(upload)
    with pytest.raises(StaleLease):
        saving.send(upload)
    with pytest.raises(StaleLease):
        saving.create(first, step=9)
    trial = store.read(lambda conn: trial_rows.get(conn, first.trial.id))
    assert trial.checkpoint_id is None


async def test_a_lease_is_looked_at_again_when_the_content_has_been_read(
    bench: Bench, saving: Saving, store: Store
) -> None:
    """The content is read outside the transaction: the lease may be lost in that time."""
    first = await asked(bench)
    upload = saving.create(first)
    saving.send(upload)
    seal = saving.service._blobs.seal

    def lose_meanwhile(key: str, size_bytes: int, digest: str) -> None:
        seal(key, size_bytes, digest)
        store.clock.offset_s += LEASE_TTL_S + 1
        bench.sweep()
        study_id = first.trial.study_id
        from app.service.handout import Holder, start
        from app.store import studies as study_rows

        def take(tx: Any) -> None:
            study = study_rows.lock(tx, study_id)
            start(study, trial_rows.get(tx.conn, first.trial.id), Holder(duration_s=60), 0)

        store.write(take)

    saving.service._blobs.seal = lose_meanwhile  # type: ignore[method-assign]
    with pytest.raises(StaleLease):
        saving.commit(upload)
    trial = store.read(lambda conn: trial_rows.get(conn, first.trial.id))
    assert trial.checkpoint_id is None


async def test_another_token_neither_writes_nor_reads(bench: Bench, saving: Saving) -> None:
    upload = saving.create(await asked(bench))
    saving.send(upload)
    other = Caller(token_id="tk_other", role=Role.WORKER)
    with pytest.raises(Denied):
        saving.service.get(upload.checkpoint.id, caller=other)
    with pytest.raises(Denied):
        saving.service.chunk(upload.checkpoint.id, 0, size_bytes=None, caller=other)
    with pytest.raises(Denied):
        saving.service.commit(
            upload.checkpoint.id, lease_id=upload.checkpoint.lease_id, caller=other
        )


async def test_quotas_bound_a_study_and_all(bench: Bench, saving: Saving) -> None:
    study_id = bench.study(definition())
    grants = await bench.suggest(study_id, count=4)
    for grant in grants[:3]:
        saving.saved(grant)
    with pytest.raises(AppError, match="this study's") as full:
        saving.create(grants[3])
    assert full.value.code == "too-large"
    assert full.value.members == {"limit_bytes": 3 * len(CONTENT), "used_bytes": 3 * len(CONTENT)}
    others = await bench.suggest(bench.study(definition("other")), count=2)
    saving.create(others[0])
    with pytest.raises(AppError, match="all checkpoints"):
        saving.create(others[1])


async def test_a_training_that_saves_often_fills_no_quota(bench: Bench, saving: Saving) -> None:
    grant = await asked(bench)
    for step in range(1, 10):
        saving.create(grant, step)  # never uploaded
        saving.saved(grant, step, CONTENT + bytes([step]))


async def test_a_release_names_a_committed_checkpoint(bench: Bench, saving: Saving) -> None:
    grant = await asked(bench)
    committed = saving.saved(grant, 2)
    open_one = saving.create(grant, 3)

    def release(checkpoint_id: str) -> Any:
        return bench.services.leases.release(
            grant.lease.id,
            reason="worker-ends",
            checkpoint_id=checkpoint_id,
            caller=bench.caller,
        )

    for wrong in (open_one.checkpoint.id, "ck_none"):
        with pytest.raises(NotFound):
            release(wrong)
    release(committed.checkpoint.id)
    (new,) = await bench.suggest(grant.trial.study_id)
    assert new.checkpoint == committed.checkpoint


async def test_an_older_one_goes_when_a_newer_one_is_committed(
    bench: Bench, saving: Saving, tmp_path: Path
) -> None:
    grant = await asked(bench)
    old, new = saving.saved(grant, 2), saving.saved(grant, 4)
    assert saving.files(tmp_path) == {new.checkpoint.id}
    with pytest.raises(NotFound):
        saving.service.get(old.checkpoint.id, caller=saving.caller)
    assert (await again(bench, grant)).checkpoint == new.checkpoint


async def test_that_of_an_ended_trial_goes_after_a_while(
    bench: Bench, saving: Saving, store: Store, tmp_path: Path
) -> None:
    grant = await asked(bench)
    kept = saving.saved(grant)
    bench.complete(grant, 0.5)
    saving.collect()
    assert saving.files(tmp_path) == {kept.checkpoint.id}
    store.clock.offset_s += 101
    saving.collect()
    assert saving.files(tmp_path) == set()
    assert store.read(lambda conn: checkpoint_rows.used_bytes(conn, kept.checkpoint.study_id)) == (
        0,
        0,
    )


async def test_an_upload_that_is_never_committed_goes_by_its_age(
    bench: Bench, saving: Saving, store: Store, tmp_path: Path
) -> None:
    grant = await asked(bench)
    saving.send(saving.create(grant))
    saving.collect()
    assert len(saving.files(tmp_path)) == 1
    store.clock.offset_s += 1001
    saving.collect()
    assert saving.files(tmp_path) == set()


async def test_what_a_crash_left_behind_is_cleared_away(
    bench: Bench, saving: Saving, store: Store, tmp_path: Path
) -> None:
    grant = await asked(bench)
    kept = saving.saved(grant, 5)
    half_gone = saving.create(grant, 6)
    saving.send(half_gone)
    store.write(lambda tx: checkpoint_rows.mark_deleted(tx, [half_gone.checkpoint.id]))
    for folder in ("uploads", "sealed"):
        (tmp_path / "checkpoints" / folder / "ck_0nobodys").write_bytes(b"x")
        (tmp_path / "checkpoints" / folder / "notes.txt").write_bytes(b"a person's")
    saving.collect()
    assert saving.files(tmp_path) == {kept.checkpoint.id}
    assert len(list((tmp_path / "checkpoints").rglob("notes.txt"))) == 2
    assert store.read(checkpoint_rows.deleted) == []


async def test_one_that_a_trial_needs_is_not_given_up(
    bench: Bench, saving: Saving, store: Store
) -> None:
    kept = saving.saved(await asked(bench)).checkpoint.id
    assert store.write(lambda tx: checkpoint_rows.mark_deleted(tx, [kept])) == 0


async def test_those_of_a_purged_study_go_first(
    bench: Bench, saving: Saving, services: Services, store: Store, tmp_path: Path
) -> None:
    grant = await asked(bench)
    saving.saved(grant)
    services.studies.delete(grant.trial.study_id)
    saving.collect()
    assert len(saving.files(tmp_path)) == 1
    store.clock.offset_s += 365 * 86_400
    list(services.housekeeping.purger.steps())
    assert saving.files(tmp_path) == set()
    with pytest.raises(NotFound):
        services.trials.get(grant.trial.id)


async def test_without_a_place_the_setting_is_named(store: Store) -> None:
    from app.service.checkpoints import CheckpointService, Quotas

    service = CheckpointService(store, None, Quotas(study_bytes=1, total_bytes=1))
    with pytest.raises(Conflict, match="TUNEWELL_CHECKPOINT_DIR") as off:
        service.create("tr", lease_id="ls", step=1, size_bytes=1, sha256="", caller=Caller())
    assert off.value.code == "checkpoints-off"
