"""Clients that trickle, flood or never end, over real sockets against a real service."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.api.wire import MAX_HEAD_BYTES, MAX_HEADERS

from .running import Service

HEAD_S, BODY_S, IDLE_S = 1.5, 1.0, 2.0
PATIENCE_S = 60
HOST = b"Host: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with short deadlines, in which nothing is made."""
    folder = tmp_path_factory.mktemp("strict")
    limits = {
        "TUNEWELL_HEAD_TIMEOUT_S": str(HEAD_S),
        "TUNEWELL_BODY_TIMEOUT_S": str(BODY_S),
        "TUNEWELL_IDLE_TIMEOUT_S": str(IDLE_S),
    }
    made = Service(folder, f"sqlite:///{folder / 'tunewell.db'}", limits)
    made.start()
    yield made
    made.end()


class Wire:
    """A bare connection."""

    def __init__(self, service: Service) -> None:
        parts = urlsplit(service.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def rest(self) -> bytes:
        """Everything until the service closes the connection."""
        found = b""
        try:
            while chunk := self.socket.recv(65536):
                found += chunk
        except ConnectionResetError:
            pass  # closed with some of what we sent unread
        return found

    def drip(self, piece: bytes, at_most_s: float) -> bytes:
        """Sends a piece again and again, waiting for an answer in between, until the service has
        closed the connection; what it said.
        """
        self.socket.settimeout(0.05)
        found, ends = b"", time.monotonic() + at_most_s
        while time.monotonic() < ends:
            try:
                self.socket.sendall(piece)
                chunk = self.socket.recv(65536)
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                return found
            if not chunk:
                return found
            found += chunk
        raise AssertionError("the service goes on listening")


def problem_of(answer: bytes) -> dict[str, Any]:
    """The problem document of a raw answer, checked."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer[:300]
    assert b"connection: close" in head.lower()
    problem: dict[str, Any] = json.loads(body)
    assert head.split()[1] == str(problem["status"]).encode()
    assert problem["request_id"].startswith("rq_")
    return problem


def is_well(service: Service) -> bool:
    return httpx.get(f"{service.url}/healthz").status_code == 200


def test_a_body_that_trickles_in_is_cut_off(strict: Service) -> None:
    head = b"POST /v1/studies HTTP/1.1\r\n" + HOST
    with Wire(strict) as wire:
        wire.send(head + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        problem = problem_of(wire.drip(b" ", 10 * BODY_S))
    assert (problem["status"], problem["code"]) == (408, "request-timeout")
    assert problem["retryable"] is True
    assert strict.call("GET", "/v1/studies")["studies"] == []


def test_a_chunked_body_that_trickles_in_is_cut_off(strict: Service) -> None:
    head = b"POST /v1/studies HTTP/1.1\r\n" + HOST
    chunked = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Wire(strict) as wire:
        wire.send(head + chunked)
        assert problem_of(wire.drip(b"1\r\n \r\n", 10 * BODY_S))["status"] == 408


def test_a_body_that_nobody_reads_is_not_waited_for(strict: Service) -> None:
    with Wire(strict) as wire:
        wire.send(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n")
        assert b"404" in wire.drip(b" ", PATIENCE_S)


def test_a_head_that_never_ends_is_cut_off(strict: Service) -> None:
    with Wire(strict) as wire:
        wire.send(b"GET /v1/studies HTTP/1.1\r\n" + HOST + b"X-Slow: ")
        problem = problem_of(wire.drip(b"x", 10 * HEAD_S))
    assert (problem["status"], problem["code"]) == (408, "request-timeout")


@pytest.mark.parametrize("dripped", [b"", b"\r\n"], ids=["silent", "empty lines"])
def test_a_connection_without_a_request_is_closed(strict: Service, dripped: bytes) -> None:
    with Wire(strict) as wire:
        assert (wire.drip(dripped, 10 * HEAD_S) if dripped else wire.rest()) == b""


def test_a_quiet_connection_is_closed_after_its_request(strict: Service) -> None:
    began = time.monotonic()
    with Wire(strict) as wire:
        wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"200 OK" in wire.rest()
    assert time.monotonic() - began >= IDLE_S * 0.9


def test_a_second_request_on_a_connection_has_its_own_deadline(strict: Service) -> None:
    one = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    with Wire(strict) as wire:
        wire.send(one)
        assert b"200 OK" in wire.socket.recv(65536)
        wire.send(one[:30])
        assert problem_of(wire.rest())["status"] == 408


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET /" + b"y" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * (8 * MAX_HEAD_BYTES),
    ],
    ids=["many", "long", "long path", "endless"],
)
def test_a_head_that_is_too_large_is_refused(strict: Service, head: bytes) -> None:
    with Wire(strict) as wire:
        try:
            wire.send(head)
        except (ConnectionResetError, BrokenPipeError):
            pytest.fail("closed without an answer")
        problem = problem_of(wire.rest())
    assert (problem["status"], problem["code"]) == (431, "headers-too-large")
    assert is_well(strict)


def test_what_is_no_http_gets_a_problem_too(strict: Service) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"NONSENSE\r\n\r\n"):
        with Wire(strict) as wire:
            wire.send(sent)
            assert problem_of(wire.rest())["code"] == "malformed-request"
    assert is_well(strict)


def test_a_client_that_takes_its_time_within_the_limits_is_served(strict: Service) -> None:
    """Two requests at once on one connection, the second in pieces."""
    one = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    with Wire(strict) as wire:
        wire.send(one + one[:10])
        assert b"200 OK" in wire.socket.recv(65536)
        wire.send(one[10:-2] + b"Connection: close\r\n\r\n")
        assert b"200 OK" in wire.rest()


def test_a_websocket_is_not_taken(strict: Service) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with Wire(strict) as wire:
        wire.send(b"GET /v1/studies HTTP/1.1\r\n" + HOST + upgrade + key)
        assert b"101" not in wire.rest().split(b"\r\n")[0]
    assert is_well(strict)


def test_many_slow_clients_do_not_keep_others_out(strict: Service) -> None:
    slow = [Wire(strict) for _ in range(200)]
    try:
        for wire in slow:
            wire.send(b"GET /v1/studies HTTP/1.1\r\nX-Slow: ")
        assert is_well(strict)
        assert strict.call("GET", "/v1/studies")["studies"] == []
        for wire in slow:
            assert b" 408 " in wire.rest()
    finally:
        for wire in slow:
            wire.socket.close()
