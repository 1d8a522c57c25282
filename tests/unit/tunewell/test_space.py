"""Parameters and metrics of a script: equal by content, wrong ones refused at once."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tunewell as tw
from app.domain.definition import definition_to_json, parse_definition
from tunewell.space import definition

SPACE = [
    tw.Float("lr", 1e-5, 1e-1, log=True, default=1e-3),
    tw.Int("width", 16, 512, step=16),
    tw.Cat("model", ["simple", "bn"], ordered=True),
    tw.Float("momentum", 0.1, 0.9, when=tw.when("model", ["bn"])),
    tw.Int("depth", 1, 9, when=tw.when("width", low=32, high=64)),
]


def test_they_are_equal_by_content_frozen_and_fit_for_sets() -> None:
    assert tw.Float("a", 0, 1) == tw.Float("a", 0, 1) != tw.Float("a", 0, 2)
    assert tw.Cat("a", ["x"]) == tw.Cat("a", ("x",))
    assert len({*SPACE, *SPACE}) == len(SPACE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPACE[0].low = 3  # type: ignore[union-attr]


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: tw.Float("a", 1, 0), r"Float\('a'\): low is below high, not 1 >= 0"),
    (lambda: tw.Float("a", 0, float("nan")), "high is finite, not nan"),
    (lambda: tw.Float("a", 0, 1, log=True), "needs low above 0, not 0"),
    (lambda: tw.Float("a", 1, 2, log=True, step=0.1), "logarithmic scale has no step"),
    (lambda: tw.Float("a", 0, 1, step=0), "step is above 0, not 0"),
    (lambda: tw.Float("a", 0, 1, default=2), r"default lies within \[0, 1\], not 2"),
    (lambda: tw.Float("a", "0", 1), "low is a number, not '0'"),  # type: ignore[arg-type]
    (lambda: tw.Float("", 0, 1), "a name is a string that is not empty"),
    (lambda: tw.Int("a", 0.5, 1), "low is an integer, not 0.5"),  # type: ignore[arg-type]
    (lambda: tw.Int("a", 0, float("inf")), "high is finite, not inf"),  # type: ignore[arg-type]
    (lambda: tw.Int("a", 0, "b"), "high is a number, not 'b'"),  # type: ignore[arg-type]
    (lambda: tw.Float("a", 0, 1, step="b"), "step is a number"),  # type: ignore[arg-type]
    (lambda: tw.Float("a", 0, 1, default="b"), "default is a number"),  # type: ignore[arg-type]
    (lambda: tw.Float("a", np.zeros(2), 1), "low is a number"),  # type: ignore[arg-type]
    (lambda: tw.Cat("a", [1, float("nan")]), "a choice is finite, not nan"),
    (lambda: tw.Cat("a", {"x", "y"}), "a list, not a set"),
    (lambda: tw.when("a", True), r"choices are a list, such as \[True\]"),  # type: ignore[arg-type]
    (lambda: tw.Cat("a", []), "at least one choice"),
    (lambda: tw.Cat("a", "xy"), r"choices are a list, such as \['xy'\]"),
    (lambda: tw.Cat("a", ["x", "x"]), "not all different"),
    (lambda: tw.Cat("a", [None]), "string, a number or a boolean"),  # type: ignore[list-item]
    (lambda: tw.Cat("a", ["x"], default="y"), "the default 'y' is none of"),
    (lambda: tw.when("a"), "either choices or a bound"),
    (lambda: tw.when("a", ["x"], low=1), "either choices or a bound"),
    (lambda: tw.when("a", low=2, high=1), "low is at most high"),
    (lambda: tw.maximize(""), "maximize: a name"),
]


@pytest.mark.parametrize(("make", "says"), WRONG, ids=[says[:30] for _, says in WRONG])
def test_what_is_wrong_with_one_is_said_when_it_is_made(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_bool_and_the_number_that_it_equals_are_two_choices() -> None:
    assert len(tw.Cat("a", [True, 1, False]).choices) == 3


def test_scalars_of_numpy_are_pythons_own_numbers() -> None:
    given: Any = np
    made = [
        tw.Float("a", given.float32(0.5), given.float64(2), default=given.float32(1)),
        tw.Int("b", given.int64(1), given.int32(9), step=given.int8(2)),
        tw.Cat("c", given.array([1, 2]), default=given.int64(2)),
        tw.Cat("d", given.array([True, False])),
        tw.Float("e", 0, 1, when=tw.when("c", given.array([2]))),
        tw.Float("f", 0, 1, when=tw.when("b", low=given.int64(3))),
    ]
    assert made == [
        tw.Float("a", 0.5, 2.0, default=1.0),
        tw.Int("b", 1, 9, step=2),
        tw.Cat("c", [1, 2], default=2),
        tw.Cat("d", [True, False]),
        tw.Float("e", 0, 1, when=tw.when("c", [2])),
        tw.Float("f", 0, 1, when=tw.when("b", low=3)),
    ]
    json.dumps([each.to_json() for each in made])


@pytest.mark.parametrize(
    ("space", "metric", "says"),
    [
        ({"x": SPACE[0]}, tw.minimize("v"), r"space is such as \[tw.Float\(.*, not \{'x'"),
        (SPACE[0], tw.minimize("v"), "space is such as"),
        (SPACE, "v", r"metric is such as tw.maximize\('accuracy'\), not 'v'"),
        (SPACE, ["v"], "metric is such as"),
    ],
)
def test_a_space_or_metric_that_is_none_is_said_with_what_one_looks_like(
    space: Any, metric: Any, says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        definition("a", space, metric)


def test_the_service_takes_a_definition_as_it_is_written() -> None:
    made = definition(
        "cnn",
        SPACE,
        [tw.maximize("accuracy"), tw.minimize("loss")],
        max_trials=10,
        seed=3,
        early_stopping={"name": "asha", "options": {"max_resource": 9}},
        limits={"max_parallel": 2},
        labels={"team": "vision"},
    )
    checked = definition_to_json(parse_definition(made, draw_seed=lambda: 0, offers=[]).definition)
    assert [each["name"] for each in checked["space"]] == [each.name for each in SPACE]
    assert checked["space"][3]["when"] == {"param": "model", "in": ["bn"]}
    assert checked["space"][4]["when"] == {"param": "width", "low": 32, "high": 64}
    assert checked["suggester"]["seed"] == 3
    assert (checked["limits"]["max_trials"], checked["limits"]["max_parallel"]) == (10, 2)
    assert checked["labels"] == {"team": "vision"}
