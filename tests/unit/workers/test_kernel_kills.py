"""A trial that the kernel ends for want of memory is told as one that ran out of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers import kernel_kills

from .helpers import HERE, run

LIMIT_BYTES = 192 * 2**20
IN_A_GROUP = """
import json, os, sys
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
from tests.unit.workers.helpers import run
outcome, _ = run("hog")
print(json.dumps([outcome.failure.kind, outcome.failure.message]))
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the system's files are taken to be."""
    monkeypatch.setattr(kernel_kills, "ROOT", tmp_path)
    write(tmp_path / "proc/self/cgroup", "4:memory:/other\n0::/pod/worker\n")
    write(tmp_path / "proc/vmstat", "nr_free_pages 12\noom_kill 7\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_groups_own_kills_count_before_those_of_the_machine(root: Path) -> None:
    assert kernel_kills.count() == 7
    write(root / "sys/fs/cgroup/pod/worker/memory.events", "low 0\noom 9\noom_kill 2\n")
    assert kernel_kills.count() == 2


def test_where_nothing_is_told_nothing_is_known(root: Path) -> None:
    (root / "proc/vmstat").write_text("oom_kill many\n")
    assert kernel_kills.count() is None


@pytest.mark.parametrize(("counts", "kind"), [((3, 4), "oom"), ((3, 3), "infrastructure")])
def test_only_a_kill_that_the_kernel_counts_is_for_memory(
    counts: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter(counts)
    monkeypatch.setattr(kernel_kills, "count", lambda: next(told))
    outcome, _ = run("killed")
    assert outcome.failure is not None
    assert outcome.failure.kind == kind


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """A control group with little memory, of whichever version this process may make one."""
    name = f"tunewell-{uuid.uuid4().hex}"
    for procs, limit in (
        (Path("/sys/fs/cgroup/cgroup.procs"), "memory.max"),
        (Path("/sys/fs/cgroup/memory/cgroup.procs"), "memory.limit_in_bytes"),
    ):
        folder = procs.parent / name
        if not procs.exists() or not os.access(procs.parent, os.W_OK):
            continue  # or a folder of no meaning would be made
        folder.mkdir()
        try:
            if (folder / limit).exists():
                (folder / limit).write_text(str(LIMIT_BYTES))
                yield folder
                return
        finally:
            folder.rmdir()
    pytest.skip("no control group with a limit can be made here")


def test_a_trial_that_eats_the_memory_of_its_group_has_run_out_of_memory(
    limited_group: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_GROUP, str(limited_group)],
        cwd=HERE.parents[2],
        stdout=subprocess.PIPE,
        check=True,
    )
    kind, message = json.loads(done.stdout)
    assert kind == "oom"
    assert "--slots" in message
