"""What the built-in objectives take and report, as data: it is there before any worker is.

The workers carry their own copies, from which they register; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .worker import ObjectiveOffer

_MNIST_MLP = ObjectiveOffer(
    name="mnist-mlp",
    version="2",
    params_schema={
        "type": "object",
        "properties": {
            "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.001},
            "batch_size": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 64},
            "model": {"type": "string", "enum": ["simple", "batchnorm"], "default": "simple"},
            "momentum": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.1},
        },
        "additionalProperties": False,
    },
    options_schema={
        "type": "object",
        "properties": {
            "epochs": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 3},
            "steps_per_epoch": {"type": "integer", "enum": [1, 3], "default": 1},
            "seed": {"type": "integer", "minimum": 0, "maximum": 4294967295},
            "validation": {"type": "boolean", "default": False},
            "dataset": {
                "type": "string",
                "enum": ["auto", "mnist", "mnist-5k"],
                "default": "auto",
            },
        },
        "additionalProperties": False,
    },
    metrics={"accuracy": "maximize", "loss": "minimize"},
    steps="a step is an epoch, or a third of one with steps_per_epoch 3",
    checkpoints=True,
)

_RANDOM_FOREST = ObjectiveOffer(
    name="random-forest",
    version="1",
    params_schema={
        "type": "object",
        "properties": {
            "n_estimators": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 100},
            "max_depth": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 50},
        },
        "additionalProperties": False,
    },
    options_schema={
        "type": "object",
        "properties": {
            "folds": {"type": "integer", "minimum": 2, "maximum": 20, "default": 5},
            "random_state": {"type": "integer", "minimum": 0, "maximum": 4294967295, "default": 42},
        },
        "additionalProperties": False,
    },
    metrics={"mse": "minimize"},
    steps="a step is a tree, reported at 10, 20, 40, 80, ... and the last",
    checkpoints=True,
)

_FUNCTION = ObjectiveOffer(
    name="function",
    version="1",
    params_schema={
        "type": "object",
        "patternProperties": {"^x[0-9]+$": {"type": "number"}},
        "additionalProperties": False,
    },
    options_schema={
        "type": "object",
        "properties": {
            "function": {
                "type": "string",
                "enum": ["sphere", "branin", "hartmann6", "rosenbrock", "ackley", "rastrigin"],
                "default": "sphere",
            },
            "noise_sd": {"type": "number", "minimum": 0, "default": 0.0},
            "steps": {"type": "integer", "minimum": 1, "maximum": 100000, "default": 1},
            "step_s": {"type": "number", "minimum": 0, "maximum": 86400, "default": 0.0},
            "fail_rate": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.0},
            "oom_rate": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.0},
        },
        "additionalProperties": False,
    },
    metrics={"value": "minimize"},
    steps="the option steps says how many; each waits step_s seconds",
    checkpoints=True,
)

BUILT_IN: Mapping[str, ObjectiveOffer] = MappingProxyType(
    {offer.name: offer for offer in (_MNIST_MLP, _RANDOM_FOREST, _FUNCTION)}
)
"""The objectives that every worker of this version can offer, by name."""


def as_offered(offer: ObjectiveOffer) -> ObjectiveOffer:
    """What a worker offers: of a built-in objective's name alone, all that is known of it."""
    is_bare = offer == ObjectiveOffer(name=offer.name)
    return BUILT_IN.get(offer.name, offer) if is_bare else offer
