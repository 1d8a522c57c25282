"""A node that is this very process: the two ends of a relayed trial without a cluster between."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any

from workers.engines.relay import Lost, RelayedChild
from workers.engines.remote import Remote
from workers.jobs import Job


class Nearby:
    """A way to a `Remote` of this process.

    Attributes:
        has_room: the node takes trials; until it is set they wait.
        dies_after: "start", or a kind of event: with that the node is lost; None: never.
    """

    def __init__(self, dies_after: str | None = None) -> None:
        self.has_room = threading.Event()
        self.has_room.set()
        self.dies_after = dies_after
        self.remote = Remote()
        self._is_gone = False

    def call(self, method: str, *arguments: Any) -> Any:
        self.has_room.wait()
        if self._is_gone:
            self._clear_away()
            raise Lost("the node is lost: it was ended\nwith details")
        answer = getattr(self.remote, method)(*arguments)
        said = [method] if method != "next" else [kind for kind, _ in answer]
        if self.dies_after in said:
            self.end()
        return answer

    def tell(self, method: str, *arguments: Any) -> None:
        getattr(self.remote, method)(*arguments)

    def end(self) -> None:
        self._is_gone = True
        self.remote.signal_group(signal.SIGKILL)
        self.has_room.set()

    def _clear_away(self) -> None:
        """A node that is lost takes all with it; this one has a process to reap."""
        with contextlib.suppress(StopIteration):
            while True:
                self.remote.next()
        self.remote.folder.remove()


def start_child(of: Job) -> RelayedChild:
    """Starts a process for a job at the far end."""
    return RelayedChild(Nearby(), of, on_placed=lambda node: None)
