"""Tokens and roles: who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a token may do, from least to most; see the contract's rule on auth."""

    READER = "reader"
    WORKER = "worker"
    SUBMITTER = "submitter"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token without its secret: the store keeps the SHA-256 of the secret only."""

    id: str
    name: str
    role: Role
    prefix: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def why_refused(self, now: datetime) -> str | None:
        """Why the token lets nobody in at an instant; None when it does."""
        if self.revoked_at is not None:
            return "the token was revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "the token has expired"
        return None
