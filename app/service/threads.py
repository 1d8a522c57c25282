"""The threads in which the service's own waiting calls do their database work."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import Unavailable

T = TypeVar("T")

PLACE_WAIT_S = 10.0
"""How long a call waits for its turn at the database before it is told to come back."""


def busy() -> Unavailable:
    """The refusal of a call whose turn has not come in `PLACE_WAIT_S`."""
    return Unavailable("too many claims wait for the database", retry_after_s=1)


class Threads:
    """Runs blocking calls of async use cases; no larger than the connection pool, or they would
    wait on each other.
    """

    def __init__(self, size: int) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix="service")
        self._places = asyncio.Semaphore(size)

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Runs `fn(*args)` in a thread, in the context of the call: it knows who acts. For what
        there are few of, or what must not be refused.
        """
        return await self._submit(fn, *args)

    async def serve(self, fn: Callable[..., T], *args: Any) -> T:
        """As `run`, for a client's call: what does not fit into the threads waits outside, so that
        the service's own work never stands behind a crowd.

        Raises:
            Unavailable: its turn has not come in `PLACE_WAIT_S`; `fn` was not run.
        """
        await self._take_place()
        call = self._submit(fn, *args)
        # Not when the caller leaves: a call that was begun keeps its thread to its end.
        call.add_done_callback(lambda _: self._places.release())
        return await asyncio.shield(call)

    async def _take_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(PLACE_WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise busy() from None

    def _submit(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        run = contextvars.copy_context().run
        return asyncio.get_running_loop().run_in_executor(self._executor, run, fn, *args)

    def close(self) -> None:
        """Waits for the running calls."""
        self._executor.shutdown()
