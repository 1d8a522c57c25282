"""The dashboard in headless Chromium and over HTTP: one command prints the whole table.

A real service on a database that was filled through the REST API; each figure of a first view
comes from a service process that has read nothing yet. What the page weighs is what came over the
wire, heads included, the vendored chart library apart. The study page says by
`performance.mark("tunewell:drawn")` that all the panels it begins with are drawn; without the mark
a line has no figure and is not met. CPU is that of the service and all below it. Only the loopback
is used.

Run: python benchmarks/dashboard.py [--quick] [--only PART,..] [--json FILE] [--database KIND]
                                    [--peers-python PATH]
     PART: first, idle, importance, large, watchers, memory, access, client.
     The browser is found as the browser tests find it; `make browser` installs one.
     With an interpreter that has optuna (and optuna-dashboard), ours stands beside theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from load.lifecycle import quantile  # noqa: E402
from load.machines import Place, Service, place  # noqa: E402
from load.table import Line, at_least, at_most, show  # noqa: E402
from machine import machine  # noqa: E402
from pages import client_cost, events, rival, shares  # noqa: E402
from pages.opening import Opened, chromium, heap_bytes, open_page, window  # noqa: E402
from pages.wire import Caller, get  # noqa: E402

from tests.browser import seeding  # noqa: E402
from tests.browser.chromium import NoBrowser, find  # noqa: E402
from tests.browser.looking import no_serious_violation  # noqa: E402

KB = 1000


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: fresh processes of which medians are taken.
        trials, steps: of the study of the first view.
        large: trials of the large study.
        watchers, seconds: streams that are read, and for how long.
        events: that come in under an open page.
    """

    rounds: int
    trials: int
    steps: int
    large: int
    watchers: int
    seconds: float
    events: int


FULL = Extent(3, trials=10_000, steps=20, large=100_000, watchers=50, seconds=20, events=20_000)
QUICK = Extent(1, trials=1_000, steps=5, large=5_000, watchers=10, seconds=5, events=800)


