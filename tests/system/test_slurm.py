"""The Slurm recipe, run as its nodes would run it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.test_cluster import SLURM
from tests.packaging.test_containers import ROOT, with_tunewell_on_path

from .running import Service, function_study


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_two_nodes_of_an_array_serve_a_study_and_end(
    service: Service, folder: Path, tmp_path: Path
) -> None:
    study = service.call("POST", "/v1/studies", function_study("array", limits={"max_trials": 6}))
    env = {
        **with_tunewell_on_path(tmp_path),
        "PYTHONPATH": str(ROOT),
        "TUNEWELL_URL": service.url,
        "TUNEWELL_TOKEN": "tw_unused",
        "TUNEWELL_STATE_DIR": str(tmp_path / "state"),
        "SLURM_ARRAY_JOB_ID": "17",
    }
    nodes = [
        subprocess.Popen(
            ["bash", str(SLURM)], cwd=tmp_path, env={**env, "SLURM_ARRAY_TASK_ID": task},
            stdout=subprocess.DEVNULL,
        )
        for task in ("1", "2")
    ]  # fmt: skip
    assert [node.wait(timeout=120) for node in nodes] == [0, 0]
    ended = service.study(study["id"])
    assert (ended["state"], ended["trial_counts"]["completed"]) == ("completed", 6)
    names = {worker["name"] for worker in service.call("GET", "/v1/workers")["workers"]}
    assert names == {"slurm-17-1", "slurm-17-2"}
