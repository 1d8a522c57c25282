"""Two machines, which are two folders with homes of their own, and the service on one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.pages import marked

from .bench import Bench

NAMES = ("http://tune.example:8700", "http://tuning.example:8700")
"""What the pages call the service's machine."""


@dataclass(frozen=True, slots=True)
class Machines:
    """The service's machine, where tokens lie in files, and another one."""

    service: Bench
    other: Bench

    def secret(self, name: str) -> str:
        return (self.service.folder / f"{name}.token").read_text().strip()

    def call(self, path: str, token: str = "admin") -> Any:
        """What the service answers to the holder of a token."""
        headers = {"Authorization": f"Bearer {self.secret(token)}"}
        answer = httpx.get(self.service.url + path, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def set_up(one: Path, another: Path) -> Iterator[Machines]:
    """As `examples/remote_worker.md` and the page on tokens have it."""
    with ExitStack() as stack:
        service, other = Bench(one, stack), Bench(another, stack)
        service.run("tunewell migrate")  # the service has been there before it had tokens
        service.run(marked("tokens"))
        service.stay(marked("a remote worker: the service"))
        del service.env["TUNEWELL_URL"]
        for name in NAMES:
            other.given[name] = service.given[name] = service.url
        yield Machines(service, other)
