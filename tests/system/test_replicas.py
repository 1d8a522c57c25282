"""Several processes of the service on one Postgres, killed one after another."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.domain.trial import TrialState
from app.service.leadership import HOUSEKEEPING
from app.store import leaders, studies
from app.store.engine import Store
from app.store.opening import open_store

from .round_robin import RoundRobin
from .running import Process, Service, function_study, tunewell, worker_command
from .test_exact import ended_once
from .test_replay import replay

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"])

LEASE_TTL_S = 2.0


@contextmanager
def replicas(folder: Path, database_url: str, count: int) -> Iterator[list[Service]]:
    """Running processes of the service; the first one leads."""
    env = {"TUNEWELL_LEASE_TTL_S": f"{LEASE_TTL_S}"}
    made = [Service(folder, database_url, env) for _ in range(count)]
    try:
        made[0].start()
        with ThreadPoolExecutor(count) as thread:
            for start in [thread.submit(one.start) for one in made[1:]]:
                start.result()
        yield made
    finally:
        for one in made:
            one.end()


@pytest.fixture
def store(database_url: str, migrated: None) -> Iterator[Store]:
    """A look into the database that the processes share."""
    opened = open_store(database_url)
    yield opened
    opened.close()


@pytest.fixture
def migrated(folder: Path, database_url: str) -> None:
    done = Process(tunewell("migrate", "--database-url", database_url), folder)
    assert done.process.wait(timeout=60) == 0
    done.end()


def until(check: Callable[[], bool], timeout_s: float = 60.0) -> float:
    """Looks again and again; how many seconds it took until the check held."""
    started, pause = time.monotonic(), threading.Event()
    while not check():
        assert time.monotonic() < started + timeout_s, "waited in vain"
        pause.wait(0.02)
    return time.monotonic() - started


def leader(store: Store) -> str | None:
    return store.read(lambda conn: leaders.holder(conn, HOUSEKEEPING))


def register(service: Service, name: str) -> str:
    body = {"name": name, "boot_id": "1", "objectives": ["function"], "slots": 1}
    return str(service.call("POST", "/v1/workers", body)["id"])


def seen_at(service: Service, worker_id: str) -> str:
    (worker,) = service.call("GET", "/v1/workers")["workers"]
    assert worker["id"] == worker_id
    return str(worker["last_seen_at"])


class TestWaking:
    """What waits on one replica is woken by a change that went through another."""

    ROUNDS = 5

    def claim_s(self, one: Service, two: Service, worker_id: str, name: str) -> float:
        """Seconds from a change through one replica to the answer of a claim at the other."""
        body = {"worker_id": worker_id, "max_leases": 1, "wait_s": 60}
        with ThreadPoolExecutor(1) as thread:
            seen = seen_at(one, worker_id)
            waiting = thread.submit(two.call, "POST", "/v1/leases:claim", body)
            until(lambda: seen_at(one, worker_id) != seen)  # the claim has come in
            assert not waiting.done()
            one.call("POST", "/v1/studies", function_study(name, limits={"max_trials": 1}))
            changed_at = time.monotonic()
            (lease,) = waiting.result(60)["leases"]
            took_s = time.monotonic() - changed_at
        trial = f"/v1/trials/{lease['trial']['id']}"
        values = {"lease_id": lease["lease_id"], "state": "completed", "values": {"value": 1.0}}
        one.call("POST", f"{trial}:complete", values)
        return took_s

    def stream_s(self, one: Service, two: Service, study_id: str, note: Callable[[], int]) -> float:
        """Seconds from a change through one replica to its event in a stream of the other."""
        after = two.study(study_id)["change_seq"]
        arrived: dict[int, float] = {}
        opened = threading.Event()

        def follow() -> None:
            url = f"{two.url}/v1/studies/{study_id}/events?after={after - 1}"
            with two.http.stream("GET", url, timeout=60) as stream:
                for line in stream.iter_lines():
                    if line.startswith("id:"):
                        arrived[int(line[3:])] = time.monotonic()
                        opened.set()
                        if len(arrived) == 2:
                            return

        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(follow)
            assert opened.wait(60)
            seq = note()
            changed_at = time.monotonic()
            following.result(60)
        return arrived[seq] - changed_at

    def test_claims_and_streams_of_another_replica_wake_within_a_second(
        self, folder: Path, database_url: str, store: Store
    ) -> None:
        with replicas(folder, database_url, 2) as (one, two):
            worker_id = register(two, "w")
            claims = [self.claim_s(one, two, worker_id, f"s{k}") for k in range(self.ROUNDS)]
            study = one.call("POST", "/v1/studies", function_study("noted"))
            state = iter([":pause", ":resume"] * self.ROUNDS)

            def change() -> int:
                path = f"/v1/studies/{study['id']}{next(state)}"
                return int(one.call("POST", path)["change_seq"])

            streams = [self.stream_s(one, two, study["id"], change) for _ in range(self.ROUNDS)]
            for _ in range(self.ROUNDS):
                cut(database_url, "LISTEN")
                claims.append(self.claim_s(one, two, worker_id, f"cut {len(claims)}"))
            cut(database_url, "pg_notify")
            claims.append(self.claim_s(one, two, worker_id, "cut sender"))
        print(f"claims {claims}, streams {streams}")
        assert statistics.median(claims[: self.ROUNDS]) < 1.0
        assert statistics.median(streams) < 1.0
        assert statistics.median(claims[self.ROUNDS :]) < 1.0
        # Without word from the other replica they would have waited for a minute.
        assert max(claims + streams) < 10.0


def cut(database_url: str, last_query: str) -> None:
    """Ends the connections to this database whose last statement was one of this kind."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE %s",
            (f"%{last_query}%",),
        )
        assert found.fetchall()


