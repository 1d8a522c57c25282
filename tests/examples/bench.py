"""A reader at a machine: a home folder, a shell, and what goes on in other terminals."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.pages import ROOT
from tests.system.running import Process, tunewell

TIMEOUT_S = 150
USUAL = "http://127.0.0.1:8700"
_PLAIN = re.compile(r"(\.venv/bin/)?tunewell [\w ./:=@?%,+-]*(#.*)?")
"""A line that says the same to any shell and to none."""


class Bench:
    """Runs what pages say. `tunewell` is this checkout's, and so is `.venv/bin/tunewell`.

    Where a block has nothing but commands of ours, they are forked off a process that has all
    loaded; how they start for themselves is tested by `test_local.py` and `tests/packaging`.

    Args:
        folder: empty; the working folder and the home.
        stack: ends what was started.
        url: of a service that is there already, in place of the usual address.

    Attributes:
        env: the shell's environment.
        given: what the reader puts in place of a page's own names, longest first.
        said: what the last lines before one that goes on have written.
        heard: what commands that are run for themselves wrote to their standard error.
    """

    def __init__(self, folder: Path, stack: ExitStack, url: str | None = None) -> None:
        self.folder = folder
        self._stack = stack
        self.given: dict[str, str] = {}
        self.said = self.heard = self.url = ""
        commands = folder / ".venv" / "bin"
        commands.mkdir(parents=True)
        (commands / "tunewell").write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -P -m tunewell "$@"\n'
        )
        (commands / "tunewell").chmod(0o755)
        for name in ("python", "python3"):
            (commands / name).symlink_to(sys.executable)
        (folder / "examples").symlink_to(ROOT / "examples")
        self._errors = folder / ".errors"
        self._errors.mkdir()
        self.env = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / ".local" / "share"),
            "XDG_STATE_HOME": str(folder / ".local" / "state"),
            "TUNEWELL_DATA_DIR": str(folder / "no-data"),
            "TUNEWELL_DOWNLOAD": "0",
            "TUNEWELL_PORT": "0",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        if url is not None:
            self.is_at(url)

    def is_at(self, url: str) -> None:
        """From now on the service that a page has at the usual address is this one."""
        self.url = url
        self.given[USUAL] = url
        self.env["TUNEWELL_URL"] = url

    def filled(self, text: str) -> str:
        """The text with what the reader puts in."""
        for name in sorted(self.given, key=len, reverse=True):
            text = text.replace(name, self.given[name])
        return text.replace("--port 8700", "--port 0")

    def run(self, text: str) -> str:
        """Runs lines of shell; what they wrote."""
        lines = self.filled(text).replace("\\\n", " ").strip().splitlines()
        if all(_PLAIN.fullmatch(line) for line in lines):
            return "".join(self._warm(shlex.split(line, comments=True)) for line in lines)
        return self._run(["bash", "-euo", "pipefail", "-c", self.filled(text)])

    def _warm(self, words: list[str]) -> str:
        """Runs a command of ours, forked off a process that has everything loaded."""
        process = Process(tunewell(*words[1:]), self._errors, self.env, cwd=self.folder)
        try:
            status = process.process.wait(timeout=TIMEOUT_S)
            said = "".join(line for line in iter(process.lines.get, None) if line)
        finally:
            process.end()
        self.heard += process.errors.read_text()
        assert status == 0, f"{said}\n{self.heard}"
        return said

    def python(self, text: str) -> str:
        """Runs a script; what it wrote."""
        return self._run([sys.executable, "-P", "-c", self.filled(text)])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def stay(self, text: str) -> Process:
        """Runs lines of shell of which the last one goes on, in a terminal of its own."""
        *first, last = self.filled(text).strip().splitlines()
        env = dict(self.env)
        if first:
            self.said = self.run("\n".join([*first, f"env -0 > {self._errors}/env"]))
            pairs = (self._errors / "env").read_text().split("\0")
            env = dict(pair.split("=", 1) for pair in pairs if pair)
        return self.start(last, env)

    def start(self, line: str, env: dict[str, str] | None = None) -> Process:
        """Starts a service or a worker and waits until it is there."""
        env = dict(self.env) if env is None else env
        words = shlex.split(line, comments=True)
        if "serve" in words:
            env.pop("TUNEWELL_URL", None)
        assert words[0] in ("tunewell", ".venv/bin/tunewell")
        process = Process(tunewell(*words[1:]), self._errors, env, cwd=self.folder)
        self._stack.callback(process.end)
        if "serve" in words:
            found = re.search(r"ready at (http://\S+)", process.line("ready at "))
            assert found is not None
            self.is_at(found[1].replace("0.0.0.0", "127.0.0.1"))
        else:
            process.line(", serves ")
        return process
