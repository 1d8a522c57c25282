"""Who made the processor: Intel's library for products, which torch brings, goes by it."""

from __future__ import annotations

import functools
from pathlib import Path

INTEL = "GenuineIntel"
_FILE = Path("/proc/cpuinfo")
_KEY = "vendor_id"


@functools.cache
def maker() -> str | None:
    """As an x86 processor says it, like `INTEL`; None for others and where Linux does not run."""
    if not _FILE.exists():
        return None
    for line in _FILE.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == _KEY:
            return value.strip()
    return None


def same_bits() -> dict[str, str]:
    """Environment in which a product of MKL has the same bits on any number of threads.

    Nothing on a processor of another maker, where that mode was not measured: an AMD Zen 5 has them
    without.
    """
    return {"MKL_CBWR": "AUTO,STRICT"} if maker() == INTEL else {}