def test_a_killed_leader_is_followed_within_ten_seconds_and_a_stopped_one_at_once(
    folder: Path, database_url: str, store: Store
) -> None:
    with replicas(folder, database_url, 2) as (one, two):
        first = leader(store)
        assert first is not None
        worker_id = register(two, "w")
        two.call("POST", "/v1/studies", function_study("lost"))
        body = {"worker_id": worker_id, "max_leases": 1, "wait_s": 60}
        (lease,) = two.call("POST", "/v1/leases:claim", body)["leases"]
        one.kill()
        followed_s = until(lambda: leader(store) not in (None, first))
        trial = two.wait(lambda: taken_back(two, lease["trial"]["id"]))
        late_s = seconds(trial["attempts"][0]["ended_at"]) - seconds(lease["expires_at"])
        one.start()
        second = leader(store)
        assert two.process is not None
        two.process.process.send_signal(signal.SIGTERM)
        stopped_s = until(lambda: leader(store) not in (None, second))
        assert two.process.process.wait(timeout=60) == 0
    print(f"followed after {followed_s:.1f} s and {stopped_s:.1f} s; lease {late_s:.2f} s late")
    assert followed_s <= 10.0
    assert stopped_s <= 2.0
    assert 0 <= late_s <= 2.0


def test_the_first_token_turns_auth_on_in_every_replica_and_the_schema_can_be_checked(
    folder: Path, database_url: str, migrated: None
) -> None:
    with replicas(folder, database_url, 2) as both:
        check = Process(tunewell("migrate", "--check", "--database-url", database_url), folder)
        assert check.process.wait(timeout=60) == 0
        check.end()
        create = ["token", "create", "--role", "reader", "--name", "me", "--quiet"]
        made = Process(tunewell(*create, "--database-url", database_url), folder)
        secret = made.line("tw_").strip()
        made.end()
        for one in both:
            assert one.http.get(f"{one.url}/v1/studies").status_code == 401
            granted = {"Authorization": f"Bearer {secret}"}
            assert one.http.get(f"{one.url}/v1/studies", headers=granted).status_code == 200


def taken_back(service: Service, trial_id: str) -> Any:
    trial = service.call("GET", f"/v1/trials/{trial_id}")
    return trial if trial["state"] == "pending" else None


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("suggester", "n_trials"),
    [("tpe", 24), pytest.param("gp", 60, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
def test_three_replicas_killed_one_after_another_run_a_study_exactly(
    folder: Path, database_url: str, store: Store, suggester: str, n_trials: int
) -> None:
    options = {"function": "sphere", "steps": 3, "step_s": 0.4}
    definition = function_study(
        suggester,
        objective={"name": "function", "options": options},
        suggester={"name": suggester, "seed": 5},
        limits={"max_trials": n_trials},
    )
    with ExitStack() as stack:
        three = stack.enter_context(replicas(folder, database_url, 3))
        proxy = stack.enter_context(RoundRobin([one.url for one in three]))
        study_id = three[0].call("POST", "/v1/studies", definition)["id"]
        fleet = [
            Process(
                worker_command(proxy.url, f"w{k}", "--exit-when-idle", slots=2),
                folder,
                {"TUNEWELL_STATE_DIR": str(folder / f"w{k}")},
            )
            for k in range(2)
        ]
        for process in fleet:
            stack.callback(process.end)
        n_kills = kill_in_turn(three, store, study_id, n_trials)
        ended = three[0].wait_ended(study_id)
        statuses = [process.process.wait(timeout=60) for process in fleet]
        trials = three[0].trials(study_id)
    sources = Counter(trial["source"] for trial in trials)
    leases = Counter(attempt["end"] for trial in trials for attempt in trial["attempts"])
    print(f"{n_kills} kills, {dict(sources)}, leases {dict(leases)}")
    assert n_kills >= 3
    assert (ended["state"], ended["stop_reason"]) == ("completed", "max_trials")
    assert sorted(trial["number"] for trial in trials) == list(range(1, n_trials + 1))
    assert all(trial["state"] == "completed" and ended_once(trial) for trial in trials)
    assert len({str(trial["params"]) for trial in trials}) == n_trials
    assert statuses == [0, 0]
    for process in fleet:
        assert "Traceback" not in process.errors.read_text()
    assert replay(folder, suggester, "--local", database_url)["equal"] == n_trials


def kill_in_turn(three: list[Service], store: Store, study_id: str, n_trials: int) -> int:
    """Kills one replica after another, every four results; returns how many.

    Each is started again beside what goes on; one at least is up at any time.
    """

    def completed() -> int:
        return store.read(lambda conn: studies.get(conn, study_id)).counts[TrialState.COMPLETED]

    with ThreadPoolExecutor(2) as thread:
        starts: list[Future[None]] = []
        for mark in range(4, n_trials, 4):
            until(lambda mark=mark: completed() >= mark, 120)  # type: ignore[misc]
            victim = three[len(starts) % 3]
            for start in starts[:-1]:
                start.result(120)
            if completed() == n_trials:
                break
            victim.kill()
            starts.append(thread.submit(victim.start))
    for start in starts:
        start.result()
    return len(starts)
