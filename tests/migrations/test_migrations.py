"""Migrations: up, down and up again; what they make is what the tables say; one at a time."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from app.errors import Conflict, InvalidInput, Unavailable
from app.store import schema
from app.store.engine import parse_url
from app.store.opening import open_store
from app.store.schema import ServeLock
from app.store.tables import metadata
from tests.postgres import Postgres
from tests.store import making

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(parse_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_the_schema_goes_up_down_and_up_again(database_url: str) -> None:
    assert not schema.is_current(database_url)
    schema.upgrade(database_url)
    schema.upgrade(database_url)
    assert schema.is_current(database_url)
    assert tables(database_url) == set(metadata.tables)
    schema.downgrade(database_url, "base")
    assert not schema.is_current(database_url)
    assert tables(database_url) == set()
    schema.upgrade(database_url)
    store = open_store(database_url)
    assert schema.is_current(store)
    assert making.study(store).change_seq == 1
    store.close()


def test_rows_survive_the_way_down_to_the_first_schema_and_up_again(database_url: str) -> None:
    schema.upgrade(database_url)
    with closing(open_store(database_url)) as store:
        study = making.study(store)
        making.finished(store, study.id, 0.25)
        making.running(store, study.id, client_id="me")
        as_duplicate = text(
            "UPDATE trials SET source = 'duplicate', provenance = :of WHERE number = 1"
        )
        of = {"of": '{"duplicate_of": {"source": "user"}}'}
        store.write(lambda tx: tx.conn.execute(as_duplicate, of))
    before = rows(database_url)
    schema.downgrade(database_url, "0001")
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT count(*) FROM trials")).scalar() == 2
    schema.upgrade(database_url)
    [first] = [row for row in before["trials"] if row["source"] == "duplicate"]
    first["source"] = "user"  # the first schema knows no duplicates
    assert rows(database_url) == before


def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """What the tables of the first schema hold, as the database keeps it."""
    with connected(url) as connection:
        return {
            table: sorted(
                (dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}"))),
                key=lambda row: str(row["id"]),
            )
            for table in ("studies", "trials", "leases", "events")
        }


def test_a_migration_that_breaks_off_half_way_leaves_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(database_url)
    schema.downgrade(database_url, "0005")  # what follows makes an index
    before = described(database_url)
    broken = Operations.create_index

    def then_break_off(*given: Any, **named: Any) -> None:
        broken(*given, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(Operations, "create_index", then_break_off)
    with pytest.raises(KeyboardInterrupt):
        schema.upgrade(database_url)
    assert described(database_url) == before
    monkeypatch.setattr(Operations, "create_index", broken)
    schema.upgrade(database_url)
    assert schema.is_current(database_url)


def test_alembic_finds_no_difference_from_the_tables(migrated_url: str) -> None:
    with connected(migrated_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def _parts(sql: str) -> list[str]:
    """What stands between the commas outside inner parentheses: added columns come last."""
    body = re.sub(r"\s+", " ", sql)
    return sorted(part.strip(" ()") for part in re.split(r", (?![^()]*\))|\( (?=\w+ \w+)", body))


def described(url: str) -> list[Any]:
    """Everything that the database says of its tables, checks and indexes."""
    with connected(url) as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master"))
            return sorted(
                (name, _parts(sql or ""))
                for name, sql in rows
                if not name.startswith(("alembic", "sqlite_autoindex_alembic"))
            )
        found: list[Any] = []
        for statement in (
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT table_name || '.' || column_name, data_type || is_nullable"
            " FROM information_schema.columns WHERE table_schema = 'public'",
        ):
            found += [tuple(row) for row in connection.execute(text(statement))]
        return sorted(row for row in found if "alembic" not in row[0])


def test_the_migrated_schema_has_every_check_and_index_of_the_tables(
    migrated_url: str, database_url: str, tmp_path: Path, dialect: str
) -> None:
    url = f"sqlite:///{tmp_path / 'made.db'}" if dialect == "sqlite" else database_url
    with connected(url) as connection:
        metadata.create_all(connection)
        connection.commit()
    assert described(url) == described(migrated_url)


def test_services_that_start_together_migrate_one_by_one(database_url: str) -> None:
    found = making.together([lambda: schema.upgrade(database_url)] * 4)
    assert found == [None] * 4
    assert schema.is_current(database_url)


def test_a_database_out_of_reach_is_unavailable(tmp_path: Path) -> None:
    for url in (f"postgresql://nobody@/none?host={tmp_path}", f"sqlite:///{tmp_path}"):
        with pytest.raises(Unavailable):
            schema.upgrade(url)
        with pytest.raises(Unavailable):
            schema.is_current(url)


def test_a_schema_of_a_newer_version_is_refused(database_url: str) -> None:
    """After a step back to an older version of the service."""
    schema.upgrade(database_url)
    with closing(open_store(database_url)) as store:
        set_to = text("UPDATE alembic_version SET version_num = :to")
        store.write(lambda tx: tx.conn.execute(set_to, {"to": "9999"}))
        for call in (schema.upgrade, schema.is_current):
            with pytest.raises(Conflict, match="9999, which this version does not know"):
                call(database_url)
        store.write(lambda tx: tx.conn.execute(set_to, {"to": "0008"}))


def test_what_is_no_database_is_refused_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("This is a text, and longer than the head of a database's file would be. " * 9)
    folder = tmp_path / "folder"
    folder.mkdir()
    for url, reason in (
        (f"sqlite:///{file}", f"{file} cannot be used: .*not a database"),
        (f"sqlite:///{folder}", f"{folder} cannot be used: unable to open"),
        (
            f"postgresql://me:secret@/none?host={tmp_path}",
            "database cannot be used: .*No such file",
        ),
        (f"postgresql://me:secret@/none?nosuch=1&host={tmp_path}", "invalid connection option"),
    ):
        for call in (schema.upgrade, schema.is_current):
            with pytest.raises(Unavailable, match=reason) as refused:
                call(url)
            assert "secret" not in refused.value.detail


def test_a_role_that_may_not_make_the_schema_is_told_so(postgres: Postgres) -> None:
    with (
        postgres.database(is_migrated=False) as url,
        psycopg.connect(url, autocommit=True) as admin,
    ):
        admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        admin.execute("CREATE ROLE narrow LOGIN")
        try:
            with pytest.raises(Unavailable, match="no schema has been selected"):
                schema.upgrade(url.replace("//postgres:@", "//narrow:@"))
            admin.execute("GRANT USAGE ON SCHEMA public TO narrow")
            with pytest.raises(Unavailable, match="permission denied for schema public"):
                schema.upgrade(url.replace("//postgres:@", "//narrow:@"))
        finally:
            admin.execute("DROP OWNED BY narrow")
            admin.execute("DROP ROLE narrow")


def test_the_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a' / 'b.db'}"
    schema.upgrade(url)
    assert schema.is_current(url)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path / 'file' / 'folder' / 'b.db'}"
    for call in (ServeLock(url).__enter__, lambda: schema.upgrade(url), lambda: open_store(url)):
        with pytest.raises(Unavailable, match="folder cannot be written: not a directory"):
            call()


def test_a_new_file_on_a_full_disk_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    url = f"sqlite:///{tmp_path / 'a.db'}"
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(os, "write", full)
        with pytest.raises(Unavailable, match="no space left"):
            ServeLock(url).__enter__()
    with ServeLock(url):
        pass


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds the key that signs sessions."""
    file = tmp_path / "a.db"
    schema.upgrade(f"sqlite:///{file}")
    with closing(open_store(f"sqlite:///{file}")) as store:
        making.study(store)
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
    file.chmod(0o640)
    schema.upgrade(f"sqlite:///{file}")
    assert file.stat().st_mode & 0o777 == 0o640  # whoever shares it has said so


