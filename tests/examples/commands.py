"""The command line in processes of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import queue
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import IO

TIMEOUT_S = 120.0


STARTED: list[subprocess.Popen[str]] = []
"""What was started; a fixture kills what a failed test leaves behind."""


def _heed_interrupts() -> None:
    # Where the tests run in the background of a shell, SIGINT is ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(folder: Path) -> dict[str, str]:
    """No settings of ours, and the user's folders in `folder`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TUNEWELL_")}
    return {
        **kept,
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_STATE_HOME": str(folder / "state"),
        "TUNEWELL_DATA_DIR": str(folder / "no-data"),
    }


class Command:
    """`tunewell ARGUMENTS` in a folder; its lines are read as they come."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tunewell", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment(folder),
            text=True,
            preexec_fn=_heed_interrupts,
        )
        STARTED.append(self.process)
        self.out, self.err = _Lines(self.process.stdout), _Lines(self.process.stderr)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Waits for the end; the exit status."""
        status = self.process.wait(timeout=TIMEOUT_S)
        self.out.rest()
        self.err.rest()
        return status


class _Lines:
    """The lines of a stream, read by a thread.

    Attributes:
        seen: those taken so far.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self.seen: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stream = stream
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream or ():
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def wait_for(self, part: str) -> str:
        """Waits for a line that holds `part`."""
        while (line := self._lines.get(timeout=TIMEOUT_S)) is not None:
            self.seen.append(line)
            if part in line:
                return line
        raise AssertionError(f"no line with {part!r} in {self.seen}")

    def rest(self) -> None:
        """Takes all lines to the end."""
        while (line := self._lines.get(timeout=TIMEOUT_S)) is not None:
            self.seen.append(line)
        if self._stream is not None:
            self._stream.close()

    @property
    def text(self) -> str:
        """What was taken so far."""
        return "\n".join(self.seen)


class Screen:
    """`tunewell ARGUMENTS` on a terminal of its own.

    Attributes:
        text: all that was written to it so far, with its control sequences.
    """

    def __init__(self, folder: Path, *arguments: str, columns: int = 100, lines: int = 30) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tunewell", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**environment(folder), "TERM": "xterm-256color"},
            text=True,
            preexec_fn=_heed_interrupts,
            start_new_session=True,
        )
        STARTED.append(self.process)
        os.close(theirs)

    def press(self, keys: str) -> None:
        """Types on the terminal."""
        os.write(self._ours, keys.encode())

    def wait_for(self, part: str) -> None:
        """Waits until `part` comes, counted from now."""
        begin = len(self.text)
        while part not in self.text[begin:]:
            if not self._read():
                raise AssertionError(f"ended without {part!r}: {self.text[begin:]!r}")

    def ended(self) -> int:
        """Waits for the end; the exit status."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(timeout=TIMEOUT_S)

    def _read(self) -> bool:
        """Takes what comes next; False at the end."""
        ready, _, _ = select.select([self._ours], [], [], TIMEOUT_S)
        assert ready, f"nothing came for {TIMEOUT_S} s after {self.text[-500:]!r}"
        try:
            found = os.read(self._ours, 1 << 16)
        except OSError:  # how Linux says that nobody has the terminal open any more
            return False
        self.text += found.decode(errors="replace")
        return bool(found)
