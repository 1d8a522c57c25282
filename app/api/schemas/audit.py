"""Answers of the audit log."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ...domain.audit import Action
from .common import Instant, Wire


class AuditEntryOut(Wire):
    """A change that belongs to no study."""

    id: int = Field(description="Its number; later entries have higher ones.")
    occurred_at: Instant = Field(description="When it was made.")
    token_id: str | None = Field(
        description="Whose call made it; null with auth off, and for the command line on the "
        "service's own machine."
    )
    request_id: str | None = Field(description="The call's `X-Request-ID`, as the log has it.")
    action: Action = Field(description="What was done, by noun and verb.")
    target_id: str | None = Field(description="The token or worker that it was done to.")
    data: dict[str, Any] = Field(description="Further facts, by action; never a secret.")


class AuditOut(Wire):
    """A page of the audit log, the newest entry first."""

    entries: list[AuditEntryOut] = Field(description="The entries of the page.")
    next_page_token: str | None = Field(description="For the next page; null on the last.")
