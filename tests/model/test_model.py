"""The service does what the reference model says, over long random sequences of calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import ServiceMachine
from .real import Counted, Real

STEPS = 50
"""Steps of one example at most."""


@pytest.fixture
def real(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Real]:
    monkeypatch.setattr("app.domain.ids._random", Counted())
    opened = Real(migrated_url)
    yield opened
    opened.close()


def steps_run(real: Real, n_examples: int, *, is_fixed: bool) -> Counter[str]:
    """Runs the machine; how many steps of each kind it took."""

    class Machine(ServiceMachine):
        pass

    Machine.real, Machine.n_steps = real, Counter()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=n_examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=is_fixed,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
    return Machine.n_steps


def test_random_calls_do_what_the_model_says(real: Real) -> None:
    steps = steps_run(real, 10, is_fixed=True)
    assert steps.total() >= 300


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_random_calls_do_what_the_model_says(real: Real) -> None:
    steps: Counter[str] = Counter()
    while steps.total() < 20_000:
        steps += steps_run(real, 100, is_fixed=False)
    print(f"{real.store.dialect}: {steps.total()} steps")  # shown by -rP, also of two processes
    for name, count in sorted(steps.items()):
        print(f"  {count:6} {name}")
