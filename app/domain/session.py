"""Sessions of the dashboard: a cookie that names a token and an end, signed; nothing is stored.

Pure: the key and the time are given. HMAC-SHA-256 (RFC 2104), compared in constant time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_COOKIE_CHARS = 512
"""A longer cookie is none of ours."""

_MAX_EPOCH_S = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a cookie says, once its signature holds. `cookie` is a secret: it is not in the repr."""

    token_id: str
    expires_at: datetime
    cookie: str
    csrf_token: str

    def __repr__(self) -> str:
        return f"Session(token_id={self.token_id!r}, expires_at={self.expires_at!r})"


def sign(key: bytes, token_id: str, expires_at: datetime, nonce: str) -> Session:
    """A new session.

    Args:
        key: the key of all replicas, 32 bytes.
        token_id: the token that it stands for.
        expires_at: when it ends, cut to the second.
        nonce: random text without dots, so that no two sessions are alike.
    """
    said = f"{token_id}.{int(expires_at.timestamp())}.{nonce}"
    return _session(key, token_id, expires_at, f"{said}.{_mac(key, 'session', said)}")


def read(key: bytes, cookie: str) -> Session | None:
    """What a cookie says; None when its signature does not hold or it cannot be read."""
    said, _, signature = cookie.rpartition(".")
    parts = said.split(".")
    if len(cookie) > MAX_COOKIE_CHARS or not cookie.isascii() or len(parts) != 3:
        return None
    if not hmac.compare_digest(signature, _mac(key, "session", said)):
        return None
    token_id, ends, _ = parts
    if not ends.isdigit() or int(ends) > _MAX_EPOCH_S:
        return None
    return _session(key, token_id, datetime.fromtimestamp(int(ends), UTC), cookie)


def is_csrf_token(session: Session, given: str) -> bool:
    """Whether a request brings the session's own CSRF token."""
    return hmac.compare_digest(given.encode(), session.csrf_token.encode())


def _session(key: bytes, token_id: str, expires_at: datetime, cookie: str) -> Session:
    return Session(
        token_id=token_id,
        expires_at=expires_at,
        cookie=cookie,
        csrf_token=_mac(key, "csrf", cookie),
    )


def _mac(key: bytes, purpose: str, text: str) -> str:
    digest = hmac.new(key, f"{purpose}:{text}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
