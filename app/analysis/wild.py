"""Where an axis is cut, so that a few wild values do not flatten all others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .envelope import floats
from .table import Floats

_SHARE = 0.01
_FEW = 3
"""Where trials are few, so many at each end may be wild, up to a fifth of all."""
_TENTH = 0.1


def cut(values: Floats) -> dict[str, Any] | None:
    """The part of an axis to show and how many values lie outside; None where nothing is wild.

    Wild it is where the range from the 1 % to the 99 % quantile (of few values a little less) is
    under a tenth of the whole. The part shown reaches one such range further at either end, to the
    last value in it.

    Args:
        values: shape (n,); those that are not finite do not count.
    """
    ordered = np.sort(values[np.isfinite(values)])
    n = len(ordered)
    n_wild = max(int(np.ceil(_SHARE * n)), min(_FEW, n // 5))
    if n <= 2 * n_wild:
        return None
    low, high = ordered[n_wild], ordered[n - 1 - n_wild]
    with np.errstate(over="ignore"):
        width = high - low
        if not width < _TENTH * (ordered[-1] - ordered[0]):
            return None
        inside = ordered[(ordered >= low - width) & (ordered <= high + width)]
    shown = floats(np.array([inside[0], inside[-1]]))
    return {"low": shown[0], "high": shown[1], "n_outside": n - len(inside)}
