"""Measurement points a second, in batches."""

from __future__ import annotations

import asyncio
import time

from .http import Client, timings
from .lifecycle import create
from .machines import Service

BATCH = 50
CLIENTS = 16


async def points_per_s(running: Service, seconds: float) -> float:
    """Points a second that 16 clients report, each under a lease of its own, 50 a call."""
    routes = timings()
    async with Client(running.url, routes) as client:
        study_id = await create(client, "points")
        ask = {"count": CLIENTS, "lease_s": 3600}
        asked = await client.call("suggest", "POST", f"/v1/studies/{study_id}:suggest", ask)

    async def go(trial_id: str, lease_id: str, until: float) -> int:
        sent = 0
        async with Client(running.url, routes) as client:
            while time.perf_counter() < until:
                steps = range(sent + 1, sent + BATCH + 1)
                points = [{"step": k, "values": {"value": 1.0 / k}} for k in steps]
                report = {"lease_id": lease_id, "seq": sent, "points": points}
                await client.call("report", "POST", f"/v1/trials/{trial_id}/measurements", report)
                sent += BATCH
        return sent

    began = time.perf_counter()
    going = [go(one["id"], one["lease_id"], began + seconds) for one in asked["trials"]]
    sent = await asyncio.gather(*going)
    return sum(sent) / (time.perf_counter() - began)
