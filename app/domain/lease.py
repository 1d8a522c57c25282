"""A lease: a worker's or client's right to one attempt at a trial. Its id fences every write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from .trial import Failure


class LeaseEnd(StrEnum):
    """How a lease ended; `expired` may still be revived while nobody has re-claimed the trial."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    EXPIRED = "expired"
    RELEASED = "released"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"  # the worker came back with a new boot id


OVERTIME_GRACE_S = 30.0
"""How long past `max_trial_duration_s` an attempt may go on before the service ends it: a worker
keeps the limit itself, from the start of the trial's process on, and says so better.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One attempt at a trial, as the store holds it; the rows of a trial are its history.

    Attributes:
        worker_id: the worker that holds it, or None for a client of `:suggest`.
        slot: the worker's slot that it was given for, from 0; None where that is not known.
        memory_bytes, utilisation: memory in use, and the share of the device in 0..1, as the last
            beat that told of them said; None where none has.
        client_id: the client's own name for itself, or None.
        token_id: the token it was taken with, or None with auth off.
        duration_s: how long a renewal lasts.
        last_seq: highest accepted `seq` of a report, -1 before the first.
        last_step: highest step reported, or None.
        from_step: the step that the attempt began after: 0, or that of its checkpoint.
        to_step: the step up to which it has been granted, or None where that is not known.
        end: None while the lease is active.
        answer: the first answer to the write that ended it, replayed when that write is repeated.
    """

    id: str
    trial_id: str
    study_id: str
    worker_id: str | None = None
    slot: int | None = None
    memory_bytes: int | None = None
    utilisation: float | None = None
    client_id: str | None = None
    token_id: str | None = None
    duration_s: float
    acquired_at: datetime
    renewed_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    end: LeaseEnd | None = None
    failure: Failure | None = None
    last_seq: int = -1
    last_step: int | None = None
    from_step: int = 0
    to_step: int | None = None
    answer: Mapping[str, Any] | None = None

    @property
    def reached(self) -> int:
        """The step that its training has reached, as far as it has reported."""
        return max(self.from_step, self.last_step or 0)

    @property
    def granted(self) -> int:
        """Steps that it may still train; 0 where its end is not known."""
        return 0 if self.to_step is None else max(0, self.to_step - self.reached)
