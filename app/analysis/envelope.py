"""The form in which every analysis is answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = list[Any]

_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Columns of equal lengths, and what they leave out.

    Attributes:
        n_total: trials of the study.
        n_used: trials that the analysis is about.
        n_shown: trials that its columns hold.
        sampling: the rule by which they were chosen, "all" for none.
        excluded: trials left out, by reason.
        columns: lists of equal lengths, by name.
        is_passing: whether it may be another a moment later, so that nobody should keep it.
        more: further groups of columns, each of equal lengths within itself, and single facts.
    """

    kind: str
    change_seq: int
    n_total: int
    n_used: int
    n_shown: int
    sampling: str
    columns: Mapping[str, Column]
    excluded: Mapping[str, int] = field(default_factory=dict)
    axes: tuple[Mapping[str, Any], ...] = ()
    is_passing: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


def floats(values: NDArray[np.float64]) -> Column:
    """Floats to five significant digits; null for what is not finite."""
    return [float(f"{v:.{_DIGITS}g}") if math.isfinite(v) else None for v in values.tolist()]


def integers(values: NDArray[np.int64], none: int | None = None) -> Column:
    """Integers; null for `none`."""
    return [None if value == none else value for value in values.tolist()]
