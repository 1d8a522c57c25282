"""Carries checkpoints between a trial's folder and the service: whole files, in bounded memory.

An upload goes on where an earlier try of it ended; only a commit makes it count, so whatever breaks
off here leaves the trial with the checkpoint that it had.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .link import Away, Link, Pauses, Refused
from .log import Log

CHUNK_BYTES = 4 << 20
"""How much is sent in one call."""
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint's file, as it waits to be sent."""

    step: int
    path: Path
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, step: int, path: Path) -> Saved:
        """Size and digest of a file that a trial has saved.

        Raises:
            OSError: it cannot be read.
        """
        size, sha = 0, hashlib.sha256()
        for piece in _pieces(path):
            size += len(piece)
            sha.update(piece)
        return cls(step=step, path=path, size_bytes=size, sha256=sha.hexdigest())

    def to_body(self) -> dict[str, Any]:
        """As a record of the spool holds it."""
        return {
            "step": self.step,
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Saved:
        """What `to_body` wrote."""
        return cls(
            step=body["step"],
            path=Path(body["path"]),
            size_bytes=body["size_bytes"],
            sha256=body["sha256"],
        )


def send(link: Link, trial_id: str, lease_id: str, saved: Saved) -> str | None:
    """Announces, uploads and commits a checkpoint; its id, None when a newer one has replaced it.

    Raises:
        Away: the service cannot be reached; the same call goes on where this one ended.
        Refused: it will not take it.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(saved.path.open("rb"))
        except FileNotFoundError:
            return None
        announced = {
            "lease_id": lease_id,
            "step": saved.step,
            "size_bytes": saved.size_bytes,
            "sha256": saved.sha256,
        }
        made = link.call("POST", f"/v1/trials/{quote(trial_id, safe='')}/checkpoints", announced)
        path = f"/v1/checkpoints/{quote(made['id'], safe='')}"
        there = int(made["received_bytes"])
        while there < saved.size_bytes:
            file.seek(there)
            chunk = file.read(CHUNK_BYTES)
            if not chunk:
                break  # the commit says what is missing
            where = f"bytes {there}-{there + len(chunk) - 1}/{saved.size_bytes}"
            there = int(link.upload(f"{path}/content", chunk, where)["received_bytes"])
        link.call("POST", f"{path}:commit", {"lease_id": lease_id})
        return str(made["id"])


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


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
