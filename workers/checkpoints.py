"""Carries checkpoints between a trial's folder and the service: whole files, in bounded memory.

An upload goes on where an earlier try of it ended; only a commit makes it count, so whatever breaks
off here leaves the trial with the checkpoint that it had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewell.checkpoints import Saved, uploading

from .link import Away, Link, Pauses, Refused
from .log import Log


def send(link: Link, trial_id: str, lease_id: str, saved: Saved) -> str | None:
    """Announces, uploads and commits a checkpoint; its id, None when a newer one has replaced it.

    Raises:
        Away: the service cannot be reached; the same call goes on where this one ended.
        Refused: it will not take it.
    """
    return link.run(uploading(trial_id, lease_id, saved, retry_s=0))


def fetch(link: Link, given: Mapping[str, Any], target: Path, log: Log) -> bool:
    """Reads the checkpoint that an attempt is to go on from into a file.

    Returns:
        Whether it is there as announced; if not the attempt begins anew, and a line says why.
    """
    pauses, n_tries = Pauses(link), 0
    while True:
        try:
            found = _read(link, str(given["url"]), target)
            if found == (given["size_bytes"], given["sha256"]):
                return True
            problem = f"{found[0]} bytes with sha256 {found[1]} came, not what was announced"
        except Refused as refusal:
            problem = str(refusal)
        except Away as away:
            n_tries += 1
            if n_tries < _FETCH_TRIES and not link.closing.is_set():
                pauses.wait()
                continue
            problem = str(away)
        log("checkpoint_unreadable", checkpoint_id=given["id"], detail=problem)
        target.unlink(missing_ok=True)
        return False


_FETCH_TRIES = 5


def _read(link: Link, url: str, target: Path) -> tuple[int, str]:
    size, sha = 0, hashlib.sha256()
    with target.open("wb") as file:
        for piece in link.download(url):
            file.write(piece)
            size += len(piece)
            sha.update(piece)
    return size, sha.hexdigest()
