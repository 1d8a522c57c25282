"""The audit log: changes that belong to no study. Those of a study are its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    """What was done."""

    TOKEN_CREATED = "token.created"
    TOKEN_REVOKED = "token.revoked"
    WORKER_REGISTERED = "worker.registered"
    WORKER_CHANGED = "worker.changed"
    WORKER_DELETED = "worker.deleted"
    SIGNED_IN = "session.created"
    SIGNED_OUT = "session.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change, and who made it. `token_id`: None with auth off and for the command line beside
    the service; `target_id`: what was changed; `data`: further facts, never a secret.
    """

    id: int
    occurred_at: datetime
    token_id: str | None
    request_id: str | None
    action: str
    target_id: str | None
    data: Mapping[str, object]
