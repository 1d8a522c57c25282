"""The two densities of the tree-structured Parzen estimator over a space with conditions.

Bergstra et al. 2011, section 4: a tree of densities, of which a parameter's is fitted to the trials
in which the parameter is active and drawn from only where the parents drawn before switch it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..domain.space import Value
from .base import Floats
from .parzen import Ints, Mixture
from .tpe_columns import Codes, Group


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """l and g over one group of parameters."""

    group: Group
    below: Mixture
    above: Mixture

    def log_ratio(self, x: Floats) -> Floats:
        """ln l(x) - ln g(x) of codes `(q, g)`: shape `(q,)`, finite by the prior components."""
        return self.below.log_density(x) - self.above.log_density(x)


class Model:
    """l over the good trials, g over the others and the pending ones, group by group."""

    def __init__(
        self,
        *,
        codes: Codes,
        groups: Sequence[Group],
        below: Floats,
        weights: Floats,
        above: Floats,
        above_weights: Floats,
    ) -> None:
        """Fits the densities.

        Args:
            codes: the space's codes.
            groups: which parameters are modelled jointly, parents before children.
            below: codes of the good trials, shape (b, p), NaN where inactive.
            weights: their weights on the scale of the prior's, which is 1, shape (b,).
            above: codes of the other and of the pending trials, shape (a, p).
            above_weights: their weights on the same scale, shape (a,).
        """
        self._codes = codes
        weighted = (below, weights), (above, above_weights)
        self._pairs = [_pair(codes, group, *weighted) for group in groups]
        parents = {group.condition.param for group in groups if group.condition is not None}
        self._parents = {j: name for j, name in enumerate(codes.space.names) if name in parents}

    def draw(self, rng: np.random.Generator, q: int) -> tuple[Floats, Floats]:
        """Whole candidates from l, and their log ratios summed over their active groups.

        Returns:
            Codes `(q, p)`, NaN where inactive, and log ratios `(q,)`.
        """
        drawn, log_ratios = np.full((q, len(self._codes.columns)), np.nan), np.zeros(q)
        parents: list[dict[str, Value]] = [{} for _ in range(q)]
        for pair in self._pairs:
            rows = _active_rows(pair.group, parents)
            if rows.size == 0:
                continue
            places = pair.group.places
            x = self._codes.snap(places, pair.below.draw(rng, rows.size))
            log_ratios[rows] += pair.log_ratio(x)
            drawn[rows[:, None], list(places)] = x
            self._note_parents(parents, rows, places, x)
        return drawn, log_ratios

    def log_ratio(self, codes: Floats) -> Floats:
        """ln l(x) - ln g(x) of whole points: codes `(q, p)` to `(q,)`."""
        out = np.zeros(codes.shape[0])
        for pair in self._pairs:
            x = codes[:, list(pair.group.places)]
            rows = _rows_without_nan(x)
            if rows.size:
                out[rows] += pair.log_ratio(x[rows])
        return out

    def log_densities(self, codes: Floats) -> tuple[Floats, Floats]:
        """ln l(x) and ln g(x) of whole points, each summed over the active groups: codes `(q, p)`
        to two `(q,)`.
        """
        below, above = np.zeros(codes.shape[0]), np.zeros(codes.shape[0])
        for pair in self._pairs:
            x = codes[:, list(pair.group.places)]
            rows = _rows_without_nan(x)
            if rows.size:
                below[rows] += pair.below.log_density(x[rows])
                above[rows] += pair.above.log_density(x[rows])
        return below, above

    def _note_parents(
        self, parents: list[dict[str, Value]], rows: Ints, places: Sequence[int], x: Floats
    ) -> None:
        for column, j in enumerate(places):
            if j in self._parents:
                name = self._parents[j]
                for i, code in zip(rows, x[:, column], strict=True):
                    parents[i][name] = self._codes.value(j, float(code))


def _pair(
    codes: Codes, group: Group, below: tuple[Floats, Floats], above: tuple[Floats, Floats]
) -> _Pair:
    """The densities over a group; `below`, `above`: codes (n, p) of all trials and weights."""
    return _Pair(
        group=group, below=_mixture(codes, group, *below), above=_mixture(codes, group, *above)
    )


def _mixture(codes: Codes, group: Group, x: Floats, weights: Floats) -> Mixture:
    """The estimate over a group from the trials in which it is active."""
    part = x[:, list(group.places)]
    rows = _rows_without_nan(part)
    return Mixture([codes.columns[j] for j in group.places], part[rows], weights[rows])


def _rows_without_nan(x: Floats) -> Ints:
    return np.flatnonzero(~np.isnan(x).any(axis=1))


def _active_rows(group: Group, parents: Sequence[dict[str, Value]]) -> Ints:
    """Candidates in which a group is active, by the parents drawn so far."""
    condition = group.condition
    if condition is None:
        return np.arange(len(parents))
    return np.flatnonzero([condition.holds(params) for params in parents])
