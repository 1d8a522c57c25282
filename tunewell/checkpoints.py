"""Carries a checkpoint's file to the service: in chunks, in bounded memory.

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

from .exchange import Call, Request, quoted

CHUNK_BYTES = 4 << 20
"""How much is sent in one call."""
UPLOAD_S = 120.0
"""How long a chunk may take."""
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


def uploading(
    trial_id: str, lease_id: str, saved: Saved, *, retry_s: float | None = None
) -> Call[str | None]:
    """Announces, uploads and commits a checkpoint; its id, None when its file is gone, because a
    newer one has replaced it.

    Args:
        trial_id, lease_id: what it is a checkpoint of.
        saved: the file.
        retry_s: for how long each call is tried again; the connection's own when None.

    Raises:
        Unreachable: no answer; the same call goes on where this one ended.
        ApiError: the service will not take it.
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
        where = f"/v1/trials/{quoted(trial_id)}/checkpoints"
        made = yield Request("POST", where, body=announced, retry_s=retry_s)
        path = f"/v1/checkpoints/{quoted(made['id'])}"
        there = int(made["received_bytes"])
        while there < saved.size_bytes:
            file.seek(there)
            chunk = file.read(CHUNK_BYTES)
            if not chunk:
                break  # the commit says what is missing
            span = f"bytes {there}-{there + len(chunk) - 1}/{saved.size_bytes}"
            answer = yield Request(
                "PUT",
                f"{path}/content",
                content=chunk,
                headers={"Content-Range": span},
                timeout_s=UPLOAD_S,
                retry_s=retry_s,
            )
            there = int(answer["received_bytes"])
        yield Request("POST", f"{path}:commit", body={"lease_id": lease_id}, retry_s=retry_s)
        return str(made["id"])


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
