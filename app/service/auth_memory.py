"""What a process remembers of auth between calls, so that the database is not asked at each one.

It remembers for `KEPT_S`, and forgets at once when a token is made or revoked in this process, or
in another that can tell it so (Postgres). A process that cannot be told forgets in time: whoever
makes the first token or revokes one waits for `KEPT_S` after the commit before saying that it is
done. So a revoked token is nowhere accepted once the revocation is answered.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..domain.token import Token
from ..store.signals import EVERYTHING

TOKENS = "tokens"
"""Topic of commits that make or revoke a token."""

KEPT_S = 0.5
"""How long an answer of the database is good for."""

_MOST_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Token
    until: float


class AuthMemory:
    """Tokens that were found good a moment ago, and whether any is needed. Safe to use from
    threads.
    """

    def __init__(self) -> None:
        self._generation = 0
        self._tokens: dict[object, _Kept] = {}
        self._is_required = False
        self._open_until = 0.0

    def hear(self, topics: frozenset[str]) -> None:
        """Forgets everything when a commit concerned tokens; a listener of the store."""
        if TOKENS in topics or topics >= EVERYTHING:
            self.forget()

    def forget(self) -> None:
        """Has the next calls ask the database. That a token is needed stays true for good."""
        self._generation += 1
        self._tokens = {}
        self._open_until = 0.0

    def begin(self) -> tuple[int, float]:
        """To be called before the database is asked; what it says then is kept from that moment."""
        return self._generation, time.monotonic()

    def is_required(self) -> bool | None:
        """Whether calls need a token; None when the database has to be asked."""
        if self._is_required:
            return True
        return False if time.monotonic() < self._open_until else None

    def keep_required(self, begun: tuple[int, float], is_required: bool) -> None:
        """Keeps what the database has said."""
        generation, at = begun
        if is_required:
            self._is_required = True
        elif generation == self._generation:
            self._open_until = at + KEPT_S

    def token(self, key: object) -> Token | None:
        """The token under a key, if it was good a moment ago and has not expired since."""
        kept = self._tokens.get(key)
        return kept.token if kept is not None and time.monotonic() < kept.until else None

    def keep_token(
        self, begun: tuple[int, float], key: object, token: Token, now: datetime
    ) -> None:
        """Keeps a token that the database has said is good at its instant `now`."""
        generation, at = begun
        if generation != self._generation:
            return
        left = timedelta(seconds=KEPT_S)
        if token.expires_at is not None:
            left = min(left, token.expires_at - now)
        if len(self._tokens) >= _MOST_TOKENS:
            self._tokens = {}
        self._tokens[key] = _Kept(token, at + left.total_seconds())
