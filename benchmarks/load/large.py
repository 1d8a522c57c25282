"""A study of a hundred thousand trials beside one of a thousand, and the service's memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from .http import Client, Timings, timings
from .lifecycle import create
from .machines import Service

IMPORTED = 2_000
ROUTES = ("list", "get", "claim", "complete")


@dataclass(frozen=True, slots=True)
class Large:
    """What was seen.

    Attributes:
        routes: seconds of each call, by size of the study and route.
        memory_bytes: of the service alone, and with its fitting processes.
    """

    routes: dict[int, Timings]
    memory_bytes: tuple[int, int]


async def fill(client: Client, name: str, trials: int) -> str:
    """A study with finished trials that have three reports each; returns its id."""
    study_id = await create(client, name)
    for first in range(0, trials, IMPORTED):
        items = [_item(k) for k in range(first, min(trials, first + IMPORTED))]
        await client.call("import", "POST", f"/v1/studies/{study_id}/trials", {"trials": items})
    return study_id


def _item(k: int) -> dict[str, object]:
    params = {f"x{d}": ((k + 1) * (0.618 + 0.1 * d)) % 1.0 for d in range(5)}
    value = sum((x - 0.3) ** 2 for x in params.values())
    reports = [{"step": s, "values": {"value": value + 1.0 / s}} for s in (1, 2, 3)]
    return {"params": params, "values": {"value": value}, "measurements": reports}


async def large(running: Service, sizes: tuple[int, ...], rounds: int) -> Large:
    """Fills studies, then calls them in turn."""
    found = {size: timings() for size in sizes}
    async with Client(running.url, timings()) as client:
        studies = {size: await fill(client, f"of-{size}", size) for size in sizes}
        for study_id in studies.values():  # what is read once is read before
            await _touch(running, study_id, timings(), 3)
        for _ in range(rounds):
            for size, study_id in studies.items():
                await _touch(running, study_id, found[size], 5)
                await asyncio.sleep(0)
    return Large(found, running.memory_bytes())


async def _touch(running: Service, study_id: str, routes: Timings, times: int) -> None:
    """A page of the list, one trial, one ask, one end: as a client does them."""
    async with Client(running.url, routes) as client:
        for _ in range(times):
            path = f"/v1/studies/{study_id}/trials?page_size=50&order_by=-number"
            page = await client.call("list", "GET", path)
            trial_id = page["trials"][0]["id"]
            await client.call("get", "GET", f"/v1/trials/{trial_id}")
            ask = {"lease_s": 60}
            asked = await client.call("claim", "POST", f"/v1/studies/{study_id}:suggest", ask)
            trial = asked["trials"][0]
            told = {"lease_id": trial["lease_id"], "state": "completed", "values": {"value": 9.0}}
            await client.call("complete", "POST", f"/v1/trials/{trial['id']}:complete", told)
