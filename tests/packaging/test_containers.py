"""No container engine runs here: the images' scripts are run with what the files give them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


def test_a_worker_sees_no_token_but_its_own(compose: Any) -> None:
    """What a trial's code can read is what the worker's container can."""
    services = compose["services"]
    mounted = {
        name: dict(volume.split(":")[:2] for volume in services[name]["volumes"])
        for name in ("service", "worker")
    }
    folders = {name: services[name]["environment"] for name in mounted}
    own = mounted["worker"]["worker-token"]
    assert "tokens" not in mounted["worker"]
    assert folders["worker"]["TUNEWELL_TOKEN_FOLDER"] == own
    assert folders["service"]["TUNEWELL_WORKER_TOKEN_FOLDER"] == own
    assert mounted["service"]["worker-token"] == own


def test_the_service_keeps_checkpoints_in_a_volume(compose: Any) -> None:
    service = compose["services"]["service"]
    place = service["environment"]["TUNEWELL_CHECKPOINT_DIR"]
    assert f"checkpoints:{place}" in service["volumes"]


def test_no_password_stands_in_the_compose_file(compose: Any) -> None:
    password = compose["services"]["database"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${POSTGRES_PASSWORD:?")


def test_a_password_may_hold_any_letter(compose: Any) -> None:
    """In an address `/`, `@` and `%` would have to be written otherwise."""
    service = compose["services"]["service"]["environment"]
    assert service["PGPASSWORD"] == "${POSTGRES_PASSWORD}"
    assert urlsplit(service["TUNEWELL_DATABASE_URL"]).password is None


@pytest.mark.parametrize("status", [200, 503])
def test_a_container_is_healthy_when_the_service_is_ready_whatever_proxy_there_is(
    status: int,
) -> None:
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Not on the test's output."""

    with HTTPServer(("127.0.0.1", 0), Ready) as service:
        thread = threading.Thread(target=service.handle_request)
        thread.start()
        nowhere = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        env = {**os.environ, **nowhere, "TUNEWELL_PORT": str(service.server_port)}
        env = {name: value for name, value in env.items() if name.lower() != "no_proxy"}
        script = [str(DOCKER / "healthy.sh")]
        looked = subprocess.run(script, env=env, capture_output=True, timeout=60, check=False)
        thread.join(timeout=30)
    assert (looked.returncode == 0) == (status == 200)


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


def run_a_container_of_workers(url: str, env: dict[str, str], folder: Path) -> None:
    """With the environment that compose gives, and the arguments of the Kubernetes Job."""
    worker = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["worker"]
    (container,) = yaml.safe_load(JOB.read_text())["spec"]["template"]["spec"]["containers"]
    own = {
        **env,
        **worker["environment"],
        "TUNEWELL_URL": url,
        "TUNEWELL_TOKEN_FOLDER": str(folder / "worker-token"),
        "TUNEWELL_STATE_DIR": str(folder / "state"),
    }
    with Client(url, token=(folder / "tokens" / "admin").read_text().strip()) as client:
        study = client.request("POST", "/v1/studies", body=function_study("contained"))
        subprocess.run(
            [str(DOCKER / "start-worker.sh"), *container["args"]],
            env=own, stdout=subprocess.DEVNULL, check=True, timeout=150,
        )  # fmt: skip
        ended = client.request("GET", f"/v1/studies/{study['id']}")
    assert (ended["state"], ended["trial_counts"]) == ("completed", {"completed": 3})


def function_study(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "objective": {"name": "function"},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x0", "type": "float", "low": -5, "high": 5}],
        "suggester": {"name": "random"},
        "limits": {"max_trials": 3},
    }


def test_a_service_and_a_worker_start_as_their_containers_do(tmp_path: Path) -> None:
    folder, for_workers = tmp_path / "tokens", tmp_path / "worker-token"
    folder.mkdir()
    for_workers.mkdir()
    env = {
        **with_tunewell_on_path(tmp_path),
        "TUNEWELL_TOKEN_FOLDER": str(folder),
        "TUNEWELL_WORKER_TOKEN_FOLDER": str(for_workers),
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
            run_a_container_of_workers(found[1].replace("0.0.0.0", "127.0.0.1"), env, tmp_path)
        finally:
            process.terminate()
        process.wait(timeout=20)
    made = {path.name: path for path in folder.iterdir()}
    assert set(made) == {"admin", "submitter", "reader"}
    made |= {path.name: path for path in for_workers.iterdir()}
    assert set(made) == {"admin", "submitter", "worker", "reader"}
    assert all(path.read_text().startswith("tw_") for path in made.values())
    assert all(path.stat().st_mode & 0o077 == 0 for path in made.values())
