"""No cluster is at hand: the recipes are parsed. `tests/system/test_slurm.py` runs the script."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunewell import cli

from .test_containers import DOCKER, ROOT, with_tunewell_on_path

CLUSTER = ROOT / "examples" / "cluster"
MANIFESTS = {"kubernetes-workers.yaml": "Deployment", "kubernetes-job.yaml": "Job"}
SLURM = CLUSTER / "slurm-workers.sh"


def pod_of(name: str) -> Any:
    manifest = yaml.safe_load((CLUSTER / name).read_text())
    assert manifest["kind"] == MANIFESTS[name]
    return manifest["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_pod_has_what_the_image_needs(name: str) -> None:
    pod = pod_of(name)
    (container,) = pod["containers"]
    env = {each["name"]: each for each in container["env"]}
    assert env["TUNEWELL_URL"]["value"].startswith("http://")
    assert env["TUNEWELL_TOKEN"]["valueFrom"]["secretKeyRef"]["key"] == "token"
    text = (DOCKER / "start-worker.sh").read_text()
    assert all(f"${{{given}" in text or f"${given}" in text for given in env)
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted <= {each["name"] for each in pod["volumes"]}
    assert "/state" in {each["mountPath"] for each in container["volumeMounts"]}
    assert pod["terminationGracePeriodSeconds"] > 60


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_arguments_of_a_pod_are_options_of_the_worker(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["worker", "run", "--help"]) == 0
    options = capsys.readouterr().out
    (container,) = pod_of(name)["containers"]
    for argument in container["args"]:
        assert not argument.startswith("--") or argument in options


def test_a_deployment_finds_its_pods() -> None:
    spec = yaml.safe_load((CLUSTER / "kubernetes-workers.yaml").read_text())["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_the_workers_of_a_job_end_by_themselves() -> None:
    (container,) = pod_of("kubernetes-job.yaml")["containers"]
    assert "--exit-when-idle" in container["args"]


def test_the_image_takes_a_token_from_its_environment(tmp_path: Path) -> None:
    (tmp_path / "tunewell").write_text('#!/bin/sh\necho "$TUNEWELL_TOKEN" "$@"\n')
    (tmp_path / "tunewell").chmod(0o755)
    env = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "TUNEWELL_URL": "http://service:8700",
        "TUNEWELL_TOKEN": "tw_given",
    }
    done = subprocess.run(
        [str(DOCKER / "start-worker.sh"), "--exit-when-idle"],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        "tw_given worker run --url http://service:8700 --slots 1 --devices auto --exit-when-idle\n"
    )


def test_the_slurm_script_is_sound_and_asks_for_an_array() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    text = SLURM.read_text()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.MULTILINE))
    assert {"array", "gres", "cpus-per-task", "mem", "time", "signal"} <= set(asked)
    # The worker is the batch shell itself, which Slurm signals with B: alone.
    assert asked["signal"].startswith("B:TERM@")
    # Options have to stand before the first command.
    assert text.rindex("#SBATCH") < text.index("set -euo pipefail")


def test_a_node_without_a_token_says_so(tmp_path: Path) -> None:
    env = {**with_tunewell_on_path(tmp_path), "TUNEWELL_URL": "http://nowhere"}
    env.pop("TUNEWELL_TOKEN", None)
    done = subprocess.run(
        ["bash", str(SLURM)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "a token of role worker" in done.stderr
