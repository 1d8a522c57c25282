"""Opaque, prefixed, time-sortable ids: `st_` study, `tr_` trial, `wk_` worker, `ls_` lease, `tk_`
token.
"""

from __future__ import annotations

import os
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_TIME_CHARS, _RANDOM_CHARS, _RANDOM_BYTES = 9, 13, 9
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


_AT_ONCE = 128
_drawn: list[bytes] = []
os.register_at_fork(after_in_child=_drawn.clear)  # or parent and child would make the same ids


def _random(n_bytes: int) -> bytes:
    """Random bytes of the system, 12 at most. They are fetched for many ids at once: each visit to
    the system lets another thread run first.
    """
    while True:
        try:
            return _drawn.pop()[:n_bytes]
        except IndexError:
            fetched = secrets.token_bytes(12 * _AT_ONCE)
            _drawn.extend(fetched[12 * k : 12 * k + 12] for k in range(_AT_ONCE))


def request_id() -> str:
    """A fresh id of a request: `rq_` and 96 random bits in hexadecimal digits."""
    return f"rq_{_random(12).hex()}"


def new_id(prefix: str, *, now_ms: int | None = None) -> str:
    """A fresh id: prefix, 45 bits of milliseconds, 65 random bits; sorts by creation time.

    Args:
        prefix: two letters, without the underscore.
        now_ms: milliseconds since the epoch; the machine's clock when None.
    """
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    drawn = int.from_bytes(_random(_RANDOM_BYTES), "big")
    return f"{prefix}_{_spell(stamp, _TIME_CHARS)}{_spell(drawn, _RANDOM_CHARS)}"


def _spell(number: int, n_chars: int) -> str:
    """The last `n_chars` digits of a number, an odd number of them."""
    pairs = [_PAIRS[(number >> shift) & 1023] for shift in range(5 * n_chars - 10, 0, -10)]
    return "".join(pairs) + _ALPHABET[number & 31]
