"""The end of what a trial's process printed: bounded in memory, kept as a file when it is over."""

from __future__ import annotations

import contextlib
from pathlib import Path

KEEP_BYTES = 64 * 1024
"""How much of a trial's output is kept."""
KEEP_FILES = 200
"""How many trials' outputs are kept."""


class OutputTail:
    """Takes what comes and forgets all but the last `KEEP_BYTES`."""

    def __init__(self) -> None:
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Takes more output."""
        self._content += chunk
        if len(self._content) > 2 * KEEP_BYTES:
            del self._content[:-KEEP_BYTES]

    @property
    def text(self) -> str:
        """The end of the output."""
        return bytes(self._content[-KEEP_BYTES:]).decode(errors="replace")


def keep(folder: Path, name: str, text: str) -> None:
    """Writes an output that is not empty to a file and removes the oldest files over the bound."""
    if not text:
        return
    # The output is for people; a full disk must not fail the trial.
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.log").write_text(text)
        files = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
        for old in files[:-KEEP_FILES]:
            old.unlink(missing_ok=True)
