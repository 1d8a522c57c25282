"""The lifecycle of a trial over HTTP: ask, three reports, tell; by closed and by open loops."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .http import Client, Timings, timings
from .machines import Service, own_cpu_s

N_PARAMETERS = 5
N_REPORTS = 3
CALLS = 2 + N_REPORTS


def definition(name: str, **more: Any) -> dict[str, Any]:
    """A study of five parameters for clients that evaluate by themselves."""
    space = [
        {"name": f"x{k}", "type": "float", "low": 0.0, "high": 1.0} for k in range(N_PARAMETERS)
    ]
    return {
        "name": name,
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": space,
        "suggester": {"name": "random", "seed": 7},
        **more,
    }


async def create(client: Client, name: str, **more: Any) -> str:
    """Creates a study; returns its id."""
    made = await client.call("create", "POST", "/v1/studies", definition(name, **more))
    return str(made["id"])


async def one(client: Client, study_id: str, who: str) -> None:
    """One whole lifecycle, a call for each of its parts."""
    trial = await _ask(client, study_id, who)
    lease_id, at = trial["lease_id"], f"/v1/trials/{trial['id']}"
    value, points = _evaluated(trial)
    for point in points:
        report = {"lease_id": lease_id, "seq": point["step"], "points": [point]}
        await client.call("report", "POST", f"{at}/measurements", report)
    told = {"lease_id": lease_id, "state": "completed", "values": {"value": value}}
    await client.call("complete", "POST", f"{at}:complete", told)


class InOneCall:
    """Lifecycles as `Study.optimize` does them where a trial takes less than its reports wait for
    company: the end of a trial brings its measurements along, and the next trial back.
    """

    def __init__(self) -> None:
        self._trial: Any = None

    async def __call__(self, client: Client, study_id: str, who: str) -> None:
        """One whole lifecycle; the first asks by itself."""
        trial = self._trial or await _ask(client, study_id, who)
        value, points = _evaluated(trial)
        told = {
            "lease_id": trial["lease_id"],
            "state": "completed",
            "values": {"value": value},
            "measurements": {"seq": 0, "points": points},
            "next": {"client_id": who, "lease_s": 60},
        }
        answer = await client.call("end", "POST", f"/v1/trials/{trial['id']}:complete", told)
        self._trial = answer["next"]["trials"][0]


Lifecycle: TypeAlias = Callable[[Client, str, str], Awaitable[None]]


async def _ask(client: Client, study_id: str, who: str) -> Any:
    asked = {"client_id": who, "lease_s": 60}
    answer = await client.call("suggest", "POST", f"/v1/studies/{study_id}:suggest", asked)
    return answer["trials"][0]


def _evaluated(trial: Any) -> tuple[float, list[dict[str, Any]]]:
    """A trial's value, and the points that it reports on its way there."""
    value = sum((x - 0.3) ** 2 for x in trial["params"].values())
    steps = range(1, N_REPORTS + 1)
    return value, [{"step": step, "values": {"value": value + 1.0 / step}} for step in steps]


@dataclass
class Round:
    """What one round of lifecycles brought.

    Attributes:
        lasted: seconds of each lifecycle.
        by_client: how many lifecycles each client did.
        cpu_s: CPU seconds by who spent them: client, server, database.
    """

    wall_s: float
    lasted: list[float]
    by_client: list[int]
    cpu_s: dict[str, float]
    routes: Timings = field(default_factory=timings)

    @property
    def per_s(self) -> float:
        """Lifecycles a second."""
        return len(self.lasted) / self.wall_s

    def cpu_ms(self, *who: str) -> float:
        """CPU milliseconds a lifecycle, of those named."""
        return 1000.0 * sum(self.cpu_s[name] for name in who) / len(self.lasted)

    @property
    def spread(self) -> float:
        """Lifecycles of the fastest client by those of the slowest."""
        return max(self.by_client) / max(1, min(self.by_client))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value; NaN of none."""
    return statistics.median(values) if values else math.nan


async def closed_loop(
    running: Service,
    study_id: str,
    clients: int,
    seconds: float,
    database_cpu: Any = None,
    lifecycle: Callable[[], Lifecycle] = lambda: one,
) -> Round:
    """Clients that each begin the next lifecycle when the last one has ended.

    Args:
        lifecycle: makes, for a client, what does one.
    """
    routes, lasted = timings(), list[float]()
    counts = [0] * clients

    async def go(k: int, until: float) -> None:
        do = lifecycle()
        async with Client(running.url, routes) as client:
            while (began := time.perf_counter()) < until:
                await do(client, study_id, f"client-{k}")
                lasted.append(time.perf_counter() - began)
                counts[k] += 1

    before = _spent(running, database_cpu)
    began = time.perf_counter()
    await asyncio.gather(*(go(k, began + seconds) for k in range(clients)))
    wall_s = time.perf_counter() - began
    spent = {name: value - before[name] for name, value in _spent(running, database_cpu).items()}
    return Round(wall_s, lasted, counts, spent, routes)


async def open_loop(running: Service, study_id: str, per_s: float, seconds: float) -> Round:
    """Lifecycles that begin at fixed instants, whether the ones before have ended or not.

    A lifecycle is timed from the instant at which it should have begun: what waits for a client
    that is free counts.
    """
    routes, lasted = timings(), list[float]()
    free: asyncio.Queue[Client] = asyncio.Queue()
    clients = [Client(running.url, routes) for _ in range(64)]
    for client in clients:
        await client.__aenter__()
        free.put_nowait(client)

    async def go(k: int, due: float) -> None:
        client = await free.get()
        await one(client, study_id, f"open-{k}")
        lasted.append(time.perf_counter() - due)
        free.put_nowait(client)

    before, began = _spent(running, None), time.perf_counter()
    tasks = []
    for k in range(int(per_s * seconds)):
        due = began + k / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(go(k, due)))
    await asyncio.gather(*tasks)
    wall_s = time.perf_counter() - began
    for client in clients:
        await client.__aexit__(None, None, None)
    spent = {name: value - before[name] for name, value in _spent(running, None).items()}
    return Round(wall_s, lasted, [1], spent, routes)


def _spent(running: Service, database_cpu: Any) -> dict[str, float]:
    return {
        "client": own_cpu_s(),
        "server": running.cpu_s(),
        "database": database_cpu() if database_cpu else 0.0,
    }