def test_an_sqlite_file_has_one_service(tmp_path: Path) -> None:
    url, link = f"sqlite:///{tmp_path / 'a.db'}", tmp_path / "link.db"
    link.symlink_to(tmp_path / "a.db")
    with ServeLock(url):
        for same in (url, f"sqlite:///{link}"):
            with pytest.raises(Conflict, match=str(os.getpid())) as refused, ServeLock(same):
                pass
            assert refused.value.code == "already-exists"
        with ServeLock(f"sqlite:///{tmp_path / 'b.db'}"):
            pass
    with ServeLock(url):
        pass


def test_the_lock_of_a_killed_service_is_free(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    code = (
        "import sys; from app.store.schema import ServeLock;"
        f"lock = ServeLock({url!r}).__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=str(holder.pid)), ServeLock(url):
            pass
        holder.kill()
    with ServeLock(url):
        pass


def test_a_postgres_database_has_many_services(tmp_path: Path) -> None:
    url = f"postgresql://nobody@/none?host={tmp_path}"
    with ServeLock(url), ServeLock(url):
        pass


def test_the_lock_wants_a_database_url() -> None:
    with pytest.raises(InvalidInput):
        ServeLock("nonsense")


def test_the_migrations_are_found_when_they_are_installed_as_a_package(tmp_path: Path) -> None:
    for name in ("app", "migrations"):
        shutil.copytree(
            ROOT / name,
            tmp_path / f"tunewell_{name}",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    code = (
        "from tunewell_app.store import schema; import tunewell_migrations;"
        "schema.upgrade('sqlite:///made.db'); print(schema.is_current('sqlite:///made.db'),"
        " schema.migrations_folder())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60, stdout=subprocess.PIPE
    )
    assert done.stdout.decode().split() == ["True", str(tmp_path / "tunewell_migrations")]


def test_alembics_own_command_runs_on_a_database_of_a_developer(tmp_path: Path) -> None:
    environment = {**os.environ, "TUNEWELL_DATABASE_URL": f"sqlite:///{tmp_path / 'dev.db'}"}
    code = (
        "from alembic.config import main;"
        "main(['upgrade', 'head']); main(['check']); main(['downgrade', 'base'])"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=environment, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
