"""A checkpoint: what a trial saves of its training, so that the next attempt goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CheckpointState(StrEnum):
    """Where a checkpoint stands. Only a committed one is ever resumed from."""

    UPLOADING = "uploading"
    COMMITTED = "committed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state of a training after `step` units of resource, as the store holds it.

    Attributes:
        lease_id: the attempt that saved it.
        step: resource consumed when it was saved, >= 1.
        size_bytes: of its whole content.
        sha256: of its whole content, 64 lower-case hex digits.
    """

    id: str
    trial_id: str
    study_id: str
    lease_id: str
    step: int
    size_bytes: int
    sha256: str
    state: CheckpointState
    created_at: datetime
    committed_at: datetime | None = None
    deleted_at: datetime | None = None
