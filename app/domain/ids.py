"""Opaque, prefixed, time-sortable ids: `st_` study, `tr_` trial, `wk_` worker, `ls_` lease, `tk_`
token.
"""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_TIME_CHARS, _RANDOM_CHARS = 9, 13
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


def new_id(prefix: str, *, now_ms: int | None = None) -> str:
    """A fresh id: prefix, 45 bits of milliseconds, 65 random bits; sorts by creation time.

    Args:
        prefix: two letters, without the underscore.
        now_ms: milliseconds since the epoch; the machine's clock when None.
    """
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    drawn = secrets.randbits(5 * _RANDOM_CHARS)  # one call: an id is made on every hot path
    return f"{prefix}_{_spell(stamp, _TIME_CHARS)}{_spell(drawn, _RANDOM_CHARS)}"


def _spell(number: int, n_chars: int) -> str:
    """The last `n_chars` digits of a number, an odd number of them."""
    pairs = [_PAIRS[(number >> shift) & 1023] for shift in range(5 * n_chars - 10, 0, -10)]
    return "".join(pairs) + _ALPHABET[number & 31]
