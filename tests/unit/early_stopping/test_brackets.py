"""The table of brackets against the paper's, and against another transcription of algorithm 1."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from app.domain.early_stopping_check import bracket_steps
from app.domain.fidelity import brackets, halving_rungs
from app.domain.ladder import ladder_of

from .playing import definition_of

R81 = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]
"""JMLR 18, 2018, algorithm 1 with R = 81, eta = 3."""


def rows(*args: int) -> list[list[tuple[int, int]]]:
    return [[(row.n, row.step) for row in bracket] for bracket in brackets(*args)]


def by_the_paper(high: int, eta: int, low: int) -> list[list[tuple[int, Fraction]]]:
    """Algorithm 1, line by line: s_max = floor(log_eta R), B = (s_max + 1) R."""
    s_max = max(s for s in range(64) if low * eta**s <= high)
    budget = Fraction((s_max + 1) * high)
    table = []
    for s in reversed(range(s_max + 1)):
        n = math.ceil(budget / high * eta**s / (s + 1))
        r = Fraction(high, eta**s)
        table.append([(math.floor(Fraction(n, eta**i)), r * eta**i) for i in range(s + 1)])
    return table


def test_r_81_eta_3_is_the_table_of_the_paper() -> None:
    assert rows(81, 3) == R81
    costs = [(bracket_steps(b), bracket_steps(b, resumed=False)) for b in brackets(81, 3)]
    assert costs == [(297, 405), (276, 363), (279, 351), (324, 378), (405, 405)]


@pytest.mark.parametrize(
    ("high", "eta", "low"),
    [(1, 2, 1), (9, 3, 1), (27, 3, 1), (81, 3, 3), (81, 4, 1), (64, 2, 1), (64, 2, 5), (243, 3, 1),
     (256, 4, 1), (729, 9, 1), (3**19, 3, 1), (2**31, 2, 1)],
)  # fmt: skip
def test_whole_rungs_are_the_papers(high: int, eta: int, low: int) -> None:
    table = rows(high, eta, low)
    expected = by_the_paper(high, eta, low)
    assert [[n for n, _ in b] for b in table] == [[n for n, _ in b] for b in expected]
    for bracket, plain in zip(table, expected, strict=True):
        for (_, step), (_, exact) in zip(bracket, plain, strict=True):
            assert abs(step - exact) <= Fraction(1, 2)


@pytest.mark.parametrize("high", range(1, 60))
@pytest.mark.parametrize("eta", [2, 3, 4, 10])
def test_rungs_rise_and_end_at_the_full_training(high: int, eta: int) -> None:
    for bracket in rows(high, eta):
        steps = [step for _, step in bracket]
        assert steps == sorted(set(steps))
        assert steps[0] >= 1
        assert steps[-1] == high
        assert all(n >= 1 for n, _ in bracket)


def test_rungs_of_asynchronous_halving() -> None:
    assert halving_rungs(1, 9, 3) == (1, 3, 9)
    assert halving_rungs(2, 20, 3) == (2, 6, 18, 20)
    assert halving_rungs(5, 5, 2) == (5,)


def test_the_ladder_has_the_rungs_of_all_brackets() -> None:
    ladder = ladder_of(definition_of("hyperband", max_resource=10))
    assert ladder is not None
    assert ladder.rungs == tuple(sorted({step for b in rows(10, 3) for _, step in b}))
    assert ladder_of(definition_of("none")) is None
    long = ladder_of(definition_of("median", min_resource=2))
    assert long is not None
    assert (long.max_resource, long.rungs[:3]) == (None, (2, 6, 18))
