"""Spaces, points and functions whose shares are known in closed form."""

from __future__ import annotations

import numpy as np

from app.analysis.axes import Floats
from app.domain.space import FloatParameter, Space


def cube(p: int) -> Space:
    """Parameters x0, x1, ... in [0, 1]."""
    return Space(parameters=tuple(FloatParameter(name=f"x{j}", low=0, high=1) for j in range(p)))


def uniform(n: int, p: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((n, p))


SOBOL_A = np.array([0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0])


def sobol_g(x: Floats) -> Floats:
    """Sobol 1993: product of (|4 x_j - 2| + a_j) / (1 + a_j)."""
    return np.asarray(((np.abs(4 * x - 2) + SOBOL_A) / (1 + SOBOL_A)).prod(axis=1))


def sobol_g_shares() -> Floats:
    parts = 1 / (3 * (1 + SOBOL_A) ** 2)
    return np.asarray(parts / (np.prod(1 + parts) - 1))


def ishigami(x: Floats) -> Floats:
    """Ishigami & Homma 1990 with a = 7, b = 0.1, on [-pi, pi]^3."""
    z = (2 * x - 1) * np.pi
    return np.asarray(np.sin(z[:, 0]) * (1 + 0.1 * z[:, 2] ** 4) + 7 * np.sin(z[:, 1]) ** 2)


ISHIGAMI_SHARES = np.array([0.3139, 0.4424, 0.0])
ISHIGAMI_PAIR = 0.2437  # of x0 and x2

LINEAR_SHARES = np.array([0.51, 0.25, 0.12, 0.062, 0.032, 0.015, 0.008, 0.003])


def linear(x: Floats) -> Floats:
    return np.asarray(x[:, : len(LINEAR_SHARES)] @ np.sqrt(LINEAR_SHARES))
