"""What one replica of several does for all: a duty is held by a row with a lease, renewed every few
seconds, and free soon after its holder has died.
"""

from __future__ import annotations

import logging

from ..domain.ids import new_id
from ..errors import AppError
from ..store import leaders as leader_rows
from ..store import replicas as replica_rows
from ..store.engine import Store
from ..store.transaction import Tx
from .threads import Threads
from .wake import LEADER, WakeHub

log = logging.getLogger(__name__)

HOUSEKEEPING = "housekeeping"
"""The duty of the replica that sweeps, applies limits and purges."""

LEASE_S = 4.0
"""How long a duty is kept after its holder was last heard of."""

RENEW_S = 1.0
"""How often duties are renewed, and a free one is looked for: a dead leader is followed within
LEASE_S + RENEW_S.
"""


class Leadership:
    """This process among the replicas.

    Attributes:
        replica_id: its name, another one after each start.
        is_leader: whether it has the housekeeping. It may be out of date by a moment: what a
            leader does has guards of its own.
        is_renewed: whether its last write was taken; a full disk takes none, though it is asked
            every second.
    """

    def __init__(self, store: Store, threads: Threads, hub: WakeHub) -> None:
        self._store = store
        self._threads = threads
        self._hub = hub
        self.replica_id = new_id("rp")
        self.is_leader = False
        self.is_renewed = True
        self._is_stopping = False

    async def run(self) -> None:
        """Renews the duties, and takes the housekeeping when it is free, until `stop`; then gives
        all up at once.
        """
        with self._hub.watch([LEADER]) as watch:
            while not self._is_stopping:
                watch.clear()
                await self._renew()
                if not self._is_stopping:  # else the watch may have been cleared after its waking
                    await watch.wait(RENEW_S)
        try:
            await self._threads.run(self.leave)
        except AppError as error:  # the others will see its rows run out
            log.warning("leave_failed", extra={"reason": error.detail})

    async def _renew(self) -> None:
        """One `renew`; whatever goes wrong is logged, and the next one may do better."""
        try:
            await self._threads.run(self.renew)
        except AppError as error:
            log.warning("renewal_failed", extra={"reason": error.detail})
        except Exception:  # a part that ends would leave the service without a leader
            log.exception("renewal_failed")
        else:
            self.is_renewed = True
            return
        self.is_renewed = self.is_leader = False

    def stop(self) -> None:
        """Ends `run` soon."""
        self._is_stopping = True
        self._hub.wake([LEADER])

    def begin(self) -> None:
        """Joins the replicas. An SQLite file has one process: the duties of one before are over."""
        if self._store.dialect == "sqlite":
            self._store.write(leader_rows.clear)
        self.renew()

    def renew(self) -> None:
        """Says that this process lives, renews its duties, and takes the housekeeping if it is
        free.
        """

        def write(tx: Tx) -> bool:
            replica_rows.beat(tx, self.replica_id)
            leader_rows.renew_all(tx, self.replica_id, LEASE_S)
            return leader_rows.take(tx, HOUSEKEEPING, self.replica_id, LEASE_S)

        was_leader = self.is_leader
        self.is_leader = self._store.write(write)
        if self.is_leader != was_leader:
            event = "leader_elected" if self.is_leader else "leader_replaced"
            log.info(event, extra={"replica_id": self.replica_id})

    def leave(self) -> None:
        """Gives every duty up, so that others take them at once."""

        def write(tx: Tx) -> None:
            leader_rows.resign_all(tx, self.replica_id)
            replica_rows.remove(tx, self.replica_id)
            tx.signal(LEADER)

        self.is_leader = False
        self._store.write(write)
