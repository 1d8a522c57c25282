"""How the service starts and stops, as a process."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx
import pytest

from .running import Process, Service, tunewell

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"])


def ended(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit status and standard error of a command that ends by itself."""
    process = Process(command, folder)
    status = process.process.wait(timeout=60)
    process.end()
    return status, process.errors.read_text()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_in_order(
    folder: Path, database_url: str, sent: signal.Signals
) -> None:
    command = tunewell("serve", "--port", "0", "--database-url", database_url, "--json")
    process = Process(command, folder)
    url = json.loads(process.line("ready"))["url"]
    assert httpx.get(f"{url}/readyz").json()["ready"] is True
    process.process.send_signal(sent)
    assert process.process.wait(timeout=30) == 0
    process.end()


def test_a_second_service_on_the_same_file_is_refused(
    service: Service, folder: Path, database_url: str
) -> None:
    status, said = ended(tunewell("serve", "--port", "0", "--database-url", database_url), folder)
    assert status == 1
    assert "tunewell.db" in said
    assert service.call("GET", "/readyz")["ready"] is True


def test_a_served_file_is_not_migrated_but_can_be_checked(
    service: Service, folder: Path, database_url: str
) -> None:
    migrate = tunewell("migrate", "--database-url", database_url)
    assert ended(migrate, folder)[0] == 1
    assert ended([*migrate, "--check"], folder)[0] == 0
    assert service.url


def test_other_machines_are_not_served_without_a_token(folder: Path, database_url: str) -> None:
    serve = tunewell("serve", "--port", "0", "--host", "0.0.0.0", "--database-url", database_url)
    status, said = ended(serve, folder)
    assert status == 1
    assert "tunewell token create --role admin" in said


def test_the_first_token_turns_auth_on_in_a_running_service(
    service: Service, folder: Path, database_url: str
) -> None:
    studies = f"{service.url}/v1/studies"
    assert httpx.get(studies).status_code == 200
    create = ["token", "create", "--role", "reader", "--name", "me", "--quiet"]
    made = Process(tunewell(*create, "--database-url", database_url), folder)
    secret = made.line("tw_").strip()
    made.end()
    assert httpx.get(studies).status_code == 401
    granted = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(studies, headers=granted).status_code == 200
    assert httpx.post(studies, headers=granted, json={}).status_code == 403
