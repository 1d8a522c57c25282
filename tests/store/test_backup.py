"""Backup and restore: a consistent snapshot of either database, into either database."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.blobs.base import Blobs
from app.blobs.folder import FolderBlobs
from app.blobs.opening import open_blobs
from app.domain.token import Role
from app.domain.trial import TrialState
from app.errors import AppError, Conflict, NotFound, Unavailable
from app.service.contents import BackedContents
from app.service.tokens import TokenService
from app.store import checkpoints, events, schema, studies, trials
from app.store.archive import DamagedBackup, verify
from app.store.backup import ContentsMade, backup
from app.store.copying import LEFT_OUT
from app.store.engine import Store
from app.store.opening import open_store
from app.store.restore import restore
from app.store.tables import metadata
from app.store.tables import replicas as replica_table
from app.store.transaction import Tx
from tests.postgres import Postgres

from . import making

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def quiet(table: str, n_rows: int) -> None:
    """Progress that nobody looks at."""


def save(url: str, path: Path) -> Path:
    backup(url, path, now=NOW, progress=quiet)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database to restore into, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored.db'}"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        with server.database(is_migrated=False) as url:
            yield url


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that a backup has, table by table, the transactions of events left out."""
    kept = [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]

    def read(conn: Any) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table.name: [
                tuple(row)
                for row in conn.execute(
                    select(*(c for c in table.c if c.name != "xid")).order_by(*table.primary_key)
                )
            ]
            for table in kept
        }

    return store.read(read)


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def fill(store: Store) -> None:
    """Rows of many kinds: odd text, numbers at their edges, leases, a token, an old definition."""
    odd = making.study(store, 'a "study" \\ odd \N{SNOWMAN}', description="line\n\\N\tline")
    trial, _ = making.running(store, odd.id, client_id="c")
    making.finished(store, odd.id, 0.1 + 0.2)
    making.finished(store, odd.id, 5e-324)
    making.finished(store, odd.id, -1.7976931348623157e308)
    making.move(store, trial, TrialState.CANCELLED)
    making.study(store, "second", labels={"k": "v"})
    TokenService(store).create("me", Role.ADMIN, None)


def test_every_row_comes_back_in_either_database(store: Store, tmp_path: Path, empty: str) -> None:
    fill(store)
    before = contents(store)
    made = save(store.url, tmp_path / "b.gz")
    done = restore(made, empty, progress=quiet)
    with opened(empty) as restored:
        assert contents(restored) == before
        assert schema.is_current(restored)
    assert done.rows["trials"] == 4
    assert done.header.source == store.dialect
    assert not {"replicas", "leaders"} & set(done.rows)


def test_what_comes_after_a_restore_goes_on_from_it(
    store: Store, tmp_path: Path, empty: str
) -> None:
    fill(store)
    restore(save(store.url, tmp_path / "b.gz"), empty, progress=quiet)
    with opened(empty) as restored:
        old = restored.read(lambda conn: events.feed(conn, None, 1000))
        tail = restored.read(events.tail)
        made = making.study(restored, "third")
        new = following(restored, tail)
        feed = restored.read(lambda conn: events.feed(conn, None, 1000))
    assert [event.study_id for event in new] == [made.id]
    assert feed == [*old, *new]


def following(store: Store, cursor: str) -> list[Any]:
    """Events behind a cursor, once there are any: transactions elsewhere in the cluster may hold
    the feed back for a moment.
    """
    deadline = time.monotonic() + making.WAIT_S
    while time.monotonic() < deadline:
        found = store.read(lambda conn: events.feed(conn, cursor, 1000))
        if found:
            return found
    raise AssertionError("no event came")


def test_a_backup_beside_busy_writers_is_one_instant(
    store: Store, tmp_path: Path, empty: str
) -> None:
    """The writers keep an invariant in each transaction; the backup must show no moment between."""
    made = [making.study(store, f"s{n}") for n in range(4)]
    stop, begun = threading.Event(), threading.Barrier(len(made) + 1)

    def write(study_id: str) -> None:
        begun.wait(making.WAIT_S)
        while not stop.is_set():
            making.trial(store, study_id)

    threads = [threading.Thread(target=write, args=(study.id,)) for study in made]
    for thread in threads:
        thread.start()
    begun.wait(making.WAIT_S)
    paths = [save(store.url, tmp_path / f"{n}.gz") for n in range(3)]
    stop.set()
    for thread in threads:
        thread.join(making.WAIT_S)
    sizes = [os.path.getsize(path) for path in paths]
    assert sizes[-1] > sizes[0]  # they did write meanwhile
    restore(paths[-1], empty, progress=quiet)
    with opened(empty) as restored:
        for study in made:
            found = making.present(restored, study.id)
            rows = restored.read(lambda conn, of=study.id: trials.get_many(conn, _ids(conn, of)))
            assert found.next_number == len(rows) + 1
            assert found.counts[TrialState.PENDING] == len(rows)
            seqs = [e.seq for e in restored.read(lambda c, of=study.id: _events(c, of))]
            assert seqs == list(range(1, found.change_seq + 1))
            making.trial(restored, study.id)


