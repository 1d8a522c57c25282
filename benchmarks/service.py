"""The service under load, beside Optuna's storages: one command prints the whole table.

Everything is a process of its own on this machine: `tunewell serve` as a user starts it, a Postgres
server with fsync on, 16 clients. Ours and the peers take turns, round by round; the table has
medians of the rounds. CPU time is what the clients and the service took, the database's own beside
it. Only the loopback is used, and every part is bounded in time.

Run: python benchmarks/service.py [--quick] [--only NAME] [--kinds KIND] [--json FILE]
                                  [--peers-python PATH]
     KIND: sqlite, postgres, or both with a comma.
     NAME: statements, lifecycles, points, waiting, large; several with commas.
     The peers need `pip install -r benchmarks/requirements-peers.txt` in an environment of theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from load import peers  # noqa: E402
from load.http import Client, timings  # noqa: E402
from load.large import ROUTES, large  # noqa: E402
from load.lifecycle import (  # noqa: E402
    CALLS,
    InOneCall,
    Lifecycle,
    Round,
    closed_loop,
    create,
    median,
    one,
    open_loop,
    quantile,
)
from load.machines import Place, place, service  # noqa: E402
from load.points import points_per_s  # noqa: E402
from load.statements import per_lifecycle  # noqa: E402
from load.table import Line, at_least, at_most, show  # noqa: E402
from load.waiting import waiting  # noqa: E402
from machine import machine  # noqa: E402

CLIENTS = 16
KINDS = ("sqlite", "postgres")
# 1,000 calls a second of one caller. Without tokens all clients here are one, by their address.
NO_LIMIT = {"rate_limit_per_s": "0"}
SHOWN = {"sqlite": "SQLite", "postgres": "Postgres"}


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: how often ours and the peers take turns.
        seconds: of one round.
        workers: how many wait.
        large: trials of the large study; `small` of the one beside it.
    """

    rounds: int
    seconds: float
    workers: int
    large: int
    small: int


FULL = Extent(rounds=5, seconds=10.0, workers=1_000, large=100_000, small=1_000)
QUICK = Extent(rounds=1, seconds=4.0, workers=200, large=5_000, small=500)


