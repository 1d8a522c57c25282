"""How the scripted worker saves checkpoints and goes on from them."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from .client import Client

CHUNK_BYTES = 2 * 1024 * 1024 + 4_096
"""Half of it is more than the service writes at once: what breaks off there leaves a piece."""
CONTENT_BYTES = CHUNK_BYTES + 1_000_003


def content_of(lease_id: str, step: int) -> bytes:
    """What is saved under a lease at a step: no other checkpoint has the same."""
    return random.Random(f"{lease_id} {step}").randbytes(CONTENT_BYTES)


def save(client: Client, lease: Any, step: int) -> list[int]:
    """All of it; returns at which bytes the chunks began."""
    checkpoint_id = announce(client, lease, step)
    began = upload(client, checkpoint_id, content_of(lease["lease_id"], step))
    commit(client, lease, checkpoint_id, step)
    return began


def announce(client: Client, lease: Any, step: int) -> str:
    """Says what is coming; returns the checkpoint's id."""
    body = {
        "lease_id": lease["lease_id"],
        "step": step,
        "size_bytes": CONTENT_BYTES,
        "sha256": _sha256(content_of(lease["lease_id"], step)),
    }
    made = client.call("POST", f"/v1/trials/{lease['trial']['id']}/checkpoints", body)
    client.ack("announce", made["id"], trial_id=lease["trial"]["id"], sha256=body["sha256"])
    return str(made["id"])


def upload(client: Client, checkpoint_id: str, content: bytes) -> list[int]:
    """Sends what is not there yet in chunks; asks again how much that is when a chunk had no
    answer. Returns at which bytes the chunks began.
    """
    path, began = f"/v1/checkpoints/{checkpoint_id}", []
    while (there := client.call("GET", path)["received_bytes"]) < len(content):
        began.append(there)
        send(client, checkpoint_id, content, there)
    return began


def send(client: Client, checkpoint_id: str, content: bytes, start: int) -> None:
    """Sends one chunk, once."""
    chunk = content[start : start + CHUNK_BYTES]
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Range": f"bytes {start}-{start + len(chunk) - 1}/{len(content)}",
    }
    path = f"/v1/checkpoints/{checkpoint_id}/content"
    client.attempt("PUT", path, content=chunk, headers=headers)


def commit(client: Client, lease: Any, checkpoint_id: str, step: int) -> None:
    """Makes it the one to go on from."""
    body = {"lease_id": lease["lease_id"]}
    client.call("POST", f"/v1/checkpoints/{checkpoint_id}:commit", body)
    sha256 = _sha256(content_of(lease["lease_id"], step))
    client.ack("commit", checkpoint_id, trial_id=lease["trial"]["id"], sha256=sha256)


def go_on_from(client: Client, lease: Any) -> bytes:
    """Reads what the attempt before has saved."""
    return client.ask("GET", lease["checkpoint"]["url"]).content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
