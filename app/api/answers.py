"""JSON answers: how values of the service become bytes, headers and a status."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from ..store.idempotency import Answer


def instant(at: datetime | None) -> str | None:
    """An instant as RFC 3339 in UTC, with microseconds."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def number(value: float) -> float | str:
    """A measured number; a non-finite one as the string that JSON clients agree on."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dumps(value: Any) -> str:
    """Compact JSON without bare NaN: a non-finite number anywhere inside is written as a string."""
    try:
        return _encode(value)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def json_answer(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """An answer with a JSON body."""
    return Answer(status=status, headers=dict(headers or {}), body=dumps(value))


def respond(answer: Answer) -> Response:
    """The HTTP response of an answer, fresh or kept."""
    response = Response(
        answer.body if answer.body else None,
        answer.status,
        headers=dict(answer.headers),
        media_type=_media_type(answer),
    )
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _media_type(answer: Answer) -> str | None:
    if not answer.body:
        return None
    return "application/problem+json" if answer.status >= 400 else "application/json"
