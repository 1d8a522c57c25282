"""A thousand workers that wait for work: what a hand-out takes while trials end, and what waiting
costs.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from .http import Client, timings
from .lifecycle import definition
from .machines import Service

WAIT_S = 60
ENDS_PER_S = 20.0
PARALLEL = 40


@dataclass(frozen=True, slots=True)
class Waited:
    """What was seen.

    Attributes:
        claim_s: seconds from the answer to `:complete` to the grant that it made room for.
        idle_share: CPU of the service while all wait, as a share of a core.
        busy_share: likewise while trials end.
        ended_per_s: trials that ended a second.
    """

    claim_s: list[float]
    idle_share: float
    busy_share: float
    ended_per_s: float


class _Crowd:
    """The workers, and the trials that they were given, in the order in which they came."""

    def __init__(self, running: Service, workers: int) -> None:
        self.running = running
        self.workers = workers
        self.routes = timings()
        self.given: asyncio.Queue[tuple[float, dict[str, Any]]] = asyncio.Queue()
        self.ids: list[str] = []

    async def register(self, client: Client) -> None:
        for k in range(self.workers):
            body = {
                "name": f"worker-{k}", "boot_id": "1", "labels": {}, "devices": [],
                "objectives": ["function"], "slots": 1,
            }  # fmt: skip
            made = await client.call("register", "POST", "/v1/workers", body)
            self.ids.append(made["id"])

    async def wait(self, worker_id: str) -> None:
        """One worker: claims for ever, and hands what it gets to who ends it."""
        async with Client(self.running.url, self.routes) as client:
            while True:
                body = {"worker_id": worker_id, "max_leases": 1, "wait_s": WAIT_S}
                answer = await client.call("claim", "POST", "/v1/leases:claim", body)
                for lease in answer["leases"]:
                    self.given.put_nowait((time.perf_counter(), lease))


async def waiting(running: Service, workers: int, idle_s: float, busy_s: float) -> Waited:
    """Has workers wait, at first for nothing, then for places that trials which end give back."""
    crowd = _Crowd(running, workers)
    async with Client(running.url, crowd.routes) as client:
        await crowd.register(client)
    claims = [asyncio.create_task(crowd.wait(worker_id)) for worker_id in crowd.ids]
    try:
        await asyncio.sleep(5.0)  # until all of them wait
        idle = await _share(running, asyncio.sleep(idle_s))
        async with Client(running.url, crowd.routes) as client:
            body = definition(
                "waiting",
                objective={"name": "function", "options": {"function": "sphere"}},
                space=[{"name": "x0", "type": "float", "low": 0.0, "high": 1.0}],
                limits={"max_parallel": PARALLEL},
            )
            await client.call("create", "POST", "/v1/studies", body)
            ends = _end_trials(crowd, client, busy_s)
            taken: list[float] = []
            busy = await _share(running, _into(taken, ends))
    finally:
        for claim in claims:
            claim.cancel()
        await asyncio.gather(*claims, return_exceptions=True)
    return Waited(taken, idle, busy, len(taken) / busy_s)


async def _into(found: list[float], ends: Any) -> None:
    found += await ends


async def _share(running: Service, during: Any) -> float:
    before, began = running.cpu_s(), time.perf_counter()
    await during
    return (running.cpu_s() - before) / (time.perf_counter() - began)


async def _end_trials(crowd: _Crowd, client: Client, seconds: float) -> list[float]:
    """Ends a trial each twentieth of a second; the room that it leaves goes to one that waits.

    Returns:
        Seconds from each end to the next grant.
    """
    held = [(await crowd.given.get())[1] for _ in range(PARALLEL)]
    taken: list[float] = []
    began = time.perf_counter()
    for k in range(int(seconds * ENDS_PER_S)):
        await asyncio.sleep(max(0.0, began + k / ENDS_PER_S - time.perf_counter()))
        lease = held.pop(0)
        told = {
            "lease_id": lease["lease_id"],
            "state": "completed",
            "values": {"value": 1.0},
        }
        await client.call("complete", "POST", f"/v1/trials/{lease['trial']['id']}:complete", told)
        ended = time.perf_counter()
        at, lease = await crowd.given.get()
        taken.append(max(0.0, at - ended))
        held.append(lease)
    return taken
