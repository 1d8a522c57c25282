"""Asks the database something that may never be answered, without waiting for ever.

Each question has a thread of its own, for the shared ones may all be stuck in the very thing that
is asked about. There is one question at a time: who comes meanwhile waits for the same answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import AppError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Probe(Generic[T]):
    """One question, asked again and again.

    Args:
        ask: the blocking question.
        name: of its thread, and of the log line when it fails.
        wait_s: how long one caller waits for the answer.
    """

    def __init__(self, ask: Callable[[], T], name: str, wait_s: float) -> None:
        self._ask = ask
        self._name = name
        self._wait_s = wait_s
        self._asked: asyncio.Future[T | None] | None = None

    async def answer(self) -> T | None:
        """The answer; None when there is none in time, or when the database refuses."""
        if self._asked is None:
            self._asked = self._start()
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self._asked), self._wait_s)
        return None

    def _start(self) -> asyncio.Future[T | None]:
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[T | None] = loop.create_future()

        def ended(found: T | None) -> None:
            self._asked = None
            if not asked.done():
                asked.set_result(found)

        def run() -> None:
            found = self._found()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(ended, found)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return asked

    def _found(self) -> T | None:
        try:
            return self._ask()
        except AppError as error:
            log.warning("probe_failed", extra={"probe": self._name, "reason": error.detail})
        except Exception:  # a defect must not leave those waiting who ask
            log.exception("probe_failed", extra={"probe": self._name})
        return None
