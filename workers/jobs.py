"""What the parent sends a trial's process, and the lines that come back. Plain values, JSON
lines.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt at a trial.

    Attributes:
        objective: name of the objective.
        target: "module:name" of a user's objective, or None for a built-in one.
        command: a command objective's spec as plain values, or None.
        folder: the user's folder, searched first for `target`.
        device: as torch names it; the environment hides the other ones.
        data_digest: of the data set that the study is bound to, or None.
        environment: variables set for the process.
        n_cores: how many the trial may compute on from its beginning.
        study_id: for the worker's log.
        checkpoint_dir: a folder of this attempt's for the checkpoints that it saves; None where
            nothing would keep them.
        store_dir: folder that trials of the objective share, or None.
        resume: `path` and `step` of the checkpoint to go on from, or None.
        waits: whether the process is only to make ready for the trial, until it is told to begin.
        to_step: at this step the trial waits to hear what comes next; None: it goes to its end.
    """

    trial_id: str
    number: int
    objective: str
    target: str | None = None
    command: Mapping[str, Any] | None = None
    folder: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    data_digest: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    n_cores: int = 1
    checkpoint_dir: str | None = None
    store_dir: str | None = None
    resume: Mapping[str, Any] | None = None
    to_step: int | None = None
    study_id: str = ""
    waits: bool = False

    def to_line(self) -> bytes:
        """One JSON line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Job:
        """The job that `to_line` wrote."""
        return cls(**json.loads(line))


def sendable(values: Mapping[str, float]) -> dict[str, float | str]:
    """Values with those that JSON has no number for as the contract's strings."""
    return {name: _spelled(value) for name, value in values.items()}


def _spelled(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
