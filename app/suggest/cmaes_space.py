"""How a search space is laid out for the covariance matrix adaptation: continuous coordinates,
integers with a margin, categories; all on the unit cube of `encode.py`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..domain.space import Space
from .base import Floats
from .encode import CATEGORY, Axis, Encoder

Ints: TypeAlias = NDArray[np.intp]

INACTIVE = -1
"""The code of a category whose parameter is inactive."""

MAX_CELLS = 128
"""A parameter of more values than this is searched as a continuous one and rounded."""


class Layout:
    """The coordinates that are searched; parameters of a single value are none.

    Two values make a category even where they are ordered, as Hamano et al. 2025 advise.

    Attributes:
        encoder: of the whole space.
        numeric: places of the numeric coordinates in the cube, continuous ones first, shape (g,).
        n_continuous: how many of them are continuous.
        centres: for each of the others the coordinates of its values, ascending.
        categories: places of the categories in the cube, shape (c,).
        counts: number of values of each category.
    """

    def __init__(self, space: Space) -> None:
        self.encoder = Encoder(space)
        axes = self.encoder.axes
        free = [j for j, axis in enumerate(axes) if axis.n_cells != 1]
        self.categories = np.array([j for j in free if _is_category(axes[j])], dtype=np.intp)
        numbers = [j for j in free if not _is_category(axes[j])]
        continuous = [j for j in numbers if _is_continuous(axes[j])]
        integers = [j for j in numbers if not _is_continuous(axes[j])]
        self.numeric = np.array(continuous + integers, dtype=np.intp)
        self.n_continuous = len(continuous)
        self.centres = [_centres(axes[j]) for j in integers]
        self.counts = [axes[j].n_cells or 1 for j in self.categories]

    @property
    def d(self) -> int:
        """How many coordinates are searched, g + c."""
        return len(self.numeric) + len(self.categories)

    def parts(self, u: Floats) -> tuple[Floats, Ints]:
        """Numeric coordinates (n, g), NaN where inactive, and codes of categories (n, c).

        Args:
            u: encoded points, shape (n, p), NaN where inactive.
        """
        counts = np.array(self.counts, dtype=np.float64)
        chosen = u[:, self.categories]
        is_inactive = np.isnan(chosen)
        cells = np.floor(np.where(is_inactive, 0.0, chosen) * counts)
        codes = np.where(is_inactive, INACTIVE, np.minimum(cells, counts - 1)).astype(np.intp)
        return u[:, self.numeric], codes

    def whole(self, numeric: Floats, codes: Ints) -> Floats:
        """A point in the cube, shape (p,), from its parts (g,) and (c,): integers at a cell's
        centre, the middle for what is not searched.
        """
        u = np.full(self.encoder.d, 0.5)
        u[self.numeric] = np.clip(numeric, 0.0, 1.0)
        for j, centres in zip(self.numeric[self.n_continuous :], self.centres, strict=True):
            u[j] = centres[int(np.searchsorted((centres[1:] + centres[:-1]) / 2, u[j]))]
        u[self.categories] = (codes + 0.5) / np.array(self.counts, dtype=np.float64)
        return u


def _is_category(axis: Axis) -> bool:
    return axis.kind == CATEGORY or axis.n_cells == 2


def _is_continuous(axis: Axis) -> bool:
    return axis.n_cells is None or axis.n_cells > MAX_CELLS


def _centres(axis: Axis) -> Floats:
    values = [axis.value_of_cell(k) for k in range(axis.n_cells or 1)]
    return np.array([axis.to_unit(value) for value in values])
