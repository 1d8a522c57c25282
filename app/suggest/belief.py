"""A Gaussian process as it stands before the next point, for those who look at it."""

from __future__ import annotations

from dataclasses import dataclass

from .acquisition import Acquisition
from .gp_model import GaussianProcess
from .numerics import Array
from .row_space import RowSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """The model that makes the next point.

    Attributes:
        space: how points become its features.
        gp: process of the standardised targets of the first objective, which knows the points under
            way.
        acquisition: what is maximised; its values are logarithms.
        z, y: targets that it was given and the values that they stand for, shape (n,), the values
            to be minimised.
        name: of the acquisition.
        warp: name of the output warp.
    """

    space: RowSpace
    gp: GaussianProcess
    acquisition: Acquisition
    z: Array
    y: Array
    name: str
    warp: str
