"""What a test asks of the injector in the service's process: at which step, when, and what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """The steps of the protocol: the rows of the matrix."""

    CREATE = "create"
    CLAIM_BEFORE = "claim before commit"
    CLAIM_AFTER = "claim after commit"
    HEARTBEAT = "heartbeat"
    REPORT = "report"
    ANNOUNCE = "checkpoint announce"
    UPLOAD = "checkpoint upload"
    COMMIT = "checkpoint commit"
    COMPLETE = "complete"
    FAIL = "fail"
    RELEASE = "release"
    PAUSE = "pause at a rung"
    PROMOTE = "promotion"
    SWEEP = "sweep"
    STOP = "study stop"
    MIGRATION = "migration"


class Point(StrEnum):
    """When, in the life of the step's write or request, the fault strikes."""

    MIDWAY = (
        "midway"  # of a migration: one change of the schema is done; of an upload: half a chunk
    )
    FOUND = "found"  # the sweep has read which leases have expired
    BEFORE_COMMIT = "before commit"  # all its statements have run
    AFTER_COMMIT = "after commit"  # nobody has heard of it yet
    REQUEST = "request"  # of its HTTP request, around the whole application
    UNANSWERED = "unanswered"  # all of the request is done, nobody has heard of it yet


class Action(StrEnum):
    """What the injector does."""

    NOTE = "note"  # say that the step was reached
    KILL = "kill"  # SIGKILL to the own process
    HOLD = "hold"  # wait until the test says go on
    FULL = "full"  # the database takes no further page
    LOSE_REPLY = "lose reply"
    TWICE = "twice"  # the second delivery when the first one is answered
    TWICE_AT_ONCE = "twice at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One fault. It strikes the first `times` times that its step comes to its point.

    Attributes:
        is_armed: when false it strikes only once the test has armed it.
    """

    step: Step
    point: Point
    action: Action
    times: int = 1
    is_armed: bool = True
