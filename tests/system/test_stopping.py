"""A service that is told to stop: nobody's connection breaks, and it is gone in time."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .running import Process, function_study, tunewell

pytestmark = pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])

ENDS_S = 30.0
"""How long a test waits for an end; the service itself is bounded by its grace."""


class Stoppable:
    """A service process that a test sends signals to."""

    def __init__(self, folder: Path, database_url: str, **settings: str) -> None:
        env = {f"TUNEWELL_{name.upper()}": value for name, value in settings.items()}
        command = tunewell("serve", "--port", "0", "--database-url", database_url, "--json")
        self.process = Process(command, folder, env)
        self.url: str = json.loads(self.process.line("ready"))["url"]
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def signal(self, sent: signal.Signals = signal.SIGTERM) -> None:
        self.process.process.send_signal(sent)

    def status(self) -> int:
        return self.process.process.wait(timeout=ENDS_S)

    def lines(self) -> list[dict[str, Any]]:
        text = self.process.errors.read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def end(self) -> None:
        self.http.close()
        self.process.end()


@pytest.fixture
def started(folder: Path, database_url: str) -> Iterator[Any]:
    made: list[Stoppable] = []

    def start(**settings: str) -> Stoppable:
        made.append(Stoppable(folder, database_url, **settings))
        return made[-1]

    yield start
    for each in made:
        each.end()


class Waiting(threading.Thread):
    """A claim that waits for work, in a thread."""

    def __init__(self, service: Stoppable) -> None:
        super().__init__(daemon=True)
        self._http = httpx.Client(base_url=service.url, timeout=90)
        body = {"name": "w", "boot_id": "1", "objectives": ["function"]}
        self.worker = self._http.post("/v1/workers", json=body).json()
        self.answer: httpx.Response | None = None
        self.start()
        path = f"/v1/workers/{self.worker['id']}"
        while service.http.get(path).json()["last_seen_at"] == self.worker["last_seen_at"]:
            continue  # the claim has not come in yet

    def run(self) -> None:
        body = {"worker_id": self.worker["id"], "wait_s": 60}
        self.answer = self._http.post("/v1/leases:claim", json=body)

    def result(self) -> httpx.Response:
        self.join(ENDS_S)
        self._http.close()
        assert self.answer is not None, "the claim was not answered"
        return self.answer


def test_a_waiting_claim_is_answered_empty_and_a_stream_ends_with_a_hint(started: Any) -> None:
    service = started()
    definition = function_study("s", objective={"name": "mnist-mlp"}, space=MLP_SPACE)
    definition["metrics"] = [{"name": "accuracy", "direction": "maximize"}]
    study = service.http.post("/v1/studies", json=definition).json()
    claim = Waiting(service)
    with httpx.Client(base_url=service.url, timeout=60) as watching:
        path = f"/v1/studies/{study['id']}/events"
        with watching.stream("GET", path) as stream:
            lines = stream.iter_lines()
            next(line for line in lines if line.startswith("data:"))
            begun = time.monotonic()
            service.signal()
            rest = list(lines)  # raises when the connection breaks in the middle
    answer = claim.result()
    assert service.status() == 0
    assert time.monotonic() - begun < 15
    assert (answer.status_code, answer.json()["leases"]) == (200, [])
    hint = next(line for line in rest if line.startswith("retry:"))
    assert 1_000 <= int(hint.removeprefix("retry:")) <= 5_000
    assert any("stopping" in line for line in rest)


MLP_SPACE = [{"name": "learning_rate", "type": "float", "low": 0.001, "high": 0.01}]


def test_while_it_drains_it_is_not_ready_but_serves_and_hands_out_nothing(started: Any) -> None:
    service = started(drain_s="3")
    study = service.http.post("/v1/studies", json=function_study("s")).json()
    body = {"name": "w", "boot_id": "1", "objectives": ["function"]}
    worker_id = service.http.post("/v1/workers", json=body).json()["id"]
    service.signal()
    while (ready := service.http.get("/readyz")).status_code == 200:
        continue  # the signal has not come in yet
    assert (ready.status_code, ready.json()["draining"]) == (503, True)
    assert service.http.get("/healthz").status_code == 200
    assert service.http.get(f"/v1/studies/{study['id']}").status_code == 200
    claim = service.http.post("/v1/leases:claim", json={"worker_id": worker_id, "wait_s": 60})
    assert (claim.status_code, claim.json()["leases"]) == (200, [])
    assert service.status() == 0


def test_a_body_that_does_not_come_in_time_is_told_to_come_back(started: Any) -> None:
    service = started(grace_s="1")
    address = httpx.URL(service.url)
    with socket.create_connection((address.host, address.port), timeout=ENDS_S) as connection:
        head = (
            f"POST /v1/studies HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
            "Content-Type: application/json\r\nContent-Length: 500\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        with connection.makefile("rb") as answers:
            assert b"100 Continue" in answers.readline()  # it is being read
            service.signal()
            answer = answers.read().decode()
    assert service.status() == 0
    assert "HTTP/1.1 503" in answer
    problem = json.loads(answer.rpartition("\r\n\r\n")[2])
    assert (problem["code"], problem["retryable"]) == ("storage-busy", True)
    assert "Traceback" not in service.process.errors.read_text()


def test_a_second_signal_ends_it_at_once(started: Any) -> None:
    service = started(drain_s="600")
    service.signal()
    while service.http.get("/readyz").status_code == 200:
        continue
    service.signal()
    assert service.status() == 128 + signal.SIGTERM


def test_every_request_is_a_line_of_its_log(started: Any) -> None:
    service = started()
    service.http.get("/v1/studies", headers={"X-Request-ID": "the-one"})
    service.signal()
    assert service.status() == 0
    [line] = [line for line in service.lines() if line.get("request_id") == "the-one"]
    assert (line["event"], line["route"], line["status"]) == ("request", "/v1/studies", 200)
