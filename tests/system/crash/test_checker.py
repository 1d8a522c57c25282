"""The checker finds what it is there to find: a sound study passes, each broken one does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from .checker import faults
from .record import Ack, Record
from .service_faults import play_plain, play_with_rungs
from .world import World

_END = (
    "UPDATE studies SET change_seq = change_seq + 1",
    "INSERT INTO events (xid, study_id, seq, kind, trial_id, data, occurred_at) SELECT xid, "
    "study_id, (SELECT change_seq FROM studies), kind, trial_id, data, occurred_at FROM events "
    "WHERE kind = 'trial.state' AND data LIKE '%\"completed\"%' LIMIT 1",
)
_FIRST = "(SELECT min(id) FROM checkpoints WHERE committed_at IS NOT NULL)"
_LAST = "id = (SELECT max(id) FROM checkpoints WHERE state = 'committed')"
BROKEN: dict[str, tuple[tuple[str, ...], str]] = {
    "an end that is told twice": (_END, "changed after its end"),
    "a measurement that is missing": (
        ("DELETE FROM measurements WHERE id = (SELECT min(id) FROM measurements)",),
        "acknowledged but not there",
    ),
    "a measurement that is there twice": (
        (
            "INSERT INTO measurements (trial_id, lease_id, seq, step, reported_values, reported_at)"
            " SELECT trial_id, lease_id, seq, step, reported_values, reported_at FROM measurements"
            " LIMIT 1",
        ),
        "is there 2 times",
    ),
    "a measurement of an ended lease": (
        ("UPDATE measurements SET reported_at = reported_at + 3600000000 WHERE id = 1",),
        "was stale by then",
    ),
    "a value of another attempt": (
        (
            "UPDATE measurements SET reported_values = (SELECT reported_values FROM measurements "
            "ORDER BY id DESC LIMIT 1) WHERE id = 1",
        ),
        "never reported",
    ),
    "a final value that is not the acknowledged one": (
        ("UPDATE trials SET final_values = '{\"value\": 9.0}' WHERE number = 1",),
        "acknowledged but not there",
    ),
    "a gap in the log": (
        ("DELETE FROM events WHERE seq = 3",),
        "events are numbered",
    ),
    "a trial that is gone": (
        ("UPDATE trials SET number = 17 WHERE number = 2",),
        "trials are numbered",
    ),
    "a trial that hangs": (
        ("UPDATE trials SET state = 'pending', ended_at = NULL WHERE number = 1",),
        "in a study that has ended",
    ),
    "a counter that is off": (
        ("UPDATE studies SET n_completed = n_completed + 1",),
        "n_completed",
    ),
    "places that are off": (("UPDATE studies SET places = places - 1",), "places"),
    "a budget that is overshot": (
        ("UPDATE trials SET state = 'failed' WHERE number = 1",),
        "for a budget of",
    ),
    "two leases at a time": (
        ("UPDATE leases SET ended_at = ended_at + 3600000000 WHERE outcome = 'failed'",),
        "overlap",
    ),
    "a lease that is gone": (
        ("UPDATE leases SET outcome = 'expired' WHERE outcome = 'released'",),
        "acknowledged but not there",
    ),
    "a trial that waited too long": (
        (
            "UPDATE leases SET outcome = 'expired', expires_at = expires_at - 60000000 "
            "WHERE outcome = 'failed'",
        ),
        "ran again",
    ),
    "a commit that was forgotten": (
        (f"UPDATE checkpoints SET state = 'uploading', committed_at = NULL WHERE {_LAST}",),
        "acknowledged but not there",
    ),
    "a commit that is not the one to go on from": (
        (f"UPDATE trials SET checkpoint_id = {_FIRST} WHERE checkpoint_id IS NOT NULL",),
        "acknowledged but not there",
    ),
    "an announcement of something else": (
        ("UPDATE checkpoints SET sha256 = 'f' WHERE committed_at IS NULL",),
        "acknowledged but not there",
    ),
    "a commit that came too late": (
        ("UPDATE checkpoints SET committed_at = committed_at + 3600000000",),
        "stale by then",
    ),
    "a checkpoint of another trial's attempt": (
        (
            "UPDATE checkpoints SET lease_id = (SELECT id FROM leases WHERE trial_id <> "
            "checkpoints.trial_id LIMIT 1)",
        ),
        "not one of its trial's",
    ),
    "a trial that would go on from an upload": (
        (
            "UPDATE trials SET checkpoint_id = (SELECT max(id) FROM checkpoints WHERE "
            "committed_at IS NULL) WHERE checkpoint_id IS NOT NULL",
        ),
        "no commit of it",
    ),
    "an upload that was handed out": (
        (f"UPDATE checkpoints SET state = 'uploading', committed_at = NULL WHERE id = {_FIRST}",),
        "was told to go on from",
    ),
}


BROKEN_AT_RUNGS: dict[str, tuple[tuple[str, ...], str]] = {
    "a value of no report": (
        (
            "UPDATE events SET data = replace(data, '\"value\":', '\"value\":1') "
            "WHERE kind = 'trial.rung'",
        ),
        "at step 1, not",
    ),
    "a worse trial that went on": (
        (
            "UPDATE events SET trial_id = (SELECT other.trial_id FROM events AS other WHERE "
            "other.kind = 'trial.rung' AND other.trial_id <> events.trial_id LIMIT 1) "
            "WHERE kind = 'trial.directive'",
        ),
        "went on from step 1, where",
    ),
    "a pause without a value": (
        ("DELETE FROM events WHERE kind = 'trial.rung'",),
        "has no value there",
    ),
}

Sound = tuple[Path, str, Record]
"""A database, its study, and the record of it."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Sound:
    """A study that was played without a fault."""
    return _played(tmp_path_factory.mktemp("sound"), migrated_file, play_plain)