class Bench:
    """The parts of the benchmark.

    Args:
        at: where databases come from.
        kind: "sqlite" or "postgres".
        extent: how much is measured.
        browser: path of a Chromium.
        python: an interpreter with the peers, or None.
    """

    def __init__(
        self, at: Place, kind: str, extent: Extent, browser: Path, python: str | None
    ) -> None:
        self._at = at
        self._kind = kind
        self._extent = extent
        self._browser = browser
        self._python = python
        self._filled: dict[str, tuple[str, str]] = {}
        self.raw: dict[str, Any] = {}

    @contextmanager
    def _service(self, url: str | None = None) -> Iterator[Service]:
        """A fresh process, on a fresh database or on a filled one."""
        running = Service(url or self._at.database(self._kind), self._at.folder)
        try:
            yield running
        finally:
            running.stop()

    def _study(self, name: str, make: Callable[[Caller], str]) -> tuple[str, str]:
        """The URL of a database with the study, filled once a run, and the study's id."""
        if name not in self._filled:
            url = self._at.database(self._kind)
            with self._service(url) as running:
                call = Caller(running.url)
                self._filled[name] = url, make(call)
                call.close()
        return self._filled[name]

    def _main(self) -> tuple[str, str]:
        extent = self._extent
        return self._study("main", lambda c: seeding.large(c, extent.trials, steps=extent.steps))

    def _opened(self, url: str, study_id: str) -> tuple[Opened, float]:
        """A first view with the chart library in the browser's cache, and the service's CPU."""
        with (
            self._service(url) as running,
            chromium(self._browser) as browser,
            window(browser, running.url) as context,
        ):
            get(running.url, "/v1/meta")  # the process is up and has its connections
            page, _ = open_page(context, f"/static/vendor/{_library()}", mark=None)
            page.close()
            before = running.cpu_s()
            _, found = open_page(context, f"/studies/{study_id}")
            return found, running.cpu_s() - before

    def first(self) -> list[Line]:
        """The first view of a study: bytes, seconds in the browser and of the service."""
        url, study_id = self._main()
        seen = [self._opened(url, study_id) for _ in range(self._extent.rounds)]
        what = f"first view, {self._extent.trials:,} trials x {self._extent.steps} reports"
        opened = [one for one, _ in seen]
        lines = [
            at_most(
                f"{what}: over the wire", median([o.total_bytes / KB for o in opened]), 300, " kB"
            ),
            _drawn(f"{what}: all plots drawn", opened, 1.5),
        ]
        calls = [path for path in opened[-1].calls() if "/importance" not in path]
        with self._service(url) as running:
            get(running.url, "/v1/meta")
            taken = {path: get(running.url, path).seconds for path in calls}
        more = f" ({len(calls)} calls one by one, importance apart)"
        lines.append(at_most(f"{what}: server side", sum(taken.values()), 0.5, " s", more))
        self.raw["first"] = {
            "bytes": opened[-1].n_bytes,
            "library_bytes": opened[-1].library_bytes,
            "drawn_s": [one.drawn_s for one in opened],
            "service_cpu_s": [cpu for _, cpu in seen],
            "seconds": taken,
        }
        return lines + self._rival(what)

    def _rival(self, what: str) -> list[Line]:
        if self._python is None:
            return []
        if not rival.is_there(self._python):
            return [Line(f"{what}: by optuna-dashboard", "", f"not installed for {self._python}")]
        found = rival.first_view(
            self._python, self._at.folder, self._browser, self._extent.trials, self._extent.steps
        )
        self.raw["rival"] = asdict(found)
        text = f"{found.n_bytes / KB:,.0f} kB, {found.quiet_s:.1f} s until nothing loads any more"
        return [Line(f"{what}: by optuna-dashboard {found.version}", "", text)]

    def idle(self) -> list[Line]:
        """What is asked again when nothing has changed."""
        url, study_id = self._main()
        base = f"/v1/studies/{study_id}"
        paths = [base, *(f"{base}/analysis/{kind}" for kind in ("history", "curves", "importance"))]
        with self._service(url) as running:
            found = {path: self._asked_again(running.url, path) for path in paths}
        worst_s = max(seconds for seconds, _ in found.values())
        most = max(n_bytes for _, n_bytes in found.values())
        self.raw["idle"] = {path: list(pair) for path, pair in found.items()}
        return [
            at_most("idle poll: the slowest", 1000 * worst_s, 20, " ms", " (its connection too)"),
            at_most("idle poll: the largest", most / KB, 1, " kB"),
        ]

    def _asked_again(self, url: str, path: str) -> tuple[float, int]:
        tag = get(url, path).headers["etag"]
        again = [get(url, path, {"If-None-Match": tag}) for _ in range(20)]
        if {one.status for one in again} != {304}:
            raise RuntimeError(f"{path} is sent again though it has not changed")
        return median([one.seconds for one in again]), max(one.n_bytes for one in again)

    def importance(self) -> list[Line]:
        """Importance: its time, its truth, and beside Optuna's."""
        n = self._extent.trials
        url, study_id = self._main()
        path = f"/v1/studies/{study_id}/analysis/importance"
        firsts = []
        for _ in range(self._extent.rounds):
            with self._service(url) as running:
                get(running.url, "/v1/meta")
                firsts.append(get(running.url, path).seconds)
        self.raw["importance_s"] = firsts
        what = f"importance at {n:,} trials"
        lines = [at_most(f"{what}, first time", median(firsts), 1, " s")]
        g = list(shares.trials_of(shares.sobol_g, 8, 0, 1, n))
        wave = list(shares.trials_of(shares.ishigami, 3, -3.14159265, 3.14159265, n))
        with self._service() as running:
            call = Caller(running.url)
            ids = [shares.fill(call, "g", 0, 1, g), shares.fill(call, "i", -3.15, 3.15, wave)]
            found = [
                shares.of_params(
                    get(running.url, f"/v1/studies/{i}/analysis/importance?clip=1").json()
                )
                for i in ids
            ]
            call.close()
        truths = [shares.g_shares(), shares.ishigami_shares()]
        for name, ours, truth in zip(("Sobol G", "Ishigami"), found, truths, strict=True):
            off = max(abs(ours.get(f"x{d}", 0.0) - share) for d, share in enumerate(truth))
            lines.append(at_most(f"{what}, {name}: farthest share", off, 0.04))
        self.raw["shares"] = found
        if self._python is not None:
            theirs = shares.by_optuna(self._python, 0, 1, g)
            ranks = shares.rank_correlation(found[0], theirs)
            lines.append(at_least(f"{what}: rank correlation with Optuna's fANOVA", ranks, 0.8))
        return lines

    def large(self) -> list[Line]:
        """A study of 100,000 trials: opening it, and pages of its table."""
        n = self._extent.large
        url, study_id = self._study("large", lambda call: seeding.large(call, n))
        opened = [self._opened(url, study_id)[0] for _ in range(self._extent.rounds)]
        taken = {}
        with self._service(url) as running:
            for order in ("-number", "value", "-param:x0"):
                taken[order] = list(_pages(running.url, study_id, order, 10 * self._extent.rounds))
        self.raw["large"] = {"drawn_s": [one.drawn_s for one in opened], "pages_s": taken}
        slowest = 1000 * max(quantile(of, 0.9) for of in taken.values())
        return [
            _drawn(f"{n:,} trials: all plots drawn", opened, 3.0),
            at_most(f"{n:,} trials: p90 of table pages, slowest order", slowest, 100, " ms"),
        ]

    def watchers(self) -> list[Line]:
        """Many browsers that watch one running study."""
        n = self._extent.watchers
        with self._service() as running:
            call = Caller(running.url)
            study_id = seeding.create(call, "watched", seeding.box(4))
            trials = [{**one, "from": 0} for one in seeding.ask(call, study_id, 4)]
            seconds = self._extent.seconds
            found = asyncio.run(events.watched(running.url, running.cpu_s, trials, n, 5.0, seconds))
            call.close()
        if min(found.seen) < found.made:
            raise RuntimeError(f"a watcher saw {min(found.seen)} of {found.made} events")
        self.raw["watchers"] = asdict(found)
        more = f" (at {found.per_s:.1f} events/s, their reports included)"
        return [at_most(f"{n} watchers: CPU of the service", 100 * found.share, 20, " %", more)]

    def memory(self) -> list[Line]:
        """What the study page holds after an hour of updates."""
        n = self._extent.events
        with (
            self._service() as running,
            chromium(self._browser) as browser,
            window(browser, running.url) as context,
        ):
            call = Caller(running.url)
            study_id = seeding.create(call, "updates", seeding.box(4), limits={"max_trials": 900})
            seeding.bring(call, study_id, seeding.finished(200, 4, 10))
            trials = [{**one, "from": 0} for one in seeding.ask(call, study_id, 40)]
            call.close()
            page, _ = open_page(context, f"/studies/{study_id}", mark=None)
            _flood(page, running.url, trials, 400)
            begin = heap_bytes(page)
            _flood(page, running.url, trials, n)
            end = heap_bytes(page)
        self.raw["memory"] = {"begin": begin, "end": end, "events": n}
        more = f" ({begin / 1e6:.1f} to {end / 1e6:.1f} MB)"
        return [at_most(f"memory of the page, {n:,} events", end / begin, 1.5, " x", more)]

    def access(self) -> list[Line]:
        """Serious violations that axe-core finds, on each page."""
        url, study_id = self._main()
        bad = {}
        with (
            self._service(url) as running,
            chromium(self._browser) as browser,
            window(browser, running.url) as context,
        ):
            listed = get(running.url, f"/v1/studies/{study_id}/trials?page_size=1").json()
            trial_id = listed["trials"][0]["id"]
            study = f"/studies/{study_id}"
            for path in (
                "/",
                "/new",
                study,
                f"/trials/{trial_id}",
                "/workers",
                "/compare",
                "/docs",
            ):
                page, _ = open_page(context, path, mark=None)
                page.get_by_role("heading", level=1).wait_for()
                try:
                    no_serious_violation(page)
                except AssertionError as error:
                    bad[path] = str(error)
                page.close()
        self.raw["access"] = bad
        return [at_most("pages with a serious violation (axe-core)", len(bad), 0)]

    def client(self) -> list[Line]:
        """The Python client's import and size."""
        client_cost.import_cpu_s(ROOT)  # compiles it
        cpu = [client_cost.import_cpu_s(ROOT) for _ in range(5)]
        size = client_cost.zipped_bytes(ROOT)
        self.raw["client"] = {"import_cpu_s": cpu, "zipped_bytes": size}
        return [
            at_most("import tunewell: CPU", median(cpu), 0.25, " s"),
            at_most("tunewell/ alone, zipped", size / KB, 200, " kB"),
        ]


