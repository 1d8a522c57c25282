"""Equal work: points of a study that an objective says give the very same result."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def digest_of(point: Mapping[str, Any]) -> str:
    """Names a canonical point: 64 hex digits, the same for equal points whatever their order.

    Numbers that are equal are the same, `16` and `16.0`; a boolean is no number.

    Args:
        point: plain JSON values; as the objective gives it.
    """
    text = json.dumps(_plain(point), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value
