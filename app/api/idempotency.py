"""`Idempotency-Key` on POST: the first final answer is kept 24 hours and given again.

A success is kept in the transaction that made it (the store's receipt); a final refusal (4xx)
afterwards, by itself.
401, 429 and 5xx are never kept: the same call may end differently.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from ..errors import Conflict, Fault, InvalidInput, MalformedRequest
from ..service.views import Caller
from ..store import idempotency as kept
from ..store.idempotency import Answer, Key, Receipt, Replay

if TYPE_CHECKING:
    from ..service.services import Services

T = TypeVar("T")

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NOT_KEPT_STATUSES = frozenset({401, 429})
_NOT_KEPT_CODES = (b'"idempotency-in-progress"', b'"idempotency-key-reused"')


@dataclass(slots=True)
class Attempt:
    """One POST under a key. `has_receipt`: the endpoint's own transaction keeps its success."""

    key: Key
    has_receipt: bool = False

    def receipt(self, render: Callable[[T], Answer]) -> Receipt[T]:
        """The receipt for the service's write."""
        self.has_receipt = True
        return Receipt(key=self.key, keep=render)


class InFlight:
    """The keys that this process is answering right now."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str, str, str]] = set()

    @property
    def n_held(self) -> int:
        """How many calls under a key run right now."""
        return len(self._keys)

    @contextmanager
    def hold(self, key: Key) -> Iterator[None]:
        """Holds a key while its call runs.

        Raises:
            Conflict: `idempotency-in-progress`: another call holds it.
        """
        name = (key.scope, key.method, key.path, key.key)
        if name in self._keys:
            raise Conflict(
                "the first call with this Idempotency-Key has not been answered yet",
                code="idempotency-in-progress",
                retry_after_s=1,
            )
        self._keys.add(name)
        try:
            yield
        finally:
            self._keys.discard(name)


async def begin(request: Request, caller: Caller) -> Attempt | None:
    """The attempt of a POST that has a key; None for any other request.

    Raises:
        MalformedRequest: the key is empty, too long, not printable, or there are two.
    """
    given = request.headers.getlist(HEADER)
    if request.method != "POST" or not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        detail = f"one {HEADER} of 1 to 255 printable characters, without spaces"
        fault = Fault(pointer=f"/{HEADER}", code="malformed", detail=detail)
        raise MalformedRequest(detail, faults=[fault])
    return Attempt(
        key=Key(
            scope=caller.token_id or "",
            method=request.method,
            path=request.url.path,
            key=given[0],
            body_hash=_digest(request.url.query, await request.body()),
        )
    )


def _digest(query: str, body: bytes) -> str:
    """Equal for equal requests: JSON by its meaning, so that the order of keys and white space do
    not matter.
    """
    try:
        meaning = json.dumps(json.loads(body), sort_keys=True).encode()
    except (ValueError, RecursionError):
        meaning = body
    return hashlib.sha256(query.encode() + b"\n" + meaning).hexdigest()


def find(services: Services, attempt: Attempt) -> Answer | None:
    """The answer kept under the key, or None.

    Raises:
        InvalidInput: `idempotency-key-reused`: it was kept for another request.
        Conflict: `idempotency-in-progress`: another replica is answering it.
    """
    try:
        services.store.write(lambda tx: kept.look_up(tx, attempt.key))
    except Replay as replay:
        return replay.answer
    return None


def is_kept(response: Response) -> bool:
    """Whether this answer is final: a 2xx, or a 4xx that the same call would always get."""
    if response.status_code >= 500 or response.status_code in _NOT_KEPT_STATUSES:
        return False
    body = bytes(response.body)
    return response.status_code < 400 or not any(code in body for code in _NOT_KEPT_CODES)


def keep(services: Services, attempt: Attempt, response: Response) -> None:
    """Keeps an answer that no transaction of the service kept."""
    body = bytes(response.body).decode()
    headers = {k: v for k, v in response.headers.items() if k in ("etag", "location")}
    answer = Answer(status=response.status_code, headers=headers, body=body)
    receipt: Receipt[Any] = Receipt(key=attempt.key, keep=lambda _: answer)
    try:
        services.store.write(lambda tx: None, receipt=receipt)
    except (Replay, Conflict, InvalidInput):
        return  # another replica answered the same key in the meantime: its answer stays