def _ids(conn: Any, study_id: str) -> list[str]:
    table = metadata.tables["trials"]
    return list(conn.execute(select(table.c.id).where(table.c.study_id == study_id)).scalars())


def _events(conn: Any, study_id: str) -> list[Any]:
    return events.of_study(conn, study_id, 0, 1_000_000)


@pytest.fixture
def made(tmp_path: Path, migrated_file: Path) -> Path:
    """A backup with rows in it."""
    source = tmp_path / "source.db"
    shutil.copyfile(migrated_file, source)
    with opened(f"sqlite:///{source}") as store:
        fill(store)
    return save(f"sqlite:///{source}", tmp_path / "made.gz")


def lines_of(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def without_a_row(path: Path) -> None:
    lines = lines_of(path)
    lines.remove(next(line for line in lines if line.startswith(b'["tr_')))
    path.write_bytes(gzip.compress(b"".join(lines)))


def with_a_value_changed(path: Path) -> None:
    path.write_bytes(gzip.compress(b"".join(lines_of(path)).replace(b"second", b"zecond")))


def without_its_end(path: Path) -> None:
    path.write_bytes(gzip.compress(b"".join(lines_of(path)[:-1])))


def without_a_table(path: Path) -> None:
    lines = lines_of(path)
    at = next(n for n, line in enumerate(lines) if b'"table":"signing_keys"' in line)
    path.write_bytes(gzip.compress(b"".join(lines[:at] + lines[at + 2 :])))


def with_more_behind(path: Path) -> None:
    path.write_bytes(gzip.compress(b"".join(lines_of(path)) + b"{}\n"))


def something_else(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"hello": 1}\n'))


def no_gzip(path: Path) -> None:
    path.write_text("hello")


def of_a_newer_format(path: Path) -> None:
    lines = lines_of(path)
    head = {**json.loads(lines[0]), "version": 99}
    path.write_bytes(gzip.compress(json.dumps(head).encode() + b"\n" + b"".join(lines[1:])))


DAMAGES: list[Callable[[Path], None]] = [
    cut_off, flipped, without_a_row, with_a_value_changed, without_its_end, without_a_table,
    with_more_behind, something_else, no_gzip, of_a_newer_format, Path.unlink,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_refused_before_anything_is_written(
    made: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    verify(made)
    damage(made)
    target = tmp_path / "target.db"
    with pytest.raises(DamagedBackup):
        restore(made, f"sqlite:///{target}", progress=quiet)
    assert not target.exists()


def test_a_backup_of_a_newer_schema_is_refused(made: Path, tmp_path: Path) -> None:
    lines = lines_of(made)
    head = {**json.loads(lines[0]), "schema_revision": "9999"}
    body = [json.dumps(head).encode() + b"\n", *lines[1:-1]]
    end = {**json.loads(lines[-1]), "sha256": hashlib.sha256(b"".join(body)).hexdigest()}
    made.write_bytes(gzip.compress(b"".join([*body, json.dumps(end).encode() + b"\n"])))
    with pytest.raises(DamagedBackup, match="newer"):
        restore(made, f"sqlite:///{tmp_path / 'target.db'}", progress=quiet)


def test_a_database_that_holds_something_is_not_restored_into(store: Store, made: Path) -> None:
    making.study(store, "mine")
    before = contents(store)
    with pytest.raises(Conflict, match="not empty"):
        restore(made, store.url, progress=quiet)
    assert contents(store) == before


def test_a_served_database_is_not_restored_into(store: Store, made: Path) -> None:
    if store.dialect == "sqlite":
        with schema.ServeLock(store.url), pytest.raises(Conflict, match="served"):
            restore(made, store.url, progress=quiet)
        return
    row = {"id": "rp_1", "started_at": NOW, "seen_at": NOW}
    store.write(lambda tx: tx.conn.execute(replica_table.insert(), row))
    with pytest.raises(Conflict, match="served"):
        restore(made, store.url, progress=quiet)


def test_a_migrated_database_without_rows_is_restored_into(store: Store, made: Path) -> None:
    url = store.url
    store.close()
    assert restore(made, url, progress=quiet).rows["studies"] == 2


def test_a_restore_that_breaks_off_leaves_the_database_empty(
    made: Path, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(table: str, n_rows: int) -> None:
        if table == "trials":
            raise AppError("the test pulls the plug")

    with pytest.raises(AppError, match="plug"):
        restore(made, empty, progress=break_off)
    with opened(empty) as store:
        assert not any(contents(store).values())
    assert restore(made, empty, progress=quiet).rows["trials"] == 4


def test_an_older_schema_is_backed_up_and_restored(tmp_path: Path, empty: str) -> None:
    old = f"sqlite:///{tmp_path / 'old.db'}"
    schema.upgrade(old, "0002")
    made = save(old, tmp_path / "old.gz")
    assert verify(made).schema_revision == "0002"
    restore(made, empty, progress=quiet)
    with opened(empty) as store:
        assert schema.is_current(store)


def test_a_file_is_never_overwritten_and_nothing_is_left_behind(
    store: Store, tmp_path: Path
) -> None:
    there = tmp_path / "there.gz"
    there.write_text("mine")
    with pytest.raises(Conflict):
        save(store.url, there)
    assert there.read_text() == "mine"
    folder = tmp_path / "folder"
    folder.mkdir()
    made = save(store.url, folder / "new.gz")
    assert [path.name for path in folder.iterdir()] == ["new.gz"]
    assert made.stat().st_mode & 0o077 == 0


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "no.db"
    with pytest.raises(NotFound):
        save(f"sqlite:///{file}", tmp_path / "b.gz")
    assert not file.exists()
    assert not (tmp_path / "b.gz").exists()


def test_a_database_without_our_schema_is_not_backed_up(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        (tmp_path / "tunewell.db").touch()
    with pytest.raises(NotFound, match="schema"):
        save(database_url, tmp_path / "b.gz")


def test_studies_of_a_restored_database_are_found(made: Path, empty: str) -> None:
    restore(made, empty, progress=quiet)
    with opened(empty) as store:
        assert store.read(lambda conn: studies.by_name(conn, "second")) is not None


CONTENTS = [bytes(range(256)) * 5000, b"", b"second"]
"""One of more than a piece, an empty one, a small one."""


@dataclass(frozen=True)
class Saved:
    """Committed checkpoints of a database, and where their contents lie."""

    blobs: Blobs
    ids: list[str]

    def read(self, key: str, size_bytes: int) -> Iterator[bytes]:
        return BackedContents(self.blobs).read(key, size_bytes)


def seal(blobs: Blobs, key: str, content: bytes) -> None:
    with blobs.chunk(key, 0) as chunk:
        chunk.write(content)
    blobs.seal(key, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def saved(store: Store, tmp_path: Path) -> Saved:
    """Trials with a committed checkpoint each, and one whose upload was never committed."""
    blobs, study = FolderBlobs(tmp_path / "contents"), making.study(store, "s")
    ids = [saved_by(store, blobs, study.id, content) for content in CONTENTS]
    saved_by(store, blobs, study.id, b"not committed", is_committed=False)
    return Saved(blobs, ids)


def saved_by(
    store: Store, blobs: Blobs, study_id: str, content: bytes, *, is_committed: bool = True
) -> str:
    trial, lease = making.running(store, study_id, client_id="c")

    def commit(tx: Tx) -> str:
        held = studies.lock(tx, study_id)
        made = checkpoints.insert(
            held, trial, lease, step=1, size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
        if is_committed:
            checkpoints.commit(held, trial, made)
        return made.id

    key = store.write(commit)
    if is_committed:
        seal(blobs, key, content)
    return key


def test_contents_of_checkpoints_come_back(
    store: Store, saved: Saved, tmp_path: Path, empty: str
) -> None:
    """Into a folder beside SQLite, and beside Postgres into a place of fsspec."""
    done = backup(store.url, tmp_path / "b.gz", now=NOW, progress=quiet, read=saved.read)
    assert done.contents == ContentsMade(whole=saved.ids, size_bytes=sum(map(len, CONTENTS)))
    is_sqlite = empty.startswith("sqlite")
    target = open_blobs(str(tmp_path / "new") if is_sqlite else f"memory://{tmp_path.name}")
    restored = restore(tmp_path / "b.gz", empty, progress=quiet, contents=BackedContents(target))
    assert restored.contents == saved.ids
    assert restored.rows["checkpoints"] == len(CONTENTS) + 1
    assert sorted(target.keys()) == sorted(saved.ids)
    found = [b"".join(target.read(key, 0, 1 << 30)) for key in saved.ids]
    assert found == CONTENTS


@pytest.mark.one_database
def test_a_content_that_is_gone_or_differs_is_told_and_not_restored(
    store: Store, saved: Saved, tmp_path: Path
) -> None:
    whole, gone, differs = saved.ids[1], saved.ids[0], saved.ids[2]
    saved.blobs.remove(gone)
    (tmp_path / "contents" / "sealed" / differs).write_bytes(b"sEcond")
    path, place = tmp_path / "b.gz", FolderBlobs(tmp_path / "new")
    done = backup(store.url, path, now=NOW, progress=quiet, read=saved.read)
    assert done.contents == ContentsMade(whole=[whole], gone=[gone], damaged=[differs])
    url = f"sqlite:///{tmp_path / 'new.db'}"
    restored = restore(path, url, progress=quiet, contents=BackedContents(place))
    assert restored.contents == [whole] == list(place.keys())


@pytest.mark.one_database
def test_contents_are_left_out_when_told(saved: Saved, store: Store, tmp_path: Path) -> None:
    with_them, without = tmp_path / "with.gz", tmp_path / "without.gz"
    backup(store.url, with_them, now=NOW, progress=quiet, read=saved.read)
    assert backup(store.url, without, now=NOW, progress=quiet).contents is None
    assert json.loads(lines_of(without)[0])["version"] == 1  # as older versions read it
    assert json.loads(lines_of(with_them)[0])["version"] == 2
    url = f"sqlite:///{tmp_path / 'new.db'}"
    with pytest.raises(Conflict, match="--checkpoint-dir"):
        restore(with_them, url, progress=quiet)
    assert not (tmp_path / "new.db").exists()
    restored = restore(with_them, url, progress=quiet, is_without_contents=True)
    assert restored.contents is None
    assert restored.rows["checkpoints"] == len(CONTENTS) + 1


@pytest.mark.one_database
def test_a_place_that_cannot_be_read_ends_the_backup(
    saved: Saved, store: Store, tmp_path: Path
) -> None:
    def unreadable(key: str, size_bytes: int) -> Iterator[bytes]:
        raise PermissionError(13, "Permission denied", key)

    with pytest.raises(Unavailable, match="--no-checkpoints"):
        backup(store.url, tmp_path / "b.gz", now=NOW, progress=quiet, read=unreadable)
    assert not list(tmp_path.glob("b.gz*"))


@pytest.fixture
def made_with_contents(store: Store, saved: Saved, tmp_path: Path) -> Path:
    backup(store.url, tmp_path / "c.gz", now=NOW, progress=quiet, read=saved.read)
    return tmp_path / "c.gz"


@pytest.mark.one_database
def test_a_restore_that_breaks_off_leaves_no_content(
    made_with_contents: Path, tmp_path: Path
) -> None:
    def break_off(table: str, n_rows: int) -> None:
        if table == "trials":
            raise AppError("the test pulls the plug")

    place = FolderBlobs(tmp_path / "new")
    url = f"sqlite:///{tmp_path / 'new.db'}"
    with pytest.raises(AppError, match="plug"):
        restore(made_with_contents, url, progress=break_off, contents=BackedContents(place))
    assert list(place.keys()) == []


@pytest.mark.one_database
def test_what_lies_in_the_place_stays_or_is_in_the_way(
    made_with_contents: Path, saved: Saved, tmp_path: Path
) -> None:
    url, other = (f"sqlite:///{tmp_path / name}" for name in ("new.db", "other.db"))
    restored = restore(
        made_with_contents, url, progress=quiet, contents=BackedContents(saved.blobs)
    )
    assert restored.contents == saved.ids
    place = FolderBlobs(tmp_path / "new")
    seal(place, saved.ids[2], b"another")
    with pytest.raises(Conflict, match="another content"):
        restore(made_with_contents, other, progress=quiet, contents=BackedContents(place))
    assert list(place.keys()) == [saved.ids[2]]


@pytest.mark.one_database
@pytest.mark.parametrize("found", [b"second", b'"size_bytes":6', b'{"bytes":6}\n'])
def test_a_damaged_content_is_refused_before_anything_is_written(
    made_with_contents: Path, tmp_path: Path, found: bytes
) -> None:
    text = gzip.decompress(made_with_contents.read_bytes())
    assert text.count(found) == 1
    made_with_contents.write_bytes(
        gzip.compress(text.replace(found, found.replace(b"6", b"5").replace(b"s", b"z", 1)))
    )
    place = FolderBlobs(tmp_path / "new")
    with pytest.raises(DamagedBackup):
        restore(
            made_with_contents, f"sqlite:///{tmp_path / 'new.db'}", progress=quiet,
            contents=BackedContents(place),
        )  # fmt: skip
    assert list(place.keys()) == []
