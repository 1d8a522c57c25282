"""Calls by HTTP, as bytes on the wire: what one GET takes and weighs, its headers included."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: names in lower case.
        n_bytes: the whole answer, its head included.
        seconds: from connecting to the last byte.
        body: as it was sent.
    """

    status: int
    headers: dict[str, str] = field(repr=False)
    n_bytes: int
    seconds: float
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body, unpacked and read."""
        is_packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if is_packed else self.body)


def get(base: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """One GET over a connection of its own, packed as a browser would ask for it."""
    parts = urlsplit(base)
    sent = {"Host": parts.netloc, "Connection": "close", "Accept-Encoding": "gzip"}
    lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in {**sent, **(headers or {})}.items())]
    began = time.perf_counter()
    with socket.create_connection((parts.hostname, parts.port), timeout=120) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        raw = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    seconds = time.perf_counter() - began
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    found = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)
    }
    return Answer(int(first.split()[1]), found, len(raw), seconds, body)


class Caller:
    """The API for `tests.browser.seeding`: JSON in and out; anything but success raises."""

    def __init__(self, base: str) -> None:
        self._http = httpx.Client(base_url=base, timeout=300)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()
