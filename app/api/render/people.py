"""Tokens, sessions and who did what as JSON objects."""

from __future__ import annotations

from typing import Any

from ...domain.audit import AuditEntry
from ...domain.token import Token
from ...service.sessions import SignedIn
from ...service.views import Caller
from ..answers import instant


def token(value: Token) -> dict[str, Any]:
    """A token, without its secret."""
    return {
        "id": value.id,
        "name": value.name,
        "role": value.role,
        "prefix": value.prefix,
        "created_at": instant(value.created_at),
        "expires_at": instant(value.expires_at),
        "revoked_at": instant(value.revoked_at),
        "last_used_at": instant(value.last_used_at),
    }


def audit_entry(value: AuditEntry) -> dict[str, Any]:
    """An entry of the audit log."""
    return {
        "id": value.id,
        "occurred_at": instant(value.occurred_at),
        "token_id": value.token_id,
        "request_id": value.request_id,
        "action": value.action,
        "target_id": value.target_id,
        "data": dict(value.data),
    }


def session(caller: Caller, signed_in: SignedIn | None) -> dict[str, Any]:
    """Who calls, and the CSRF token when that is by a session."""
    return {
        "token_id": caller.token_id,
        "role": caller.role,
        "csrf_token": signed_in.session.csrf_token if signed_in else None,
        "expires_at": instant(signed_in.session.expires_at) if signed_in else None,
        "token_expires_at": instant(caller.ends_at) if caller.ends_at else None,
    }
