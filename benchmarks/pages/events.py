"""Events of a running study: made at a rate or as fast as they go, and watched by many."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from load.http import Client, timings

CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen.

    Attributes:
        share: CPU of the service and all below it, as a share of a core.
        per_s: events that were made a second.
        seen: how many of them each watcher got.
        made: how many there were.
    """

    share: float
    per_s: float
    seen: list[int]
    made: int


async def flood(url: str, trials: list[Any], n: int) -> None:
    """Reports `n` points, one a call, over all the trials in turn.

    Args:
        url: of the service.
        trials: with `id`, `lease_id` and `from`, the step reported before.
        n: how many.
    """

    async def go(own: list[Any], many: int) -> None:
        async with Client(url, timings()) as client:
            for k in range(many):
                await _report(client, own[k % len(own)], k // len(own) + 1)

    await asyncio.gather(*(go(trials[k::CLIENTS], n // CLIENTS) for k in range(CLIENTS)))


async def _report(client: Client, trial: Any, step: int) -> None:
    value = 1.0 / step + 0.1
    points = [{"step": trial["from"] + step, "values": {"value": value}}]
    body = {"lease_id": trial["lease_id"], "seq": points[0]["step"], "points": points}
    await client.call("report", "POST", f"/v1/trials/{trial['id']}/measurements", body)


async def watched(
    url: str,
    cpu_s: Callable[[], float],
    trials: list[Any],
    watchers: int,
    per_s: float,
    seconds: float,
) -> Watched:
    """Watchers read the stream of all studies while reports come in at a steady rate."""
    counts = [0] * watchers
    ready = [asyncio.Event() for _ in range(watchers)]
    reading = [asyncio.create_task(_watch(url, k, counts, ready[k])) for k in range(watchers)]
    await asyncio.wait_for(asyncio.gather(*(one.wait() for one in ready)), timeout=60)
    await asyncio.sleep(1.0)  # what connecting cost is no part of watching
    before, began, made = cpu_s(), time.perf_counter(), 0
    async with Client(url, timings()) as client:
        while time.perf_counter() - began < seconds:
            await _report(client, trials[made % len(trials)], made // len(trials) + 1)
            made += 1
            await asyncio.sleep(max(0.0, began + made / per_s - time.perf_counter()))
    took, used = time.perf_counter() - began, cpu_s() - before
    await asyncio.sleep(2.0)  # what is on its way arrives
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    return Watched(used / took, made / took, counts, made)


async def _watch(url: str, k: int, counts: list[int], ready: asyncio.Event) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"GET /v1/events HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n\r\n"
    writer.write(head.encode())
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
        if b"text/event-stream" not in answer.lower():
            raise RuntimeError(f"no stream of events: {answer[:200]!r}")
        ready.set()
        while line := await reader.readline():
            if (
                line.startswith(b"data:")
                and json.loads(line[5:]).get("kind") == "trial.measurement"
            ):
                counts[k] += 1
    finally:
        writer.close()
