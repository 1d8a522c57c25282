"""Requests and answers about sessions."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, Strict

from ...domain.token import Role
from .common import Instant, Wire


class SignInBody(Wire):
    """Signs a browser in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"token": "tw_3xampleOfASecretThatIsShownOnceWhenItIsMade"}]
        },
    )

    token: Annotated[str, Strict(), Field(min_length=1, max_length=200, repr=False)] = Field(
        description="The secret of a token."
    )


class SessionOut(Wire):
    """Who calls."""

    token_id: str | None = Field(description="The caller's token; null while auth is off.")
    role: Role = Field(description="What the caller may do.")
    csrf_token: str | None = Field(
        description="What to send as `X-CSRF-Token` with writes; null without a session."
    )
    expires_at: Instant | None = Field(description="When the session ends; null without one.")
    token_expires_at: Instant | None = Field(
        description="When the caller's token ends; null where it does not, or auth is off."
    )
