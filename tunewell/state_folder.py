"""Where a worker, or a node that runs trials for one, keeps what outlives a process."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder(given: str | Path | None = None) -> Path:
    """The folder that was given, else `TUNEWELL_STATE_DIR`, else the user's."""
    folder = Path(given or os.environ.get("TUNEWELL_STATE_DIR") or _users())
    return folder.expanduser().absolute()  # a trial may change its own folder


def store_of(folder: Path, name: str) -> Path:
    """Below a state folder, what trials of one objective leave for one another.

    Args:
        name: of the objective, fit for a file.
    """
    return folder / "store" / name


def _users() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tunewell"
