"""What a process holds in memory, as it says itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workers.processes import ROOT

MIB = 2**20
PEAK = "from workers import memory; print(memory.peak_bytes())"
LARGE_PARENT = f"""
import subprocess, sys
held = bytearray(300 * {MIB})
held[::4096] = b"x" * len(held[::4096])
from workers import memory
print(memory.peak_bytes())
sys.stdout.flush()
subprocess.run([sys.executable, "-c", {PEAK!r}], check=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere getrusage is asked")
def test_the_peak_is_the_programs_own_not_that_of_who_started_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LARGE_PARENT],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    parent, child = map(int, done.stdout.split())
    assert parent > 300 * MIB
    assert 2 * MIB < child < 100 * MIB
