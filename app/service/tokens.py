"""Tokens: make, list, revoke, check. A secret has 256 random bits, so one SHA-256 is hash enough;
it is shown once.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import timedelta

from ..domain.audit import Action
from ..domain.checking import Faults, as_text
from ..domain.token import Role, Token
from ..errors import Denied, NotFound
from ..store import audit, signing_keys
from ..store import tokens as token_rows
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.page import Page
from ..store.tokens import TokenNow
from ..store.transaction import Tx
from .auth_memory import KEPT_S, TOKENS, AuthMemory

SECRET_PREFIX = "tw_"
_SHOWN_CHARS = 8
_TOUCH_AFTER = timedelta(minutes=1)


class TokenService:
    """The use cases of tokens.

    Args:
        store: the database.
        is_alone: whether no other process serves the database; one that does remembers tokens for a
            moment, which revoking one and making the first one have to wait for.
    """

    def __init__(self, store: Store, *, is_alone: bool = False) -> None:
        self._store = store
        self._is_alone = is_alone
        self.memory = AuthMemory()

    def create(
        self,
        name: str,
        role: Role,
        expires_in_s: float | None,
        *,
        receipt: Receipt[tuple[Token, str]] | None = None,
    ) -> tuple[Token, str]:
        """Makes a token. From the first one on, auth stays on for good.

        Returns:
            The token, and its secret, which is kept nowhere.

        Raises:
            InvalidInput: the name is none: empty, too long, or with control characters.
        """
        faults = Faults()
        if as_text(name, "/name", faults) is None:
            faults.refuse("token", code="invalid-value")
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)

        is_first = not self.auth_required()

        def create(tx: Tx) -> tuple[Token, str]:
            expires_at = tx.now + timedelta(seconds=expires_in_s) if expires_in_s else None
            token = token_rows.insert(
                tx,
                name=name,
                role=role,
                secret_hash=_hash(secret),
                prefix=secret[:_SHOWN_CHARS],
                expires_at=expires_at,
            )
            signing_keys.make(tx, signing_keys.SESSION)
            audit.add(tx, Action.TOKEN_CREATED, token.id, name=name, role=role.value)
            tx.signal(TOKENS)
            return token, secret

        made = self._store.write(create, receipt=receipt)
        self._told(must_wait=is_first)
        return made

    def get(self, token_id: str) -> Token:
        """A token, without its secret.

        Raises:
            NotFound: there is none.
        """
        found = self._store.read(lambda conn: token_rows.by_id(conn, token_id))
        if found is None:
            raise NotFound(f"there is no token {token_id}")
        return found.token

    def page(self, size: int, token: str | None) -> Page[Token]:
        """A page of tokens, without secrets."""
        return self._store.read(lambda conn: token_rows.page(conn, size=size, token=token))

    def revoke(self, token_id: str) -> Token:
        """Ends a token at once, in every process.

        Raises:
            NotFound: there is none.
        """

        def revoke(tx: Tx) -> Token:
            token = token_rows.revoke(tx, token_id)
            audit.add(tx, Action.TOKEN_REVOKED, token.id, name=token.name, role=token.role.value)
            tx.signal(TOKENS)
            return token

        revoked = self._store.write(revoke)
        self._told(must_wait=True)
        return revoked

    def _told(self, *, must_wait: bool) -> None:
        """Returns when every process knows of the change."""
        self.memory.forget()
        if must_wait and not self._is_alone:
            time.sleep(KEPT_S)

    def auth_required(self) -> bool:
        """False only while no token was ever made. A `True` is final."""
        known = self.memory.is_required()
        if known is None:
            begun = self.memory.begin()
            known = self._store.read(token_rows.any_ever)
            self.memory.keep_required(begun, known)
        return known

    def remembered(self, secret: str) -> Token | None:
        """The token of a secret that was found good a moment ago; None: ask the database."""
        return self.memory.token(self._key(_hash(secret)))

    def _key(self, digest: str) -> object:
        # With the clock moved, what was good before need not be.
        return digest, self._store.clock.offset_s

    def authenticate(self, secret: str) -> Token:
        """The token of a secret.

        Raises:
            Denied: `unauthenticated`: unknown, expired or revoked.
        """
        # Found by the hash of a secret of 256 random bits: how long the search takes says nothing
        # about any secret.
        digest = _hash(secret)
        key, begun = self._key(digest), self.memory.begin()
        found = self.admitted(self._store.read(lambda conn: token_rows.by_hash(conn, digest)))
        self.memory.keep_token(begun, key, found.token, found.now)
        return found.token

    def admitted(self, found: TokenNow | None) -> TokenNow:
        """A token that lets its holder in now; notes that it was used.

        Raises:
            Denied: `unauthenticated`: unknown, expired or revoked.
        """
        if found is None:
            raise Denied("the token is not known", code="unauthenticated")
        token, now = found.token, found.now
        why = token.why_refused(now)
        if why is not None:
            raise Denied(why, code="unauthenticated")
        if token.last_used_at is None or now - token.last_used_at > _TOUCH_AFTER:
            self._store.write(lambda tx: token_rows.touch(tx, token.id))
        return found


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
