"""Sessions of the dashboard: sign in with a token, be known by the cookie, sign out.

A session is its token's: it ends when the token is revoked or expires, at once and everywhere.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from ..domain import session as cookies
from ..domain.audit import Action
from ..domain.session import Session
from ..domain.token import Token
from ..errors import Denied
from ..store import audit, signing_keys
from ..store import tokens as token_rows
from ..store.engine import Store
from ..store.transaction import Tx
from .tokens import TokenService


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session that holds, and its token."""

    session: Session
    token: Token


class SessionService:
    """The use cases of sessions."""

    def __init__(self, store: Store, tokens: TokenService, *, session_s: int) -> None:
        self._store = store
        self._tokens = tokens
        self.session_s = session_s
        self._key: bytes | None = None

    def sign_in(self, secret: str) -> SignedIn:
        """A new session of a token; it ends with the token at the latest.

        Raises:
            Denied: `unauthenticated`: unknown, expired or revoked.
        """
        token = self._tokens.authenticate(secret)
        key = self._signing_key() or self._make_key()

        def sign(tx: Tx) -> Session:
            ends = tx.now + timedelta(seconds=self.session_s)
            if token.expires_at is not None:
                ends = min(ends, token.expires_at)
            audit.add(tx, Action.SIGNED_IN, token.id, expires_at=ends.isoformat())
            return cookies.sign(key, token.id, ends, secrets.token_urlsafe(12))

        return SignedIn(session=self._store.write(sign), token=token)

    def authenticate(self, cookie: str) -> SignedIn:
        """The session of a cookie; its token is looked up each time.

        Raises:
            Denied: `unauthenticated`: not ours, over, or its token lets nobody in any more.
        """
        key = self._signing_key()
        session = cookies.read(key, cookie) if key is not None else None
        if session is None:
            raise Denied("the session is not known: sign in", code="unauthenticated")
        token_id = session.token_id
        found = self._tokens.admitted(
            self._store.read(lambda conn: token_rows.by_id(conn, token_id))
        )
        if session.expires_at <= found.now:
            raise Denied("the session is over: sign in again", code="unauthenticated")
        return SignedIn(session=session, token=found.token)

    def sign_out(self, signed_in: SignedIn) -> None:
        """Notes that a session was ended; the browser forgets its cookie."""
        token_id = signed_in.token.id
        self._store.write(lambda tx: audit.add(tx, Action.SIGNED_OUT, token_id))

    def _signing_key(self) -> bytes | None:
        # Written once and never changed, so that it is read once.
        if self._key is None:
            self._key = self._store.read(lambda conn: signing_keys.find(conn, signing_keys.SESSION))
        return self._key

    def _make_key(self) -> bytes:
        """The key, made now: the tokens are older than keys are."""

        def make(tx: Tx) -> bytes | None:
            signing_keys.make(tx, signing_keys.SESSION)
            return signing_keys.find(tx.conn, signing_keys.SESSION)

        self._key = self._store.write(make)
        if self._key is None:
            raise LookupError("the key of the sessions was made and is not there")
        return self._key
