"""The objective of the worker cells: every attempt reports one value of its own throughout, so a
value that was taken from another attempt shows.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import tunewell

STEPS, MANY_STEPS, STEP_S = 4, 600, 0.1
FAIL_ONCE = Path(__file__).with_name("fail-once")
GO_ON = Path(__file__).with_name("go-on")


@tunewell.objective(name="crash", metrics={"value": "minimize"}, steps="moments")
def crash(trial: tunewell.Trial) -> dict[str, float]:
    """Trains for a moment; fails once, or trains for long, when the test has left a file that says
    so.
    """
    value = random.random()
    for step in range(1, (MANY_STEPS if GO_ON.exists() else STEPS) + 1):
        time.sleep(STEP_S)  # the training
        trial.report(step, value=value)
        if FAIL_ONCE.exists():
            FAIL_ONCE.unlink()
            raise RuntimeError("as the test says")
    return {"value": value}
