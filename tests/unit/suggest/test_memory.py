"""What is kept of a study's trials is what would be made anew, whatever happens to the trials."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.domain.space import CategoricalParameter, FloatParameter, Space, point_key
from app.domain.trial import TrialState
from app.suggest.base import FinishedTrial, Floats
from app.suggest.memory import SuggestMemory


def trial(number: int, x: float) -> FinishedTrial:
    return FinishedTrial(number=number, params={"x": x}, state=TrialState.COMPLETED, values=(x,))


class Maker:
    """Makes rows, and counts them."""

    def __init__(self) -> None:
        self.n_made = 0

    def __call__(self, trials: object) -> Floats:
        found = [[t.number, float(t.params["x"])] for t in trials]  # type: ignore[attr-defined]
        self.n_made += len(found)
        return np.array(found).reshape(-1, 2)


def changes(rng: np.random.Generator, n: int = 200) -> list[list[FinishedTrial]]:
    """Histories one after another: trials come at the end and before it, go, and change."""
    now: list[FinishedTrial] = []
    out = []
    for number in range(1, n):
        now.append(trial(number, round(float(rng.random()), 1)))
        kind = rng.integers(6)
        place = int(rng.integers(len(now)))
        if kind == 0:
            del now[place]
        elif kind == 1:
            now[place] = trial(now[place].number, round(float(rng.random()), 1))
        elif kind == 2:
            now.insert(place, trial(1_000 + number, 0.5))
        out.append(list(now))
    return out


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kept_rows_are_those_made_anew(seed: int) -> None:
    memory, space = SuggestMemory(), object()
    for now in changes(np.random.default_rng(seed)):
        assert np.array_equal(memory.rows("x", space, Maker(), tuple(now)), Maker()(now))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kept_keys_are_those_made_anew(seed: int) -> None:
    memory = SuggestMemory()
    for now in changes(np.random.default_rng(seed)):
        assert set(memory.keys(tuple(now))) == {point_key(t.params) for t in now}


def test_only_new_trials_are_made() -> None:
    memory, space, make = SuggestMemory(), object(), Maker()
    trials = tuple(trial(k, 0.1 * k) for k in range(100))
    for n in (0, 10, 11, 50, 50, 100):
        memory.rows("x", space, make, trials[:n])
    assert make.n_made == 100


def test_what_the_rows_are_about_decides_their_worth() -> None:
    memory, trials = SuggestMemory(), (trial(1, 0.5),)
    first, second = object(), object()
    memory.rows("x", first, Maker(), trials)
    make = Maker()
    memory.rows("x", second, make, trials)
    assert make.n_made == 1


def test_rows_may_be_numbers() -> None:
    memory = SuggestMemory()
    trials = tuple(trial(k, 0.1 * k) for k in range(5))
    for n in (2, 5, 3):
        made = memory.rows("n", None, lambda ts: np.array([t.number for t in ts]), trials[:n])
        assert list(made) == list(range(n))


def test_rows_cannot_be_written() -> None:
    rows = SuggestMemory().rows("x", None, Maker(), (trial(1, 0.5),))
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = math.pi


def test_things_are_made_once_for_what_they_are_about() -> None:
    memory = SuggestMemory()
    spaces = [
        Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),)),
        Space(parameters=(CategoricalParameter(name="x", choices=("a", "b")),)),
    ]
    made = [memory.thing("space", s, lambda s=s: [s]) for s in (spaces[0], spaces[0], spaces[1])]  # type: ignore[misc]
    assert made[0] is made[1]
    assert made[2] == [spaces[1]]
