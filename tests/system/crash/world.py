"""One cell's processes: a database, its service with a fault, and whoever plays against it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.store import schema

from .client import Client
from .plan import Plan
from .proxy import Proxy
from .record import Record
from .replica import CONTENTS, Replica
from .serving import LEASE_S

N_TRIALS = 3
MOST_STARTS = 6
"""Starts of services in one cell; more means that one does not come up again."""


class World:
    """Starts, kills and restarts the service, and keeps the record of it for the checker.

    Args:
        database_url: the database as the checker reads it.
        folder: for logs.
        served_url: the database as the service reaches it, if that is another way.
        proxy: on that way.
    """

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *,
        served_url: str | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self.database_url = database_url
        self.folder = folder
        self.served_url = served_url or database_url
        self.proxy = proxy
        self.record = Record(budget=N_TRIALS, lease_s=LEASE_S, contents=folder / CONTENTS)
        self.replicas: list[Replica] = []
        self._clients: list[Client] = []

    @property
    def replica(self) -> Replica:
        """The service that was started last."""
        return self.replicas[-1]

    def start(
        self,
        plan: Plan | None = None,
        *,
        on_struck: Callable[[Replica, dict[str, Any]], None] | None = None,
    ) -> Replica:
        """Starts a service, on the port of the one before; it may die before it is ready."""
        port = self.replica.port if self.replicas else 0
        replica = self.launch(plan, port=port, on_struck=on_struck)
        replica.wait_ready()
        return replica

    def launch(
        self,
        plan: Plan | None = None,
        *,
        port: int = 0,
        on_struck: Callable[[Replica, dict[str, Any]], None] | None = None,
    ) -> Replica:
        """Starts a service without waiting for it."""
        replica = Replica(self.served_url, self.folder, plan, port=port, on_struck=on_struck)
        self.replicas.append(replica)
        return replica

    def recover(self) -> None:
        """Starts the service again when it has died of its fault."""
        while self.replica.is_dead:
            dead = self.replica
            assert len(self.replicas) < MOST_STARTS, f"it never starts:\n{dead.log.read_text()}"
            dead.kill()
            self.start()
            self.note_gap(dead.ended_at or time.time())

    def note_gap(self, since: float) -> None:
        """No service could act from `since` until now, nor sweep for a lease time after a start."""
        self.record.gaps.append((since, time.time() + LEASE_S))

    def downgrade(self) -> None:
        """Kills the service and takes the schema one migration back, as an upgrade finds it."""
        self.replica.kill()
        schema.downgrade(self.database_url, "-1")

    def client(self, replica: Replica | None = None, record: Record | None = None) -> Client:
        """A scripted worker, of one replica or of the newest one."""
        made = Client(lambda: (replica or self.replica).url, record or self.record, self.recover)
        self._clients.append(made)
        return made

    def close(self) -> None:
        """Ends all."""
        for client in self._clients:
            client.close()
        for replica in self.replicas:
            replica.kill()


def with_rungs(made: dict[str, Any]) -> dict[str, Any]:
    """The same study, its trials compared at the steps 1 and 3 of 4: the best third goes on."""
    rule = {"name": "asha", "options": {"min_resource": 1, "max_resource": 4, "eta": 3}}
    return {**made, "early_stopping": rule}


def definition(name: str, objective: str = "function", **options: Any) -> dict[str, Any]:
    """The study of a cell: few trials, patient with losses."""
    return {
        "name": name,
        "objective": {"name": objective, "options": options},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [
            {"name": "x0", "type": "float", "low": -5, "high": 5},
            {"name": "x1", "type": "float", "low": -5, "high": 5},
        ],
        "suggester": {"name": "random", "seed": 1},
        "limits": {"max_trials": N_TRIALS},
        "failure_policy": {"max_attempts": 5, "max_losses": 50, "backoff_s": 0},
    }
