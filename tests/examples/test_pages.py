"""The code blocks of the pages on own code, checkpoints and early stopping, as they stand there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.fake_service import FakeService
from tests.unit.workers.test_worker import worker
from tunewell.client import Client
from tunewell.private import Local
from workers.command_spec import read_spec
from workers.offers import probe

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
GIVEN = """
import torch
import tunewell


def build(params):
    model = torch.nn.Linear(1, 1)
    return model, torch.optim.Adam(model.parameters())


def train(*_):
    return 0.5


train_one_epoch = train
"""
"""What the reader's own code is, which the pages leave out."""


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
        for page in ("own-code.md", "checkpoints.md", "early-stopping.md")
    }
    assert kinds == {
        "own-code.md": ["python", "python", "python", "toml"],
        "checkpoints.md": ["python", "sh"],
        "early-stopping.md": ["json", "python"],
    }


@pytest.mark.parametrize("block", PYTHON)
def test_an_objective_trains_pauses_and_goes_on_where_it_saved(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_module.py").write_text(GIVEN + block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEWELL_STATE_DIR", str(tmp_path / "state"))
    *_, name = re.findall(r"^(?:def|class) (\w+)", block, re.MULTILINE)
    offer = probe(f"my_module:{name}", str(tmp_path))
    with FakeService() as service:
        service.verdicts["ls_1", 3] = ("pause", 3)
        params = {"units": 63.7}
        service.add("ls_1", offer["name"], params=params, to_step=3)
        with worker(service, f"my_module:{name}"):
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
