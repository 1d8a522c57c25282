"""How trials learn: values over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..domain.trial import TrialState
from .envelope import Envelope, floats, integers
from .sampling import minmax_lttb, strata
from .table import Floats, Ints, TrialTable
from .wild import cut

MOST_CURVES = 1_000
MOST_STEPS = 60
"""Points of one curve."""
_N_BEST = 20
_BAND_FROM = 5
"""Completed curves at a step from which on their spread is told."""

Curve = tuple[Ints, Floats]
"""Steps, ascending, and the finite values reported there."""


def choose(table: TrialTable, has_reports: set[int], *, max_curves: int, seed: int) -> Ints:
    """Places of the trials whose curves are drawn: the running ones, the best, then a spread.

    Args:
        has_reports: numbers of the trials that have reported anything.
    """
    used = np.flatnonzero(np.isin(table.number, list(has_reports)))
    most = min(max_curves, MOST_CURVES)
    running = used[table.is_in(TrialState.RUNNING)[used]][:most]
    others = np.setdiff1d(used, running)
    left = most - len(running)
    if left == 0:
        return running
    spread = others[strata(table.cost[others], left, seed, n_best=_N_BEST)]
    return np.sort(np.concatenate([running, spread]))


def curves(table: TrialTable, chosen: Ints, found: Mapping[int, Curve], *, n_used: int) -> Envelope:
    """The curves of the chosen trials, one after another in flat columns, and the 10th, 50th and
    90th percentile of the completed ones.

    Args:
        chosen: places of trials.
        found: their curves by number.
        n_used: how many trials have reported.
    """
    kept = [place for place in chosen.tolist() if int(table.number[place]) in found]
    lines = [found[int(table.number[place])] for place in kept]
    thinned = [_thinned(line) for line in lines]
    lengths = np.array([len(steps) for steps, _ in thinned], dtype=np.int64)
    places = np.array(kept, dtype=np.int64)
    return Envelope(
        kind="curves",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=n_used,
        n_shown=len(kept),
        sampling="all" if len(kept) == n_used else "strata",
        columns={
            "number": integers(table.number[places]),
            "state": integers(table.state[places]),
            "bracket": integers(table.bracket[places], none=-1),
            "offset": integers(np.cumsum(lengths) - lengths),
            "length": integers(lengths),
        },
        more={
            "axis": cut(np.concatenate([values for _, values in thinned] or [np.empty(0)])),
            "points": {
                "step": [step for steps, _ in thinned for step in steps.tolist()],
                "value": [value for _, values in thinned for value in floats(values)],
            },
            "band": _band(
                [
                    line
                    for place, line in zip(kept, lines, strict=True)
                    if table.is_in(TrialState.COMPLETED)[place]
                ]
            ),
        },
    )


def _thinned(line: Curve) -> Curve:
    steps, values = line
    at = minmax_lttb(steps.astype(np.float64), values, MOST_STEPS)
    return steps[at], values[at]


def _band(lines: Sequence[Curve]) -> dict[str, Any]:
    by_step: dict[int, list[float]] = {}
    for steps, values in lines:
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            by_step.setdefault(step, []).append(value)
    known = [step for step in sorted(by_step) if len(by_step[step]) >= _BAND_FROM]
    if len(known) > MOST_STEPS:
        known = [known[at] for at in np.linspace(0, len(known) - 1, MOST_STEPS).astype(int)]
    spread = [np.quantile(by_step[step], [0.1, 0.5, 0.9]) for step in known]
    columns = np.array(spread, dtype=np.float64).reshape(-1, 3)
    return {
        "step": known,
        "p10": floats(columns[:, 0]),
        "p50": floats(columns[:, 1]),
        "p90": floats(columns[:, 2]),
        "n": [len(by_step[step]) for step in known],
    }
