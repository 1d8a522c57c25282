"""Who causes a change: known to every write transaction, without each use case passing it on.

The HTTP edge says it once for each request; what the service does by itself has no actor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asked for what a transaction does.

    Attributes:
        token_id: the caller's token; None for the service itself, for the command line beside it,
            and while auth is off.
        request_id: the request's id, as the log has it.
    """

    token_id: str | None = None
    request_id: str | None = None


_present: ContextVar[Actor] = ContextVar("actor")
_NOBODY = Actor()


def present() -> Actor:
    """The actor of this task or thread."""
    return _present.get(_NOBODY)


def act_as(actor: Actor) -> None:
    """Says who acts from here on, in this task and in the threads that it calls."""
    _present.set(actor)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Says who acts inside the block."""
    token = _present.set(actor)
    try:
        yield
    finally:
        _present.reset(token)