def _library() -> str:
    folder = ROOT / "app" / "dashboard" / "static" / "vendor"
    return next(path.name for path in folder.glob("echarts-*.js"))


def _drawn(what: str, opened: Sequence[Opened], limit_s: float) -> Line:
    seconds = [one.drawn_s for one in opened if one.drawn_s is not None]
    if len(seconds) < len(opened):
        return Line(what, f"<= {limit_s:g} s", "the page never set its mark", False)
    return at_most(what, median(seconds), limit_s, " s")


def _pages(url: str, study_id: str, order: str, n: int) -> Iterator[float]:
    """Seconds of one table page after the other."""
    token = ""
    for _ in range(n):
        query = f"page_size=100&order_by={order}" + (f"&page_token={token}" if token else "")
        answer = get(url, f"/v1/studies/{study_id}/trials?{query}")
        if answer.status != 200:
            raise RuntimeError(f"{query}: {answer.status} {answer.body[:300]!r}")
        yield answer.seconds
        token = answer.json()["next_page_token"] or ""


def _flood(page: Any, url: str, trials: list[Any], n: int) -> None:
    """Makes events while the page goes on applying them, and waits until it has."""
    thread = threading.Thread(target=lambda: asyncio.run(events.flood(url, trials, n)))
    thread.start()
    while thread.is_alive():
        page.wait_for_timeout(250)
    for trial in trials:
        trial["from"] += n
    page.wait_for_timeout(3_000)  # events are gathered and applied four times a second


