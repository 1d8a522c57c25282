"""The Slurm recipe, submitted as the page has it and run as its nodes would run it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.test_cluster import SLURM
from tests.packaging.test_containers import ROOT, with_tunewell_on_path
from tests.pages import marked

from .running import Service, function_study

SBATCH = """#!/bin/bash
# As sbatch: takes the script over, has two of its tasks run, and goes.
set -euo pipefail
[[ $1 == --export=ALL ]]
grep -q '^#SBATCH --array=1-' "$2"
cp "$2" "$SPOOL/script"
for task in 1 2; do
    SLURM_ARRAY_JOB_ID=17 SLURM_ARRAY_TASK_ID=$task SLURMD_NODENAME=node-$task \
        bash "$SPOOL/script" < /dev/null > /dev/null 2> "$SPOOL/$task.err" &
done
wait
echo "Submitted batch job 17"
"""
"""No Slurm is here; this is what stands in for its queue and its nodes."""


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_two_nodes_of_an_array_serve_a_study_and_end(
    service: Service, folder: Path, tmp_path: Path
) -> None:
    study = service.call("POST", "/v1/studies", function_study("array", limits={"max_trials": 6}))
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    (tmp_path / SLURM.name).symlink_to(SLURM)
    env = {
        **with_tunewell_on_path(tmp_path),
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "SPOOL": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    text = marked("an array of Slurm").replace("http://login-node:8700", service.url)
    done = subprocess.run(
        ["bash", "-euc", text], cwd=tmp_path, env=env, timeout=120, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ended = service.study(study["id"])
    assert (ended["state"], ended["trial_counts"]["completed"]) == ("completed", 6)
    names = {worker["name"] for worker in service.call("GET", "/v1/workers")["workers"]}
    assert names == {"slurm-17-1", "slurm-17-2"}
    assert {path.name for path in (tmp_path / "tunewell-state").iterdir()} == {"17-1", "17-2"}
