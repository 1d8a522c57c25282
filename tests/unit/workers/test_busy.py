"""How busy processes keep their cores, as the system says it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from workers.busy import Busy, cpu_s

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it is read from /proc"
)
OWN = [os.getpid()]


def spend(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_what_a_process_takes_is_counted_with_its_ended_children() -> None:
    before = cpu_s(OWN)
    spend(0.2)
    own = cpu_s(OWN) - before
    assert own == pytest.approx(0.2, abs=0.1)
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert cpu_s(OWN) - before - own >= 0.25


def test_a_process_that_is_gone_counts_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert cpu_s([gone.pid]) == 0


@pytest.mark.parametrize(("n_cores", "share"), [(1, 0.5), (2, 0.25)])
def test_the_share_is_of_the_time_since_the_look_before(n_cores: int, share: float) -> None:
    now = [100.0]
    busy = Busy(lambda: now[0])
    assert busy.share(OWN, n_cores) is None
    spend(0.5)
    now[0] += 1
    assert busy.share(OWN, n_cores) == pytest.approx(share, rel=0.15)


def test_more_than_its_cores_is_all_of_them() -> None:
    now = [100.0]
    busy = Busy(lambda: now[0])
    busy.share(OWN, 1)
    spend(0.1)
    now[0] += 0.01
    assert busy.share(OWN, 1) == 1


def test_nothing_is_said_of_other_processes_than_before() -> None:
    now = [100.0]
    busy = Busy(lambda: now[0])
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        busy.share([*OWN, child.pid], 1)
        now[0] += 1
        assert busy.share([child.pid], 1) is None
        assert busy.share([], 1) is None
    finally:
        child.communicate(b"\n")
