"""Opaque, prefixed, time-sortable ids: `st_` study, `tr_` trial, `wk_` worker, `ls_` lease, `tk_`
token.
"""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_TIME_CHARS, _RANDOM_CHARS = 9, 13


def new_id(prefix: str, *, now_ms: int | None = None) -> str:
    """A fresh id: prefix, 45 bits of milliseconds, 65 random bits; sorts by creation time.

    Args:
        prefix: two letters, without the underscore.
        now_ms: milliseconds since the epoch; the machine's clock when None.
    """
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    head = "".join(_ALPHABET[(stamp >> (5 * i)) & 31] for i in reversed(range(_TIME_CHARS)))
    return f"{prefix}_{head}{''.join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))}"