class Bench:
    """The parts of the benchmark.

    Args:
        at: where databases come from.
        extent: how much is measured.
        python: an interpreter with the peers, or None.
        kinds: the databases.
    """

    def __init__(
        self, at: Place, extent: Extent, python: str | None, kinds: Sequence[str] = KINDS
    ) -> None:
        self._at = at
        self._kinds = kinds
        self._extent = extent
        self._python = python
        self.raw: dict[str, Any] = {}

    def statements(self) -> list[Line]:
        """SQL statements and commits of a lifecycle."""
        lines = []
        for kind in self._kinds:
            found = asyncio.run(per_lifecycle(self._at.database(kind)))
            counts = {name: len(one.statements) for name, one in found.items()}
            more = " (" + ", ".join(f"{name} {count}" for name, count in counts.items()) + ")"
            n_commits = sum(one.n_commits for one in found.values())
            what = f"a lifecycle, {SHOWN[kind]}"
            lines += [
                at_most(f"SQL statements of {what}", sum(counts.values()), 12, more=more),
                at_most(f"commits of {what}", n_commits, 5),
            ]
            self.raw[f"statements-{kind}"] = {**counts, "commits": n_commits}
        return lines

    def lifecycles(self) -> list[Line]:
        """Lifecycles by 16 clients, ours and the peers in turn."""
        rounds: dict[str, list[Round]] = {}
        for _ in range(self._extent.rounds):
            for kind in self._kinds:
                rounds.setdefault(kind, []).append(self._closed(kind))
                rounds.setdefault(f"once-{kind}", []).append(self._closed(kind, InOneCall))
                rounds.setdefault(f"open-{kind}", []).append(self._open(kind, rounds[kind][-1]))
                for peer, beside in peers.PEERS.items():
                    if self._python is not None and beside == kind:
                        rounds.setdefault(peer, []).append(self._peer(peer, self._python))
        self.raw["lifecycles"] = {name: [_facts(one) for one in of] for name, of in rounds.items()}
        return [line for kind in self._kinds for line in _lifecycle_lines(kind, rounds)]

    def _closed(self, kind: str, lifecycle: Callable[[], Lifecycle] = lambda: one) -> Round:
        async def go() -> Round:
            async with Client(running.url, timings()) as client:
                study_id = await create(client, "load")
            await closed_loop(running, study_id, CLIENTS, 1.0, lifecycle=lifecycle)
            seconds = self._extent.seconds
            return await closed_loop(running, study_id, CLIENTS, seconds, database, lifecycle)

        postgres = self._at.postgres
        database = postgres.cpu_s if postgres is not None and kind == "postgres" else None
        with service(self._at, kind, **NO_LIMIT) as running:
            return asyncio.run(go())

    def _open(self, kind: str, closed: Round) -> Round:
        async def go() -> Round:
            async with Client(running.url, timings()) as client:
                study_id = await create(client, "load")
            return await open_loop(running, study_id, closed.per_s / 2, self._extent.seconds / 2)

        with service(self._at, kind, **NO_LIMIT) as running:
            return asyncio.run(go())

    def _peer(self, peer: str, python: str) -> Round:
        return peers.run(self._at, python, peer, CLIENTS, self._extent.seconds)

    def points(self) -> list[Line]:
        """Measurement points a second."""
        found: dict[str, list[float]] = {kind: [] for kind in self._kinds}
        for _ in range(self._extent.rounds):
            for kind in self._kinds:
                with service(self._at, kind) as running:
                    per_s = asyncio.run(points_per_s(running, self._extent.seconds / 2))
                found[kind].append(per_s)
        self.raw["points"] = found
        goals = {"sqlite": 1_000, "postgres": 5_000}
        return [
            at_least(f"points/s in batches of 50, {SHOWN[kind]}", median(of), goals[kind])
            for kind, of in found.items()
        ]

    def waiting(self) -> list[Line]:
        """Workers that wait."""
        lines = []
        n, seconds = self._extent.workers, self._extent.seconds * 2
        for kind in self._kinds:
            with service(self._at, kind) as running:
                found = asyncio.run(waiting(running, n, seconds, seconds))
            what = f"{n} waiting workers, {SHOWN[kind]}"
            p99_ms = 1000 * quantile(found.claim_s, 0.99)
            rate = f" at {found.ended_per_s:.1f} ends/s, {100 * found.busy_share:.0f} % of a core"
            lines += [
                at_most(f"p99 of a claim, {what}", p99_ms, 100, " ms", rate),
                at_most(f"idle CPU, {what}", 100 * found.idle_share, 5, " %"),
            ]
            self.raw[f"waiting-{kind}"] = asdict(found)
        return lines

    def large(self) -> list[Line]:
        """A large study beside a small one."""
        lines = []
        sizes = (self._extent.small, self._extent.large)
        for kind in self._kinds:
            with service(self._at, kind) as running:
                found = asyncio.run(large(running, sizes, self._extent.rounds * 10))
            for route in ROUTES:
                few, many = (1000 * quantile(found.routes[s][route], 0.99) for s in sizes)
                what = f"p99 of {route} among {sizes[1]:,} trials, {SHOWN[kind]}"
                ratio = many / few
                text = f"{many:.1f} ms, {ratio:.2f} x that among {sizes[0]:,}"
                lines.append(Line(what, "<= 50 ms, <= 1.5 x", text, many <= 50 and ratio <= 1.5))
            own, whole = (size / 2**20 for size in found.memory_bytes)
            what = f"memory of the service at {sizes[1]:,} trials, {SHOWN[kind]}"
            lines.append(at_most(what, own, 400, " MiB", f" ({whole:.0f} with fitting processes)"))
            self.raw[f"large-{kind}"] = {"memory_bytes": found.memory_bytes, "p99_ms": {
                f"{size}-{route}": 1000 * quantile(found.routes[size][route], 0.99)
                for size in sizes for route in ROUTES
            }}  # fmt: skip
        return lines


