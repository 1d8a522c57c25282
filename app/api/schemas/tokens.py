"""Requests and answers about tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ...domain.token import Role
from .common import Instant, Name, Number, Wire

MAX_EXPIRY_S = 10 * 365 * 86_400


class NewTokenBody(Wire):
    """Asks for a token."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "worker-gpu-a", "role": "worker", "expires_in_s": 2592000}]
        },
    )

    name: Name = Field(description="What it is for, in words.")
    role: Role = Field(description="What it may do.")
    expires_in_s: Annotated[Number, Field(gt=0, le=MAX_EXPIRY_S)] | None = Field(
        default=None, description="Seconds until it expires, at most ten years; null: never."
    )


class TokenOut(Wire):
    """A token, without its secret."""

    id: str = Field(description="Id of the token, `tk_...`.")
    name: str = Field(description="What it is for, in words.")
    role: Role = Field(description="What it may do.")
    prefix: str = Field(description="How its secret begins, to tell tokens apart.")
    created_at: Instant = Field(description="When it was made.")
    expires_at: Instant | None = Field(description="When it expires; null: never.")
    revoked_at: Instant | None = Field(description="When it was revoked.")
    last_used_at: Instant | None = Field(description="When it was last used, to the minute.")


class NewTokenOut(TokenOut):
    """A new token."""

    secret: str | None = Field(
        description="What to send as Bearer. Shown this once; null when the call is replayed."
    )


class TokenListOut(Wire):
    """A page of tokens."""

    tokens: list[TokenOut] = Field(description="The tokens of the page.")
    next_page_token: str | None = Field(description="For the next page; null on the last.")
