"""Reports on disk: nothing is lost, nothing comes twice from one file, a crash's remains are
mended.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from workers.spool import Header, Record, Spool
from workers.spool_folder import KEEP_S, SpoolFolder

HEADER = Header(url="http://a", lease_id="ls_1", trial_id="tr_1")


def record(seq: int) -> Record:
    return Record(kind="report", body={"seq": seq})


def all_of(spool: Spool) -> list[Any]:
    found = []
    while (waiting := spool.peek(0.0)) is not None:
        found.append(waiting.body["seq"])
        spool.take()
    return found


def test_records_come_back_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    for seq in range(3):
        spool.append(record(seq))
    assert all_of(spool) == [0, 1, 2]
    spool.append(record(3))
    assert all_of(spool) == [3]
    spool.close()


def test_a_record_that_was_not_taken_comes_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    spool.append(record(0))
    assert spool.peek(0.0) == spool.peek(0.0) == record(0)
    spool.close()


def test_a_later_process_reads_everything_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    spool.append(record(0))
    all_of(spool)
    spool.append(record(1))
    spool.close()
    later = Spool.reopen(tmp_path / "a")
    assert later.header == HEADER
    assert all_of(later) == [0, 1]
    later.close()


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_that_a_crash_left_incomplete_is_cut_off(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    spool.append(record(0))
    spool.append(record(1))
    spool.close()
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content[:-cut])
    later = Spool.reopen(tmp_path / "a")
    later.append(record(2))
    assert all_of(later) == [0, 2]
    later.close()


def test_what_is_appended_is_on_disk_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    spool.append(record(5))
    lines = (tmp_path / "a").read_text().splitlines()
    assert json.loads(lines[-1]) == {"kind": "report", "body": {"seq": 5}}
    spool.close()


def test_each_record_is_synced_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    spool = Spool(tmp_path / "a", HEADER)
    monkeypatch.setattr("workers.spool.os.fsync", synced.append)
    spool.append(record(0))
    file_and_folder = 2  # and its name in the folder, before anybody hears of the record
    assert len(synced) == file_and_folder
    spool.append(record(1))
    assert len(synced) == file_and_folder + 1
    spool.close()


def test_a_record_is_given_out_once_it_is_synced_and_nobody_waits_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Callable[[], None]] = []
    synced: list[int] = []
    spool = Spool(tmp_path / "a", HEADER, calls.append)
    monkeypatch.setattr("workers.spool.os.fsync", synced.append)
    spool.append(record(0))
    spool.append(record(1))
    assert (spool.peek(0.0), synced, len(calls)) == (None, [], 1)
    assert spool.has_waiting
    calls.pop()()
    assert all_of(spool) == [0, 1]
    file_and_folder = 2
    assert len(synced) == file_and_folder
    spool.append(record(2))
    spool.close()
    assert len(synced) == file_and_folder + 1
    monkeypatch.undo()
    later = Spool.reopen(tmp_path / "a")
    assert all_of(later) == [0, 1, 2]
    later.close()


def test_what_the_disk_does_not_keep_is_given_out_from_memory_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Callable[[], None]] = []
    told: list[OSError] = []
    spool = Spool(tmp_path / "a", HEADER, calls.append)
    spool.on_broken = told.append
    spool.append(record(0))
    calls.pop()()
    spool.append(record(1))
    spool.hold(record(2))  # which did not fit
    error = OSError(5, "Input/output error")
    monkeypatch.setattr("workers.spool.os.fsync", Mock(side_effect=error))
    calls.pop()()
    spool.append(record(3))
    assert told == [error]
    assert all_of(spool) == [0, 1, 2, 3]
    assert not spool.has_waiting
    spool.close()


def test_a_dropped_spool_leaves_nothing_and_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    spool.drop()
    spool.append(record(0))
    assert spool.peek(0.0) is None
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_dead_process_are_taken_over_by_the_next(tmp_path: Path) -> None:
    dead = SpoolFolder(tmp_path)
    spool = dead.open(HEADER)
    spool.append(record(0))
    spool.close()
    dead.close()
    with closing(SpoolFolder(tmp_path)) as later:
        found = list(later.orphans("http://a"))
    assert [all_of(each) for each in found] == [[0]]
    for each in found:
        each.drop()


def test_the_files_of_a_dead_process_are_taken_over_by_one(tmp_path: Path) -> None:
    """Two workers of a user that start at once, as after a power cut, share a state folder."""
    dead = SpoolFolder(tmp_path)
    for name in ("ls_1", "ls_2"):
        dead.open(replace(HEADER, lease_id=name)).close()
    dead.close()
    with closing(SpoolFolder(tmp_path)) as one, closing(SpoolFolder(tmp_path)) as other:
        found = one.orphans("http://a")
        next(found).drop()
        assert list(other.orphans("http://a")) == []
        for spool in found:
            spool.drop()
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["gate"]


def test_what_else_a_dead_process_left_goes_with_its_folder(tmp_path: Path) -> None:
    dead = SpoolFolder(tmp_path)
    left = dead.open(HEADER)
    (left.checkpoint_dir / "trial").mkdir(parents=True)
    left.path.unlink()
    left.close()
    dead.close()
    with closing(SpoolFolder(tmp_path)) as later:
        assert list(later.orphans("http://a")) == []
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["gate"]


def test_the_files_of_a_living_process_are_left_to_it(tmp_path: Path) -> None:
    alive = SpoolFolder(tmp_path)
    spool = alive.open(HEADER)
    with closing(SpoolFolder(tmp_path)) as later:
        assert list(later.orphans("http://a")) == []
    spool.drop()
    alive.close()


def test_files_for_another_service_are_left_until_they_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = SpoolFolder(tmp_path)
    spool = dead.open(HEADER)
    spool.close()
    dead.close()
    with closing(SpoolFolder(tmp_path)) as later:
        assert list(later.orphans("http://other")) == []
    assert spool.path.exists()
    written_at = spool.path.stat().st_mtime
    monkeypatch.setattr("workers.spool_folder.time.time", lambda: written_at + KEEP_S + 1)
    with closing(SpoolFolder(tmp_path)) as later:
        assert list(later.orphans("http://other")) == []
    assert not spool.path.exists()


def test_an_empty_folder_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    SpoolFolder(tmp_path).close()
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["gate"]


def test_a_write_that_the_disk_does_not_take_leaves_nothing_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    spool.append(record(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            spool.append(Record(kind="logs", body={"text": "x" * 60_000}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.append(record(1))
    assert all_of(spool) == [0, 1]
    spool.close()


def test_a_record_that_is_held_in_memory_comes_after_those_on_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", HEADER)
    spool.append(record(0))
    spool.hold(record(1))
    assert all_of(spool) == [0, 1]
    assert not spool.has_waiting
    spool.close()


def test_a_file_that_the_disk_does_not_take_is_not_left_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            Spool(tmp_path / "a", HEADER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
