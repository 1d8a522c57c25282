"""An objective of your own: fits a line by gradient descent and reports as it goes.

tunewell worker run --objective own_objective:line          # in this folder
tunewell study run own_objective.json
"""

import random

import tunewell


@tunewell.objective(
    name="line",
    metrics={"error": "minimize"},
    params={
        "learning_rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "steps": {"type": "integer", "minimum": 1},
    },
)
def line(trial: tunewell.Trial) -> None:
    """Mean squared error on points that were held out, after each tenth of the steps."""
    rng = random.Random(trial.seed)
    points = [(x, 3.0 * x - 1.0 + rng.gauss(0.0, 0.1)) for x in (rng.random() for _ in range(200))]
    training, held_out = points[:150], points[150:]
    slope = offset = 0.0
    steps = int(trial.params["steps"])
    for step in range(1, steps + 1):
        x, y = rng.choice(training)
        error = slope * x + offset - y
        slope -= trial.params["learning_rate"] * error * x
        offset -= trial.params["learning_rate"] * error
        if step % max(1, steps // 10) == 0:
            squares = [(slope * u + offset - v) ** 2 for u, v in held_out]
            trial.report(step, error=sum(squares) / len(squares))
            if trial.should_stop:
                return
