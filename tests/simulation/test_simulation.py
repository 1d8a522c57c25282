"""Many workers and clients over a bad network: the promises hold for each seed.

A failure names its seed; `python -m tests.simulation --seed N --trace` shows what happened.
"""

from __future__ import annotations

from collections import Counter

import pytest

from app.service import fence
from app.service.fence import Held
from app.store import leases as lease_rows
from app.store import trials as trial_rows
from app.store.studies import LockedStudy

from .run import Outcome, simulate

N_DEFAULT, N_SLOW, PER_TEST = 12, 500, 20


def checked(seed: int) -> Outcome:
    outcome = simulate(seed)
    assert outcome.faults == [], f"seed {seed}: python -m tests.simulation --seed {seed} --trace"
    return outcome


@pytest.mark.parametrize("seed", range(N_DEFAULT))
def test_the_promises_hold_under_a_bad_network(seed: int) -> None:
    checked(seed)


def test_a_seed_gives_the_same_run_each_time() -> None:
    assert simulate(3).trace == simulate(3).trace


def test_without_the_fence_a_promise_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation can fail: with writes of stale leases let through, some seed tells."""

    def anyone(study: LockedStudy, lease: lease_rows.Lease) -> Held | None:
        return Held(study, trial_rows.get(study.tx.conn, lease.trial_id), lease)

    monkeypatch.setattr(fence, "revived", anyone)
    assert any(simulate(seed).faults for seed in range(N_DEFAULT))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(N_DEFAULT, N_DEFAULT + N_SLOW, PER_TEST))
def test_the_promises_hold_for_many_seeds(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        happened += checked(seed).happened
    with capsys.disabled():
        print(f"\nseeds {first} to {first + PER_TEST - 1}: {happened.total()} events, no fault")
