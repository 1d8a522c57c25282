"""No container engine runs here: the images' scripts are run with what the files give them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunewell.client import Client

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
JOB = ROOT / "examples" / "cluster" / "kubernetes-job.yaml"


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_compose_file_has_database_service_and_worker(compose: Any) -> None:
    services = compose["services"]
    assert set(services) == {"database", "service", "worker"}
    assert services["worker"]["depends_on"]["service"]["condition"] == "service_healthy"
    assert services["service"]["depends_on"]["database"]["condition"] == "service_healthy"
    assert services["service"]["ports"] == ["127.0.0.1:8700:8700"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in compose["volumes"]


def test_no_password_stands_in_the_compose_file(compose: Any) -> None:
    password = compose["services"]["database"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${POSTGRES_PASSWORD:?")


def test_the_images_run_scripts_only_and_not_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for run in re.findall(r"^RUN (.*)$", text, re.MULTILINE):
        script = ROOT / run.split()[0].removeprefix("/source").lstrip("/")
        assert script.parent == DOCKER, run
        assert os.access(script, os.X_OK), run
    for stage in ("service", "worker"):
        body = text.split(f"FROM base AS {stage}")[1].split("\nFROM ")[0]
        assert "USER tunewell" in body
    assert "HEALTHCHECK" in text
    for target in ("service", "worker"):
        assert f"AS {target}" in text


@pytest.mark.parametrize("script", sorted(DOCKER.glob("*.sh")), ids=lambda path: path.name)
def test_every_script_is_sound_shell(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert "\nset -eu\n" in script.read_text() or "exec python3" in script.read_text()


def with_tunewell_on_path(folder: Path) -> dict[str, str]:
    """An environment in which `tunewell` is this checkout's."""
    command = folder / "tunewell"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m tunewell "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def run_the_containers_of_workers(url: str, env: dict[str, str], folder: Path) -> None:
    """Two studies, one by the pods of the Kubernetes Job, one by the compose file's worker."""
    admin = (folder / "tokens" / "admin").read_text().strip()
    secret = (folder / "tokens" / "worker").read_text().strip()
    (container,) = yaml.safe_load(JOB.read_text())["spec"]["template"]["spec"]["containers"]
    of_pod = {each["name"]: each.get("value", secret) for each in container["env"]}
    worker = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["worker"]
    ways = {"pod": (of_pod, container["args"]), "compose": (worker["environment"], [])}
    for name, (given, arguments) in ways.items():
        own = {**env, **given, "TUNEWELL_URL": url, "TUNEWELL_STATE_DIR": str(folder / name)}
        with Client(url, token=admin) as client:
            study = client.request("POST", "/v1/studies", body=function_study(name))
            with subprocess.Popen(
                [str(DOCKER / "start-worker.sh"), *arguments], env=own, stdout=subprocess.DEVNULL
            ) as process:
                if arguments:  # the workers of the Job end by themselves
                    assert process.wait(timeout=120) == 0
                wait_until_it_ends(client, study["id"])
                process.terminate()


def function_study(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "objective": {"name": "function"},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x0", "type": "float", "low": -5, "high": 5}],
        "suggester": {"name": "random"},
        "limits": {"max_trials": 3},
    }


def wait_until_it_ends(client: Client, study_id: str) -> None:
    after = 0
    while (study := client.request("GET", f"/v1/studies/{study_id}"))["state"] == "active":
        feed = client.request("GET", "/v1/events", params={"after": after, "wait_s": 5})
        after = feed["next_after"]
    assert (study["state"], study["trial_counts"]) == ("completed", {"completed": 3})


def test_a_service_and_workers_start_as_their_containers_do(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    folder.mkdir()
    env = {
        **with_tunewell_on_path(tmp_path),
        "TUNEWELL_TOKEN_FOLDER": str(folder),
        "TUNEWELL_DATABASE_URL": f"sqlite:///{tmp_path / 'tunewell.db'}",
        "TUNEWELL_PORT": "0",
    }
    with subprocess.Popen(
        [str(DOCKER / "start-service.sh")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            ready = next(line for line in lines if "ready at " in line)
            found = re.search(r"ready at (http://\S+)", ready)
            assert found is not None
            run_the_containers_of_workers(found[1].replace("0.0.0.0", "127.0.0.1"), env, tmp_path)
        finally:
            process.terminate()
        process.wait(timeout=20)
    roles = {path.name: path.read_text().strip() for path in folder.iterdir()}
    assert set(roles) == {"admin", "submitter", "worker", "reader"}
    assert all(secret.startswith("tw_") for secret in roles.values())
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
