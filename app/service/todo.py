"""A use case that is one write, told apart from who waits for it: a thread, or the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..store.engine import Store
from ..store.transaction import Tx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Todo(Generic[T]):
    """A write that is still to be done.

    Attributes:
        store: where.
        fn: what; see `Store.write`.
        after: called once it is on disk.
    """

    store: Store
    fn: Callable[[Tx], T]
    after: Callable[[], None]

    def run(self) -> T:
        """Does it; the caller's thread waits."""
        result = self.store.write(self.fn)
        self.after()
        return result

    async def submitted(self) -> T:
        """Does it without a thread, where `Store.takes_submitted`."""
        result = await self.store.submit(self.fn)
        self.after()
        return result
