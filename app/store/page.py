"""Keyset paging: a page, and the opaque token of the next one with the filters bound into it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import Fault, InvalidInput
from .types import dump_json

T = TypeVar("T")
R = TypeVar("R")

MAX_PAGE_SIZE = 1000
"""Larger pages are cut down to this."""

_DIGEST_CHARS = 16
_LONGEST_TOKEN = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items in order; `next_page_token` leads on, None after the last."""

    items: tuple[T, ...]
    next_page_token: str | None = None


def bounded(size: int) -> int:
    """A page size within 1..MAX_PAGE_SIZE."""
    return min(max(size, 1), MAX_PAGE_SIZE)


def encode(position: Sequence[Any], filters: object) -> str:
    """The token that continues after `position` under the same filters.

    Args:
        position: strings, numbers and None that name the last item's place in the order.
        filters: everything that decides what is listed in which order, JSON values.
    """
    text = dump_json([_digest(filters), *position])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(token: str, filters: object, kinds: Sequence[type | tuple[type, ...]]) -> list[Any]:
    """The position in a token.

    Args:
        kinds: the types that the parts of the position have to be of.

    Raises:
        InvalidInput: the token is none of ours, or was made under other filters.
    """
    try:
        padded = token + "=" * (-len(token) % 4)
        raw = json.loads(base64.b64decode(padded[:_LONGEST_TOKEN], altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _refused("the page token cannot be read") from error
    if not isinstance(raw, list) or len(raw) != len(kinds) + 1:
        raise _refused("the page token cannot be read")
    digest, *position = raw
    if digest != _digest(filters):
        raise _refused("the page token belongs to other filters or another order")
    if not all(_is_a(part, kind) for part, kind in zip(position, kinds, strict=True)):
        raise _refused("the page token cannot be read")
    return position


def cut(
    rows: Sequence[R], size: int, filters: object, position: Callable[[R], Sequence[Any]]
) -> tuple[Sequence[R], str | None]:
    """Of `size` + 1 rows asked for, those of the page and the token of the next."""
    if len(rows) <= size:
        return rows, None
    kept = rows[:size]
    return kept, encode(position(kept[-1]), filters)


def _is_a(part: object, kind: type | tuple[type, ...]) -> bool:
    if isinstance(part, int) and not -(2**63) <= part < 2**63:
        return False
    return isinstance(part, kind) and not isinstance(part, bool)


def _digest(filters: object) -> str:
    text = json.dumps(filters, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]


def _refused(detail: str) -> InvalidInput:
    fault = Fault(pointer="/page_token", code="malformed", detail=detail)
    return InvalidInput(detail, code="invalid-value", faults=[fault])
