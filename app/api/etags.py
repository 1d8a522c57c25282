"""Conditional requests (RFC 9110, 13): the tag is "revision.change_seq".

`If-None-Match` compares all of it; `If-Match` the revision alone, so that a running study can be
changed.
"""

from __future__ import annotations

import hashlib
import re
import zlib

from starlette.requests import Request

from ..errors import Precondition

ANY = "*"

_TAG = re.compile(r'(W/)?"([^"]*)"')
_OURS = re.compile(r"(\d{1,18})\.(\d{1,18})")


def etag(revision: int, change_seq: int) -> str:
    """The entity tag of a study or trial."""
    return f'"{revision}.{change_seq}"'


def query_etag(revision: int, change_seq: int, query: object) -> str:
    """The entity tag of what a query shows of a study: that of the study, and the query's own."""
    return f'"{revision}.{change_seq}.{zlib.crc32(repr(query).encode()):08x}"'


def content_etag(body: str) -> str:
    """The entity tag of what has no revision of its own."""
    return f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'


def is_unchanged(request: Request, current: str) -> bool:
    """Whether `If-None-Match` names the current tag (weak comparison), so that 304 answers it."""
    header = ", ".join(request.headers.getlist("if-none-match"))
    if header.strip() == ANY:
        return True
    return any(f'"{found.group(2)}"' == current for found in _TAG.finditer(header))


def revisions(request: Request) -> frozenset[int] | None:
    """Revisions that `If-Match` allows; None when it is absent or `*`.

    Raises:
        Precondition: the header holds no tag of ours that could match.
    """
    header = ", ".join(request.headers.getlist("if-match")).strip()
    if not header or header == ANY:
        return None
    found = frozenset(
        int(ours.group(1))
        for tag in _TAG.finditer(header)
        if not tag.group(1) and (ours := _OURS.fullmatch(tag.group(2)))
    )
    if not found:
        raise Precondition('If-Match names no tag of this resource; one looks like "3.17"')
    return found


def require(request: Request) -> None:
    """Sees to it that `If-Match` is there.

    Raises:
        Precondition: `etag-required`.
    """
    if "if-match" not in request.headers:
        raise Precondition(
            "send If-Match with the ETag that you read, so that no change of others is lost",
            code="etag-required",
        )
