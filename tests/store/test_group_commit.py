"""Group commit, counted where it matters: flushes to disk, fewer than transactions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from app.domain.event import EventKind
from app.store import studies
from app.store.engine import Store
from app.store.opening import open_store

from . import making
from .test_engine import ON_POSTGRES, ON_SQLITE, opened, with_options

ROOT = Path(__file__).resolve().parents[2]
N_WRITERS, N_WRITES = 16, 20

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

static int note(int (*real)(int), int fd) {
    int log = open(FSYNC_LOG, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (log >= 0) {
        if (write(log, "x", 1) != 1) _exit(97);
        close(log);
    }
    return real(fd);
}

int fsync(int fd) { return note((int (*)(int))dlsym(RTLD_NEXT, "fsync"), fd); }
int fdatasync(int fd) { return note((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"), fd); }
"""


def write_from_many_threads(store: Store) -> int:
    """Emits N_WRITES events in each of N_WRITERS studies at once; how many transactions it took."""
    ids = [making.study(store, f"s{k}").id for k in range(N_WRITERS)]

    def write(study_id: str) -> None:
        for _ in range(N_WRITES):
            store.write(lambda tx: studies.lock(tx, study_id).emit(EventKind.STUDY_BEST))

    found = making.together([lambda one=one: write(one) for one in ids])
    assert found == [None] * N_WRITERS
    assert {making.present(store, one).change_seq for one in ids} == {N_WRITES + 1}
    return N_WRITERS * (N_WRITES + 1)


def main(url: str) -> None:
    """What the counted process runs."""
    store = open_store(url)
    n_transactions = write_from_many_threads(store)
    stats = store.stats()
    store.close()
    assert stats.n_transactions == n_transactions
    sys.stdout.write(json.dumps({"transactions": n_transactions, "commits": stats.n_commits}))


@ON_SQLITE
def test_sqlite_flushes_less_often_than_it_commits_for_its_writers(
    migrated_url: str, tmp_path: Path
) -> None:
    compiler, log = shutil.which("cc"), tmp_path / "flushes"
    environment = dict(os.environ)
    if compiler is not None:
        source, library = tmp_path / "shim.c", tmp_path / "shim.so"
        source.write_text(f'#define FSYNC_LOG "{log}"\n{SHIM}')
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60
        )
        environment["LD_PRELOAD"] = str(library)
    code = f"from tests.store.test_group_commit import main; main({migrated_url!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=environment, check=True, timeout=120, stdout=subprocess.PIPE,
    )  # fmt: skip
    counted = json.loads(done.stdout)
    assert counted["commits"] < counted["transactions"]
    if compiler is not None:
        n_flushes = log.stat().st_size
        assert counted["commits"] <= n_flushes < counted["transactions"]


@ON_POSTGRES
def test_postgres_flushes_less_often_than_it_commits_for_its_writers(migrated_url: str) -> None:
    with opened(with_options(migrated_url, synchronous_commit="on"), pool_size=N_WRITERS) as store:
        unsubscribe = store.subscribe(lambda topics: None)
        n_transactions = write_from_many_threads(store)
        everyone = threading.Barrier(N_WRITERS)

        def hand_in(conn: Connection) -> None:
            everyone.wait(making.WAIT_S)  # so that each connection of the pool does it
            conn.execute(text("SELECT pg_stat_force_next_flush()"))

        making.together([lambda: store.read(hand_in)] * N_WRITERS)
        with psycopg.connect(migrated_url) as admin:
            row = admin.execute(
                "SELECT sum(io.fsyncs) FROM pg_stat_activity AS a,"
                " pg_stat_get_backend_io(a.pid) AS io"
                " WHERE a.datname = current_database() AND a.application_name = 'tunewell'"
                " AND io.object = 'wal'"
            ).fetchone()
        unsubscribe()
    assert row is not None
    assert 0 < row[0] < n_transactions


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_one_writer_alone_is_not_kept_waiting_for_others(store: Store) -> None:
    made = making.study(store)
    before = store.stats()
    for _ in range(5):
        making.trial(store, made.id)
    after = store.stats()
    assert after.n_commits - before.n_commits == 5
