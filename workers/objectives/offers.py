"""What the built-in objectives take and report, and what they need installed. Imports nothing
heavy.

The service carries its own copy, by which it checks studies before any worker is there; a test
compares the two.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import data

_MNIST_MLP: Mapping[str, Any] = {
    "name": "mnist-mlp",
    "version": "2",
    "params_schema": {
        "type": "object",
        "properties": {
            "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.001},
            "batch_size": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 64},
            "model": {"type": "string", "enum": ["simple", "batchnorm"], "default": "simple"},
            "momentum": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.1},
        },
        "additionalProperties": False,
    },
    "options_schema": {
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
    "metrics": {"accuracy": "maximize", "loss": "minimize"},
    "steps": "a step is an epoch, or a third of one with steps_per_epoch 3",
    "checkpoints": True,
}

_RANDOM_FOREST: Mapping[str, Any] = {
    "name": "random-forest",
    "version": "1",
    "params_schema": {
        "type": "object",
        "properties": {
            "n_estimators": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 100},
            "max_depth": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 50},
        },
        "additionalProperties": False,
    },
    "options_schema": {
        "type": "object",
        "properties": {
            "folds": {"type": "integer", "minimum": 2, "maximum": 20, "default": 5},
            "random_state": {"type": "integer", "minimum": 0, "maximum": 4294967295, "default": 42},
        },
        "additionalProperties": False,
    },
    "metrics": {"mse": "minimize"},
    "steps": "a step is a tree, reported at 10, 20, 40, 80, ... and the last",
    "checkpoints": True,
}

_FUNCTION: Mapping[str, Any] = {
    "name": "function",
    "version": "1",
    "params_schema": {
        "type": "object",
        "patternProperties": {"^x[0-9]+$": {"type": "number"}},
        "additionalProperties": False,
    },
    "options_schema": {
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
    "metrics": {"value": "minimize"},
    "steps": "the option steps says how many; each waits step_s seconds",
    "checkpoints": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """A built-in objective.

    Attributes:
        module: of this package, with `evaluate(trial)`; where there are data to load, with
            `preload(options, data_digest)`; where points are equal work, with `equivalent(trial)`.
        offer: what the worker registers, but for the data at hand.
        needs: top-level modules that must be installed.
        fuses: whether trials may be trained as one, see `pack_key(params, options)`.
        data_sets: those it can measure on, the preferred one first.
        borrows: whether a trial computes on as many cores as `trial.n_cores` says at the moment.
    """

    module: str
    offer: Mapping[str, Any]
    needs: Sequence[str] = ()
    data_sets: Sequence[data.DataSet] = ()
    fuses: bool = False
    borrows: bool = False

    def is_available(self) -> bool:
        """Whether everything it needs is installed."""
        return all(importlib.util.find_spec(name) is not None for name in self.needs)


BUILT_IN: Mapping[str, BuiltIn] = {
    "mnist-mlp": BuiltIn(
        module="mnist",
        offer=_MNIST_MLP,
        needs=("torch", "numpy"),
        data_sets=(data.MNIST, data.MNIST_5K),
        fuses=True,
        borrows=True,
    ),
    "random-forest": BuiltIn(
        module="forest",
        offer=_RANDOM_FOREST,
        needs=("sklearn", "numpy"),
        data_sets=(data.CALIFORNIA,),
        borrows=True,
    ),
    "function": BuiltIn(module="function", offer=_FUNCTION),
}
"""Name -> objective."""
