"""Trainings with batch normalisation, kept on the disk for trials that differ in momentum only.

Of each step (an epoch or a third of one) the record holds the state after it and the batch
statistics of its batches, from which the running statistics of any momentum follow. A step needs no
step before it: a record may end early, and what is missing is trained.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .store import Store

VERSION = 1
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


class Record:
    """The record of one training.

    Args:
        root: the store's folder, of all trainings.
        key: see `record_key`.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._store = Store(root, key)

    def step(self, step: int) -> tuple[bytes, torch.Tensor] | None:
        """The state after a step, with whatever momentum it was trained, and the batch statistics
        of its batches, shape (batches, statistics); None where it was not trained yet.
        """
        found = self._store.read(_file_of(step), "state", "statistics")
        return None if found is None else (found[0].tobytes(), torch.from_numpy(found[1]))

    def put_step(self, step: int, state: bytes, statistics: torch.Tensor) -> None:
        """Keeps what `step` returns."""
        self._store.write(
            _file_of(step),
            state=np.frombuffer(state, dtype=np.uint8),
            statistics=statistics.numpy(),
        )
        self._store.evict()

    def alone(self) -> AbstractContextManager[None]:
        """Holds the record: another trial that asks for it waits."""
        return self._store.alone()


def _file_of(step: int) -> str:
    return f"step-{step}"
