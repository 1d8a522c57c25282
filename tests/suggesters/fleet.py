"""Workers in a simulation: several trials are under way, and results come back out of order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.domain.space import Params, Space
from app.suggest.base import FinishedTrial, PendingTrial

from .asking import answer, request, told

LAGS = (1, 20)
"""Fewest and most asks of others between the ask for a trial and its result."""

Look = Callable[[Sequence[PendingTrial], Params], None]
"""Gets the trials under way at an ask, and the point that was made."""


def run(
    name: str,
    space: Space,
    f: Callable[[Params], float | None],
    *,
    n_trials: int,
    n_workers: int,
    seed: int,
    look: Look | None = None,
    **more: Any,
) -> list[FinishedTrial]:
    """A study of `n_trials`, of which up to `n_workers` are under way at a time.

    Args:
        name: the suggester.
        space: the search space.
        f: the objective; None for a failure.
        n_trials: length of the study.
        n_workers: 1 for one trial after another.
        seed: of the suggester and of the lags.
        look: called at each ask.
        more: further fields of the requests.

    Returns:
        The finished trials in the order of their results.
    """
    rng = np.random.default_rng([seed, n_workers])
    finished: list[FinishedTrial] = []
    pending: dict[int, tuple[int, PendingTrial]] = {}

    def end(number: int) -> None:
        params = pending.pop(number)[1].params
        y = f(params)
        (trial,) = told([params], [None if y is None else (y,)], first=number)
        finished.append(trial)

    for number in range(1, n_trials + 1):
        for due in [k for k, (at, _) in pending.items() if at <= number]:
            end(due)
        while len(pending) >= n_workers:
            end(min(pending, key=lambda k: (pending[k][0], k)))
        under_way = [trial for _, trial in pending.values()]
        known = sorted(finished, key=lambda t: t.number)
        asked = request(
            space, known, under_way, seed=seed, index=number, max_trials=n_trials, **more
        )
        params = answer(name, asked).suggestions[0].params
        if look is not None:
            look(under_way, params)
        lag = int(rng.integers(LAGS[0], LAGS[1] + 1))
        pending[number] = (number + lag, PendingTrial(number=number, params=params))
    for number in sorted(pending):
        end(number)
    return finished
