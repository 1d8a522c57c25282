"""The thread that asks for trials, against a link that the test plays."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from workers import claimer as claims
from workers.claimer import Claimer, Slots

from .helpers import LIMIT_S


class AtOnce:
    """A link whose service never lets a claim wait, as for a worker that it drains."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.was_asked = threading.Event()
        self.n_asked = 0

    def call(self, *_: Any, **__: Any) -> Any:
        self.n_asked += 1
        self.was_asked.set()
        return {"leases": [], "open_work": True}


def test_a_drained_worker_asks_again_after_a_pause_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "DRAINED_PAUSE_S", 3600.0)
    link: Any = AtOnce()
    claimer = Claimer(
        link,
        lambda *_, **__: None,  # type: ignore[arg-type]
        Slots(1),
        wait_s=20.0,
        worker_id=lambda: "wk_1",
        on_leases=lambda _: None,
        on_forgotten=lambda _: None,
        on_idle=lambda: None,
        on_refused=lambda _: None,
    )
    claimer.start()
    assert link.was_asked.wait(LIMIT_S)
    claimer.stop()
    claimer._thread.join(LIMIT_S)
    assert not claimer.is_alive
    assert link.n_asked == 1