@pytest.fixture(scope="module")
def sound_at_rungs(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Sound:
    """One whose trials paused and went on."""
    return _played(tmp_path_factory.mktemp("rungs"), migrated_file, play_with_rungs)


def _played(folder: Path, migrated_file: Path, play: Callable[[World], str]) -> Sound:
    path = folder / "tunewell.db"
    path.write_bytes(migrated_file.read_bytes())
    world = World(f"sqlite:///{path}", folder)
    try:
        study_id = play(world)
    finally:
        world.close()
    with _connected(path) as conn:
        conn.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    return path, study_id, world.record


def _connected(path: Path) -> Connection:
    return create_engine(f"sqlite:///{path}", poolclass=NullPool).connect()


@pytest.mark.parametrize("name", ["sound", "sound_at_rungs"])
def test_a_sound_study_has_no_fault(name: str, request: pytest.FixtureRequest) -> None:
    path, study_id, record = request.getfixturevalue(name)
    assert faults(f"sqlite:///{path}", study_id, record) == []


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_study_is_found(sound: Sound, tmp_path: Path, what: str) -> None:
    _check_found(sound, tmp_path, *BROKEN[what])


@pytest.mark.parametrize("what", BROKEN_AT_RUNGS)
def test_a_study_broken_at_a_rung_is_found(
    sound_at_rungs: Sound, tmp_path: Path, what: str
) -> None:
    _check_found(sound_at_rungs, tmp_path, *BROKEN_AT_RUNGS[what])


def _check_found(sound: Sound, tmp_path: Path, statements: tuple[str, ...], complaint: str) -> None:
    path, study_id, record = sound
    broken = tmp_path / "broken.db"
    broken.write_bytes(path.read_bytes())
    with _connected(broken) as conn:
        conn.execute(text("PRAGMA ignore_check_constraints = ON"))
        for statement in statements:
            assert conn.execute(text(statement.replace(":", "\\:"))).rowcount > 0
        conn.commit()
    found = faults(f"sqlite:///{broken}", study_id, record)
    assert any(complaint in fault for fault in found), found


def test_an_acknowledged_claim_that_was_lost_is_found(sound: Sound) -> None:
    path, study_id, record = sound
    lost = Ack(what="claim", id="ls_lost", data={"trial_id": "tr_lost"})
    found = faults(f"sqlite:///{path}", study_id, replace(record, acks=[*record.acks, lost]))
    assert found == [f"acknowledged but not there: {lost}"]


@pytest.mark.parametrize("content", [b"", b"another"])
def test_a_committed_content_that_is_not_whole_is_found(
    sound: Sound, tmp_path: Path, content: bytes
) -> None:
    path, study_id, record = sound
    contents = tmp_path / "contents"
    assert record.contents is not None
    shutil.copytree(record.contents, contents)
    last = record.acks_of("commit")[-1]
    (contents / "sealed" / last.id).write_bytes(content)
    found = faults(f"sqlite:///{path}", study_id, replace(record, contents=contents))
    assert found == [f"acknowledged but not there: {last}"]


def test_a_worker_that_was_not_told_of_a_commit_is_found(sound: Sound) -> None:
    path, study_id, record = sound
    acks = [_untold(ack) for ack in record.acks]
    (found,) = faults(f"sqlite:///{path}", study_id, replace(record, acks=acks))
    assert "was told to go on from None" in found


def _untold(ack: Ack) -> Ack:
    is_claim = ack.what == "claim"
    return replace(ack, data={**ack.data, "checkpoint_id": None}) if is_claim else ack
