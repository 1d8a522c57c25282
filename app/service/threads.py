"""The threads in which the service's own waiting calls do their database work."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Runs blocking calls of async use cases; no larger than the connection pool, or they would
    wait on each other.
    """

    def __init__(self, size: int) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix="service")

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Runs `fn(*args)` in a thread, in the context of the call: it knows who acts."""
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._executor, run, fn, *args)

    def close(self) -> None:
        """Waits for the running calls."""
        self._executor.shutdown()
