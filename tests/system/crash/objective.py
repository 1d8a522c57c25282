"""The objective of the worker cells: every attempt reports one value of its own throughout, so a
value that was taken from another attempt shows.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import tunewell

STEPS, STEP_S = 4, 0.1
FAIL_ONCE = Path(__file__).with_name("fail-once")


@tunewell.objective(name="crash", metrics={"value": "minimize"})
def crash(trial: tunewell.Trial) -> dict[str, float]:
    """Trains for a moment; fails once when the test has left a file that says so."""
    value = random.random()
    for step in range(1, STEPS + 1):
        time.sleep(STEP_S)  # the training
        trial.report(step, value=value)
        if FAIL_ONCE.exists():
            FAIL_ONCE.unlink()
            raise RuntimeError("as the test says")
    return {"value": value}