PARTS: dict[str, Callable[[Bench], list[Line]]] = {
    "first": Bench.first,
    "idle": Bench.idle,
    "importance": Bench.importance,
    "large": Bench.large,
    "watchers": Bench.watchers,
    "memory": Bench.memory,
    "access": Bench.access,
    "client": Bench.client,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts; the exit status is 1 when one misses what it must reach."""
    parser = argparse.ArgumentParser(description="The dashboard, in a browser and over HTTP.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: a try")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--json", type=Path, help="file that a line of results is appended to")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--peers-python", help="interpreter of an environment with the peers")
    given = parser.parse_args(argv)
    names = given.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}")
    try:
        browser = find()
    except NoBrowser as error:
        parser.error(str(error))
    lines: list[Line] = []
    with place(with_postgres=given.database == "postgres") as at:
        extent = QUICK if given.quick else FULL
        bench = Bench(at, given.database, extent, browser, given.peers_python)
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            for line in PARTS[name](bench):
                print(f"  {line.what}: {line.found}", file=sys.stderr, flush=True)
                lines.append(line)
    print(show(lines))
    if given.json is not None:
        about = machine(["sqlalchemy", "fastapi", "uvicorn", "playwright"])
        said = {**about, "database": given.database, "quick": given.quick}
        with given.json.open("a") as file:
            rows = [asdict(line) for line in lines]
            file.write(json.dumps({**said, "lines": rows, "raw": bench.raw}) + "\n")
    return 1 if any(line.is_met is False for line in lines) else 0


if __name__ == "__main__":
    raise SystemExit(main())
