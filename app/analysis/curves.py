"""How trials learn: values over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What a trial reported.

    Attributes:
        steps: ascending.
        values: the finite values there.
        shown_steps, shown_values: what is drawn of it, to few digits; lists, ready to be sent.
    """

    steps: Ints
    values: Floats
    shown_steps: list[int]
    shown_values: list[float | None]

    @classmethod
    def of(cls, steps: Ints, values: Floats) -> Curve:
        """The curve of some steps, with what is drawn of it."""
        at = minmax_lttb(steps.astype(np.float64), values, MOST_STEPS)
        return cls(
            steps=steps,
            values=values,
            shown_steps=steps[at].tolist(),
            shown_values=floats(values[at]),
        )


def choose(table: TrialTable, *, max_curves: int, seed: int) -> Ints:
    """Places of the trials whose curves are drawn: the running ones, the best, then a spread."""
    used = np.flatnonzero(table.reported)
    most = min(max_curves, MOST_CURVES)
    running = used[table.is_in(TrialState.RUNNING)[used]][:most]
    others = np.setdiff1d(used, running)
    left = most - len(running)
    if left == 0:
        return running
    spread = others[strata(table.cost[others], left, seed, n_best=_N_BEST)]
    return np.sort(np.concatenate([running, spread]))


def curves(table: TrialTable, chosen: Ints, found: Mapping[int, Curve]) -> Envelope:
    """The curves of the chosen trials, one after another in flat columns, and the 10th, 50th and
    90th percentile of the completed ones.

    Args:
        chosen: places of trials.
        found: their curves by number.
    """
    kept = [place for place in chosen.tolist() if int(table.number[place]) in found]
    lines = [found[int(table.number[place])] for place in kept]
    lengths = np.array([len(line.shown_steps) for line in lines], dtype=np.int64)
    places = np.array(kept, dtype=np.int64)
    n_used = int(table.reported.sum())
    is_completed = table.is_in(TrialState.COMPLETED)[places]
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
            "axis": cut(np.concatenate([line.values for line in lines] or [np.empty(0)])),
            "points": {
                "step": list(chain.from_iterable(line.shown_steps for line in lines)),
                "value": list(chain.from_iterable(line.shown_values for line in lines)),
            },
            "band": _band(list(compress(lines, is_completed.tolist()))),
        },
    )


def _band(lines: Sequence[Curve]) -> dict[str, Any]:
    """Percentiles of the values at each step that several curves have."""
    steps = np.concatenate([line.steps for line in lines] or [np.empty(0, dtype=np.int64)])
    values = np.concatenate([line.values for line in lines] or [np.empty(0)])
    order = np.lexsort((values, steps))
    steps, values = steps[order], values[order]
    known, first, counts = np.unique(steps, return_index=True, return_counts=True)
    kept = np.flatnonzero(counts >= _BAND_FROM)
    if len(kept) > MOST_STEPS:
        kept = kept[np.linspace(0, len(kept) - 1, MOST_STEPS).astype(np.int64)]
    first, counts = first[kept], counts[kept]
    return {
        "step": known[kept].tolist(),
        **{
            name: floats(_at_share(values, first, counts, share))
            for name, share in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9))
        },
        "n": counts.tolist(),
    }


def _at_share(values: Floats, first: Ints, counts: Ints, share: float) -> Floats:
    """A quantile of each run of sorted values, linear between two of them."""
    place = first + share * (counts - 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, first + counts - 1)
    part = place - low
    # Weighed each by itself: the difference of two values may be larger than any float.
    return np.asarray(values[low] * (1.0 - part) + values[high] * part)
