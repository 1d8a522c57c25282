"""The code blocks of the pages on own code, checkpoints and early stopping, as they stand there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.fake_service import FakeService
from tests.unit.workers.test_worker import worker
from tunewell.client import Client
from tunewell.private import Local
from workers.command_spec import read_spec

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
GIVEN = """
import tunewell


def train(*_):
    return 0.5


train_one_epoch = train


def initial_weights(units, seed):
    return [0.0]


def train_stacked(weights, to_steps):
    return weights, [0.5] * len(weights)
"""
"""What the reader's own code is, which the pages leave out."""
NETWORK = """
import torch


def build(params):
    model = torch.nn.Linear(1, 1)
    return model, torch.optim.Adam(model.parameters())
"""
"""The same for blocks that build a network; only those wait for torch to be loaded."""


def blocks(page: str, language: str) -> list[str]:
    found: list[str] = re.findall(
        rf"```{language}\n(.*?)```", (PAGES / page).read_text(), re.DOTALL
    )
    return found


PYTHON = [
    pytest.param(block, id=f"{page}-{index}")
    for page in ("own-code.md", "checkpoints.md", "early-stopping.md")
    for index, block in enumerate(blocks(page, "python"))
]


def test_no_block_is_left_out() -> None:
    kinds = {
        page: sorted(re.findall(r"^```(\w+)$", (PAGES / page).read_text(), re.MULTILINE))
        for page in ("own-code.md", "checkpoints.md", "early-stopping.md", "history.md")
    }
    assert kinds == {
        "own-code.md": ["python", "python", "python", "python", "toml"],
        "checkpoints.md": ["python", "sh"],
        "early-stopping.md": ["json", "python"],
        "history.md": ["python", "sh", "sh", "sh", "sh"],
    }


@pytest.mark.parametrize("block", PYTHON)
def test_an_objective_trains_pauses_and_goes_on_where_it_saved(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = GIVEN + NETWORK if "torch" in block else GIVEN
    (tmp_path / "my_module.py").write_text(given + block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEWELL_STATE_DIR", str(tmp_path / "state"))
    *_, name = re.findall(r"^(?:def|class) (\w+)", block, re.MULTILINE)
    with FakeService() as service:
        service.verdicts["ls_1", 3] = ("pause", 3)
        params = {"units": 63.7}
        with worker(service, f"my_module:{name}"):
            service.wait_for(lambda: service.registrations)
            offer = service.registrations[0]["objectives"][-1]
            service.add("ls_1", offer["name"], params=params, to_step=3)
            service.wait_for(service.ends)
            saved = service.contents.get("ck_1")
            resumed = (3, saved) if saved else None
            service.add("ls_2", offer["name"], params=params, checkpoint=resumed)
            service.wait_for(lambda: len(service.ends()) == 2)
    assert (saved is not None) == offer["checkpoints"]
    (_, paused), (how, last) = service.ends()
    assert paused["reason"] == "paused"
    assert (how, last["values"]) == ("complete", {"accuracy": 0.5})
    steps = [point["step"] for each in service.reports() for point in each["points"]]
    assert steps[:3] == [1, 2, 3]
    assert steps[3:] == list(range(4 if saved else 1, steps[-1] + 1))
    assert steps[-1] >= 9


def test_the_file_of_a_command_has_no_fault(tmp_path: Path) -> None:
    (block,) = blocks("own-code.md", "toml")
    (tmp_path / "my_net.toml").write_text(block)
    spec = read_spec(f"my-net={tmp_path / 'my_net.toml'}")
    assert spec.metrics == {"accuracy": "maximize"}


def study(**more: Any) -> dict[str, Any]:
    space = [{"name": "x", "type": "float", "low": 0, "high": 1}]
    metrics = [{"name": "accuracy", "direction": "maximize"}]
    return {"metrics": metrics, "space": space, **more}


def test_the_rule_of_the_page_is_one_that_the_service_takes(local: Local) -> None:
    (block,) = blocks("early-stopping.md", "json")
    body = study(name="rule-of-the-page", **json.loads(f"{{{block}}}"))
    with Client(local.url) as client:
        made = client.request("POST", "/v1/studies", body=body)
    assert made["definition"]["early_stopping"]["options"]["eta"] == 3


def test_a_checkpoint_is_sent_and_read_by_hand(local: Local, tmp_path: Path) -> None:
    with Client(local.url) as client:
        _send_and_read(client, local.url, tmp_path)


def _send_and_read(client: Client, url: str, tmp_path: Path) -> None:
    made = client.request("POST", "/v1/studies", body=study(name="by-hand"))
    (asked,) = client.request("POST", f"/v1/studies/{made['id']}:suggest", body={})["trials"]
    lease = asked["lease_id"]
    points = [{"step": 3, "values": {"accuracy": 0.5}}]
    body = {"lease_id": lease, "seq": 0, "points": points}
    client.request("POST", f"/v1/trials/{asked['id']}/measurements", body=body)
    (tmp_path / "model.pt").write_bytes(content := b"any content" * 1000)
    (block,) = blocks("checkpoints.md", "sh")
    filled = block.replace("tr_...", asked["id"]).replace("ls_...", lease)
    subprocess.run(
        ["bash", "-euc", filled],
        cwd=tmp_path,
        env={"URL": url, "PATH": os.environ["PATH"]},
        check=True,
        timeout=60,
        capture_output=True,
    )
    copy = (tmp_path / "copy.pt").read_bytes()
    assert hashlib.sha256(copy).digest() == hashlib.sha256(content).digest()


def test_history_is_brought_as_the_page_says(local: Local, tmp_path: Path) -> None:
    storages = Path(__file__).parents[1] / "unit" / "tunewell" / "history" / "storages"
    shutil.copy(storages / "optuna-5.db", tmp_path / "optuna.db")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "tunewell"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m tunewell "$@"\n')
    command.chmod(0o755)
    (tmp_path / "write.py").write_text(blocks("history.md", "python")[0])
    *shell, last = blocks("history.md", "sh")
    script = "\n".join([*shell, f'"{sys.executable}" write.py', last])
    ran = subprocess.run(
        ["bash", "-euxc", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}",
             "TUNEWELL_URL": local.url},
        check=False, timeout=170, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    ends = [line for line in ran.stdout.splitlines() if " imported  " in line]
    assert ends == [
        "net  12 imported  0 there already  0 refused",
        "net  0 imported  12 there already  0 refused",
        "tuned  12 imported  0 there already  0 refused",
        "from-csv  2 imported  0 there already  0 refused",
        "from-csv  2 imported  0 there already  0 refused",
    ]
    with Client(local.url) as client:
        found = client.find_study("from-csv")
    assert (found["trial_counts"], found["best"]["values"]) == (
        {"completed": 3, "failed": 1},
        {"accuracy": 0.978},
    )
