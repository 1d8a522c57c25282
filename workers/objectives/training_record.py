"""Trainings with batch normalisation, kept on the disk for trials that differ in momentum only.

Of each step (an epoch or a third of one) the record holds the state after it, the batch statistics
of its batches, from which the running statistics of any momentum follow, and what every momentum
scores alike: the first layer's outputs, most of the work of a score. A step needs no step before
it: a record may end early, and what is missing is trained.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .store import Store

VERSION = 4
"""Raised whenever the same settings come to mean another training, or another content."""


def record_key(*, device: str, **settings: Any) -> str:
    """Names all that decides a training's bits: its settings, the versions, the arithmetic.

    How long it goes on is no part of it: a longer training begins as a shorter one.
    """
    parts = {
        **settings,
        "record": VERSION,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": (
            torch.backends.cpu.get_cpu_capability()
            if device == "cpu"
            else torch.cuda.get_device_name(device)
        ),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What scoring after a step takes.

    Attributes:
        statistics: of its batches, shape (batches, statistics).
        first: outputs of the first layer for the rows that are scored, shape (rows, width).
        rest: the parameters of the other layers, one after the other.
    """

    statistics: torch.Tensor
    first: torch.Tensor
    rest: torch.Tensor


class Record:
    """The record of one training.

    Args:
        root: the store's folder, of all trainings.
        key: see `record_key`.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._store = Store(root, key)

    def step(self, step: int) -> Step | None:
        """A step as it was trained with whatever momentum; None where it was not trained yet."""
        found = self._store.read(_file_of(step), "statistics", "first", "rest")
        if found is None:
            return None
        statistics, first, rest = map(torch.from_numpy, found)
        return Step(statistics=statistics, first=first, rest=rest)

    def state(self, step: int) -> bytes | None:
        """All that later steps depend on; None where it cannot be read."""
        found = self._store.read(_file_of(step), "state")
        return None if found is None else found[0].tobytes()

    def put_step(self, number: int, step: Step, state: bytes) -> None:
        """Keeps what `step` and `state` return."""
        self._store.write(
            _file_of(number),
            state=np.frombuffer(state, dtype=np.uint8),
            statistics=step.statistics.numpy(),
            first=step.first.cpu().numpy(),
            rest=step.rest.cpu().numpy(),
        )
        self._store.evict()

    def alone(self) -> AbstractContextManager[None]:
        """Holds the record: another trial that asks for it waits."""
        return self._store.alone()


def _file_of(step: int) -> str:
    return f"step-{step}"