def _lifecycle_lines(kind: str, rounds: dict[str, list[Round]]) -> list[Line]:
    ours, shown = rounds[kind], SHOWN[kind]
    cpu = median([one.cpu_ms("client", "server") for one in ours])
    beside = median([one.cpu_ms("database") for one in ours])
    p95 = median([quantile(one.lasted, 0.95) for one in ours])
    per_s = median([one.per_s for one in ours])
    more = f" (Postgres itself {beside:.1f})" if kind == "postgres" else ""
    lines = [
        at_most(f"CPU of a lifecycle, client + server, {shown}", cpu, 30, " ms", more),
        at_most(f"p95 of a lifecycle, 16 clients, {shown}", p95, 0.5, " s"),
        at_most(
            f"fastest by slowest client, {shown}", median([one.spread for one in ours]), 2, " x"
        ),
    ]
    at_once = rounds[f"once-{kind}"]
    once_per_s = median([one.per_s for one in at_once])
    for how, rate in ((f"{CALLS} calls", per_s), ("in one call, as optimize", once_per_s)):
        lines += [
            _beside(peer, rate, f"{shown}, {how}", rounds)
            for peer, of in peers.PEERS.items()
            if of == kind
        ]
    cpu_once = median([one.cpu_ms("client", "server") for one in at_once])
    p95_once = median([quantile(one.lasted, 0.95) for one in at_once])
    text = f"CPU {cpu_once:.1f} ms, p95 {p95_once:.2f} s"
    lines.append(Line(f"a lifecycle in one call, {shown}", "", text))
    opened = rounds[f"open-{kind}"]
    p99 = 1000 * median([quantile(one.lasted, 0.99) for one in opened])
    rate = median([one.per_s for one in opened])
    lines.append(Line(f"open loop at {rate:.0f} lifecycles/s, {shown}", "", f"p99 {p99:.0f} ms"))
    for route in ("suggest", "report", "complete"):
        p50, p99 = (
            1000 * median([quantile(one.routes[route], share) for one in ours])
            for share in (0.5, 0.99)
        )
        text = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, CPU {cpu / CALLS:.2f} ms a call on average"
        lines.append(Line(f"{route}, 16 clients, {shown}", "", text))
    return lines


def _beside(peer: str, per_s: float, shown: str, rounds: dict[str, list[Round]]) -> Line:
    what = f"lifecycles/s, 16 clients, {shown}, by {peers.NAMES[peer]}"
    is_goal = peer != "rdb"
    if peer not in rounds:
        return Line(what, ">= 3 x" if is_goal else "", f"{per_s:.1f} (the peer is not installed)")
    theirs = rounds[peer]
    rate = median([one.per_s for one in theirs])
    cpu = median([one.cpu_ms("client", "server") for one in theirs])
    p95 = median([quantile(one.lasted, 0.95) for one in theirs])
    spread = median([one.spread for one in theirs])
    text = (
        f"{per_s:.1f} / {rate:.1f} = {per_s / rate:.1f} x "
        f"(theirs: CPU {cpu:.0f} ms, p95 {p95:.2f} s, spread {spread:.1f} x)"
    )
    return Line(what, ">= 3 x" if is_goal else "", text, per_s >= 3 * rate if is_goal else None)


def _facts(one: Round) -> dict[str, Any]:
    return {
        "per_s": one.per_s,
        "p50_s": quantile(one.lasted, 0.5),
        "p95_s": quantile(one.lasted, 0.95),
        "spread": one.spread,
        "cpu_ms": {name: one.cpu_ms(name) for name in one.cpu_s},
        "routes_ms": {
            route: {"p50": 1000 * quantile(of, 0.5), "p99": 1000 * quantile(of, 0.99)}
            for route, of in one.routes.items()
        },
    }


PARTS: dict[str, Callable[[Bench], list[Line]]] = {
    "statements": Bench.statements,
    "lifecycles": Bench.lifecycles,
    "points": Bench.points,
    "waiting": Bench.waiting,
    "large": Bench.large,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts; the exit status is 1 when one misses what it must reach."""
    parser = argparse.ArgumentParser(description="The service under load.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: a try")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--kinds", default=",".join(KINDS), help="databases, with commas")
    parser.add_argument("--json", type=Path, help="file that a line of results is appended to")
    parser.add_argument("--peers-python", help="interpreter of an environment with the peers")
    given = parser.parse_args(argv)
    names = given.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}")
    kinds = given.kinds.split(",")
    if unknown := [name for name in kinds if name not in KINDS]:
        parser.error(f"there is no database {', '.join(unknown)}")
    python = given.peers_python
    if python is not None and not peers.is_there(python):
        parser.error(f"{python} has no Optuna with gRPC")
    lines: list[Line] = []
    load = os.getloadavg()[0]
    with place(with_postgres="postgres" in kinds) as at:
        bench = Bench(at, QUICK if given.quick else FULL, python, kinds)
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            lines += PARTS[name](bench)
    print(show(lines))
    if given.json is not None:
        about = machine(["sqlalchemy", "psycopg", "fastapi", "uvicorn"])
        busy = {"load_average": load}  # what else ran: with much of it rates say little
        said = {**about, **busy, "quick": given.quick, "lines": [asdict(line) for line in lines]}
        with given.json.open("a") as file:
            file.write(json.dumps({**said, "raw": bench.raw}) + "\n")
    return 1 if any(line.is_met is False for line in lines) else 0


if __name__ == "__main__":
    raise SystemExit(main())
