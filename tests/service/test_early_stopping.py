"""Early stopping through the service: random fleets with losses, repeats and crashes, against the
rules as the papers have them.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.domain.fidelity import Directive, brackets
from app.domain.study import Study, StudyState
from app.domain.trial import Trial, TrialState
from app.errors import StaleLease
from app.service.views import Grant, Point
from app.store import leases as lease_rows
from app.store import trial_sets

from .conftest import LEASE_TTL_S, Bench, definition

pytestmark = pytest.mark.anyio

MAX_STEP, ETA = 9, 3


def ruled(rule: str, n: int, **limits: Any) -> dict[str, Any]:
    """A study of clients with a rule whose rungs are 1, 3 and 9."""
    options = {"min_resource": 1, "max_resource": MAX_STEP}
    if rule in ("asha", "hyperband", "bohb", "auto"):
        options["eta"] = ETA
    return definition(
        early_stopping={"name": rule, "options": options},
        limits={"max_trials": n, **limits},
        failure_policy={"max_losses": 1000, "max_attempts": 1, "max_failed": 1000},
    )


@dataclass(slots=True)
class Client:
    """A client with the trial that it holds.

    Attributes:
        step: the step that its training is at.
        end: the step up to which it has been told to go.
        sent: its last report, for repeats.
    """

    name: str
    grant: Grant | None = None
    step: int = 0
    end: int = 0
    seq: int = 0
    sent: tuple[int, list[Point]] | None = None


@dataclass(slots=True)
class Fleet:
    """Clients that do what a seed says, and break what it says."""

    bench: Bench
    study_id: str
    seed: int
    n_clients: int
    may_lose: bool = True
    clients: list[Client] = field(default_factory=list)
    n_orders: int = 0

    def __post_init__(self) -> None:
        self.clients = [Client(f"c{k}") for k in range(self.n_clients)]

    def value(self, number: int, step: int) -> float:
        """What a trial measures: the same however often it is trained."""
        luck = random.Random(f"{self.seed}/{number}/{step}")
        return math.nan if luck.random() < 0.05 else luck.random()

    async def run(self) -> None:
        """Until the study has ended."""
        luck = random.Random(self.seed)
        for _ in range(20_000):
            if self.study().state not in (StudyState.ACTIVE, StudyState.STOPPING):
                return
            client = luck.choice(self.clients)
            if client.grant is None:
                await self.ask(client)
            elif self.may_lose and luck.random() < 0.15:
                try:
                    self.break_something(client, luck)
                except StaleLease:  # the trial went to somebody else meanwhile
                    client.grant = None
            else:
                self.train(client, luck)
        raise AssertionError(f"the study goes on for ever: {self.study().counts}")

    def study(self) -> Study:
        return self.bench.services.studies.get(self.study_id).study

    async def ask(self, client: Client) -> None:
        """Takes a trial, if there is one."""
        grants = await self.bench.suggest(self.study_id, client_id=client.name)
        for grant in grants:
            assert grant.budget.to_step is not None
            client.grant, client.step, client.end = (
                grant, grant.budget.from_step, grant.budget.to_step,
            )  # fmt: skip
            if grant.last_step is not None:
                client.step = max(client.step, grant.last_step)
            client.seq, client.sent = grant.last_seq + 1, None

    def train(self, client: Client, luck: random.Random) -> None:
        """Trains a stretch, reports it, and does as it is told."""
        assert client.grant is not None
        number = client.grant.trial.number
        to = min(client.end, client.step + luck.randint(1, 3))
        points = [
            Point(step=step, values={"value": self.value(number, step)})
            for step in range(client.step + 1, to + 1)
        ]
        client.sent = (client.seq, points)
        client.seq += 1
        client.step = to
        self.send(client)

    def send(self, client: Client) -> None:
        """Sends the last report, once more if need be."""
        assert client.grant is not None
        assert client.sent is not None
        seq, points = client.sent
        try:
            told = self.bench.services.leases.report(
                client.grant.trial.id,
                lease_id=client.grant.lease.id,
                seq=seq,
                points=points,
                caller=self.bench.caller,
            ).run()
        except StaleLease:
            client.grant = None
            return
        self.obey(client, told.directive, told.budget.to_step)

    def obey(self, client: Client, directive: Directive, to_step: int | None) -> None:
        assert client.grant is not None
        leases, trial_id = self.bench.services.leases, client.grant.trial.id
        if directive is Directive.PAUSE:
            leases.release(
                client.grant.lease.id,
                reason="paused",
                checkpoint_id=None,
                caller=self.bench.caller,
            )
            client.grant = None
        elif directive is Directive.STOP:
            self.bench.complete(client.grant, 0.0, state=TrialState.STOPPED, values={})
            client.grant = None
        else:
            assert directive is Directive.CONTINUE
            client.end = to_step or MAX_STEP
            if client.step >= MAX_STEP:
                value = self.value(client.grant.trial.number, MAX_STEP)
                if math.isnan(value):
                    self.bench.fail(client.grant, "nan")
                else:
                    self.bench.complete(client.grant, value, step=MAX_STEP)
                client.grant = None
            elif client.step >= client.end:
                raise AssertionError(f"trial {trial_id} is left at its rung without a word")

    def break_something(self, client: Client, luck: random.Random) -> None:
        """A loss, a repeat, or a new process of the service."""
        assert client.grant is not None
        what = luck.choice(["release", "expire", "silent", "repeat", "crash", "fail", "cancel"])
        services = self.bench.services
        if what == "repeat" and client.sent is not None:
            self.send(client)
        elif what == "crash":
            services.store.memory.clear()
        elif what == "release":
            services.leases.release(
                client.grant.lease.id, reason="away", checkpoint_id=None, caller=self.bench.caller
            )
            client.grant = None
        elif what in ("expire", "silent"):
            services.store.clock.offset_s += LEASE_TTL_S + 1
            self.bench.sweep()
            if what == "silent":  # else a late report may bring it back
                client.grant = None
        elif what == "fail" and luck.random() < 0.3:
            self.bench.fail(client.grant, "nan")
            client.grant = None
        elif what == "cancel" and luck.random() < 0.1:
            services.trials.cancel(client.grant.trial.id)

    def trials(self) -> list[Trial]:
        store = self.bench.services.store
        found = store.read(lambda conn: trial_sets.numbered_from(conn, self.study_id, 1))
        return sorted(found, key=lambda trial: trial.number)


def check_figures(fleet: Fleet) -> None:
    """What is used and granted is what the leases say; each rung has its first value."""
    study, store = fleet.study(), fleet.bench.services.store
    ids = [trial.id for trial in fleet.trials()]
    leases = store.read(lambda conn: [one for i in ids for one in lease_rows.of_trial(conn, i)])
    assert study.resource_granted == 0
    assert study.resource_used == sum(one.reached - one.from_step for one in leases)
    for trial in fleet.trials():
        for step, value in trial.rungs:
            said = fleet.value(trial.number, step)
            assert value == said or (math.isnan(value) and math.isnan(said))


SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_clients", [1, 5])
async def test_hyperband_fills_its_rungs_as_on_paper(
    bench: Bench, seed: int, n_clients: int
) -> None:
    """Nothing fails here: each bracket keeps the best that the paper keeps, no more, no fewer."""
    study_id = bench.study(ruled("hyperband", 17))
    fleet = Fleet(bench, study_id, seed, n_clients, may_lose=False)
    await fleet.run()
    check_figures(fleet)
    table = brackets(MAX_STEP, ETA, 1)
    by_bracket: dict[int, list[Trial]] = defaultdict(list)
    for trial in fleet.trials():
        assert trial.bracket is not None
        by_bracket[trial.bracket].append(trial)
    for bracket, trials in by_bracket.items():
        rows = table[bracket % len(table)]
        members = {trial.number for trial in trials}
        assert len(members) == rows[0].n
        for row, after in itertools.pairwise(rows):
            values = {
                n: v if not math.isnan(v := fleet.value(n, row.step)) else math.inf for n in members
            }
            best = sorted(members, key=lambda n: (values[n], n))
            kept = {n for n in best[: after.n] if math.isfinite(values[n])}
            beyond = {t.number for t in trials if any(step > row.step for step, _ in t.rungs)}
            assert beyond == kept, (bracket, row, values)
            members = kept
            if not members:
                break


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", ["asha", "hyperband"])
async def test_losses_repeats_and_crashes_overfill_no_rung_and_lose_no_step(
    bench: Bench, seed: int, rule: str
) -> None:
    study_id = bench.study(ruled(rule, 17))
    fleet = Fleet(bench, study_id, seed, 4)
    await fleet.run()
    check_figures(fleet)
    study, trials = fleet.study(), fleet.trials()
    freed = (TrialState.FAILED, TrialState.CANCELLED)
    assert sum(trial.state not in freed for trial in trials) <= 17
    assert study.stop_reason in ("max_trials", "max_failed")
    if rule == "hyperband":
        table = brackets(MAX_STEP, ETA, 1)
        reached: dict[tuple[int, int], int] = defaultdict(int)
        for trial in trials:
            for step, _ in trial.rungs:
                reached[trial.bracket or 0, step] += 1
        for bracket in {trial.bracket or 0 for trial in trials}:
            for row in table[bracket % len(table)]:
                assert reached[bracket, row.step] <= row.n


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", ["asha", "hyperband", "median"])
async def test_the_steps_of_a_study_are_exact(bench: Bench, seed: int, rule: str) -> None:
    study_id = bench.study(ruled(rule, 200, max_resource_total=60))
    fleet = Fleet(bench, study_id, seed, 4)
    await fleet.run()
    study = fleet.study()
    assert study.stop_reason == "max_resource"
    assert study.resource_used == 60
    check_figures(fleet)


async def test_a_trial_that_a_rung_kept_is_not_stopped_between_rungs(bench: Bench) -> None:
    """Others that come to the rung later, and do better, end nothing that has passed it."""
    options = {"max_resource": MAX_STEP, "eta": ETA, "mode": "stop"}
    study_id = bench.study(definition(early_stopping={"name": "asha", "options": options}))
    fleet = Fleet(bench, study_id, 0, 4)

    def told(client: Client, step: int, value: float) -> Directive:
        assert client.grant is not None
        client.seq += 1
        return (
            bench.services.leases.report(
                client.grant.trial.id,
                lease_id=client.grant.lease.id,
                seq=client.seq,
                points=[Point(step=step, values={"value": value})],
                caller=bench.caller,
            )
            .run()
            .directive
        )

    for client in fleet.clients:
        await fleet.ask(client)
    first, *others = fleet.clients
    assert told(first, 1, 0.5) is Directive.CONTINUE
    for client, value in zip(others, (0.4, 0.3, 0.9), strict=True):
        told(client, 1, value)
    assert told(first, 2, 0.5) is Directive.CONTINUE
    assert told(first, 3, 0.5) is Directive.CONTINUE
