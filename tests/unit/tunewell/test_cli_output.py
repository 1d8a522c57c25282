"""Commands whose standard output the system does not take, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def ran_into(stdout: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, whose output a system takes or not."""
    command = [sys.executable, "-m", "tunewell", *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
    )


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["plan", "--help"]])
def test_output_that_cannot_be_written_is_told_in_a_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ran = ran_into(full, *(["study", *arguments] if arguments[0] == "plan" else arguments))
    assert ran.returncode == 1
    assert ran.stderr == "error: standard output cannot be written: no space left on device\n"


def test_a_reader_that_has_gone_is_no_error() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with os.fdopen(write_fd, "w") as unread:
        ran = ran_into(unread, "study", "plan", "function-quickstart")
    assert (ran.returncode, ran.stderr) == (0, "")
