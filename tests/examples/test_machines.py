"""What the pages say of several machines, of tokens, and of backups: on two machines of folders."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
import yaml

from tests.pages import DOCS, ROOT, blocks, marked

from .bench import Bench
from .machines import NAMES, Machines


def test_the_tokens_of_the_page_have_its_roles(machines: Machines) -> None:
    roles = {token["name"]: token["role"] for token in machines.call("/v1/tokens")["tokens"]}
    assert roles == {
        "me": "admin",
        "gpu-a": "worker",
        "nightly": "submitter",
        "wall-screen": "reader",
    }
    assert machines.call("/v1/studies", "screen")["studies"] == []


def test_a_token_that_is_taken_back_is_out(machines: Machines) -> None:
    tokens = machines.call("/v1/tokens")["tokens"]
    (found,) = (each["id"] for each in tokens if each["name"] == "nightly")
    machines.service.run(marked("a token taken back").replace("tk_...", found))
    with pytest.raises(AssertionError, match="token"):
        machines.call("/v1/studies", "nightly")


def test_the_readmes_two_machines_meet(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "another").mkdir()
    with ExitStack() as stack:
        service, other = Bench(tmp_path / "one", stack), Bench(tmp_path / "another", stack)
        service.run("tunewell migrate")
        service.stay(marked("two machines: the service's"))
        admin, worker = service.said.split()
        other.given |= {"tw_...": worker, NAMES[1]: service.url}
        other.stay(marked("two machines: the worker's"))
        service.env["TUNEWELL_TOKEN"] = admin
        (listed,) = json.loads(service.run("tunewell worker list --json"))["workers"]
        assert listed["slots"] == 4


@pytest.fixture
def second(machines: Machines) -> Bench:
    """The other machine, with the worker's token."""
    other = machines.other
    (other.folder / "gpu-a.token").write_text(machines.secret("gpu-a"))
    other.given["tw_..."] = machines.secret("gpu-a")
    return other


def test_a_worker_on_another_machine_runs_a_study(machines: Machines, second: Bench) -> None:
    worker = second.stay(marked("a remote worker: the worker"))
    said = machines.service.run(marked("a remote worker: the study"))
    assert said.startswith("trial_id=tr_")
    worker.end()
    shutil.copy(ROOT / "examples" / "own_objective.py", second.folder)
    second.env |= {"TUNEWELL_URL": machines.service.url, "TUNEWELL_TOKEN": second.given["tw_..."]}
    worker = second.stay(marked("a remote worker: own code"))
    (listed,) = machines.call("/v1/workers")["workers"]
    assert "line" in {offer["name"] for offer in listed["objectives"]}
    worker.end()


def test_own_training_runs_on_the_second_machine(machines: Machines, second: Bench) -> None:
    found = blocks(DOCS / "tutorials" / "own-pytorch.md")
    (code,) = (block for block in found if block.file == "my_module.py")
    (study,) = (block for block in found if block.language == "json")
    (second.folder / "my_module.py").write_text(code.text)
    worker = second.stay(marked("own training on a second machine"))
    (machines.service.folder / "by-workers.json").write_text(study.text)
    token = machines.secret("admin")
    said = machines.service.run(
        f"tunewell study run by-workers.json --url {machines.service.url} --token {token}"
    )
    assert "x=" in said
    worker.end()


def test_prometheus_is_let_in_as_the_page_sets_it_up(machines: Machines) -> None:
    service = machines.service
    service.given["tuning.example:8700"] = service.url.removeprefix("http://")
    (job,) = yaml.safe_load(service.filled(marked("the scrape")))["scrape_configs"]
    assert job["authorization"]["credentials_file"].startswith("/etc/prometheus/")
    ((target,),) = (each["targets"] for each in job["static_configs"])
    # Prometheus's own defaults: the scheme http, the path /metrics, the type Bearer.
    found = httpx.get(
        f"http://{target}/metrics", headers={"Authorization": f"Bearer {machines.secret('screen')}"}
    )
    assert "tunewell_database_up 1" in found.text
    assert httpx.get(f"http://{target}/metrics").status_code == 401


def test_a_backup_is_made_and_restored_and_has_the_lines_of_the_page(machines: Machines) -> None:
    folder = machines.service.folder
    machines.service.run(marked("backup and restore"))
    with closing(sqlite3.connect(folder / "new.db")) as restored:
        (count,) = restored.execute("SELECT count(*) FROM tokens").fetchone()
    assert count == len(machines.call("/v1/tokens")["tokens"])
    (file,) = folder.glob("tunewell-*.gz")
    made = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    shown = marked("the lines of a backup").splitlines()
    kinds = {tuple(line) for line in made if isinstance(line, dict)}
    for line in shown:
        if line.startswith("{"):
            assert tuple(re.findall(r'"(\w+)":', line)) in kinds, line
    assert json.loads(shown[-1].replace('"..."', "0"))["tables"] == made[-1]["tables"]
