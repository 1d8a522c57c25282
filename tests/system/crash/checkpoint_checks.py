"""Holds a study's checkpoints, their rows and their contents, against the promises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from .evidence import Evidence
from .record import Ack, Record


def only_a_commit_is_handed_out(found: Evidence, record: Record) -> Iterator[str]:
    """An attempt is told to go on from the trial's last commit: from the last acknowledged one, or
    from a later one whose answer was lost; never from an upload that was not committed.
    """
    last: dict[str, str] = {}
    for ack in record.acks:
        if ack.what == "commit":
            last[ack.data["trial_id"]] = ack.id
        if ack.what != "claim" or ack.id not in found.lease_of:
            continue
        told, known = ack.data.get("checkpoint_id"), last.get(ack.data["trial_id"])
        if (told or "") < (known or ""):
            yield f"lease {ack.id} was told to go on from {told}, committed was {known}"
        elif told is not None and not _was_committed(found, told, ack, is_known=told == known):
            yield f"lease {ack.id} was told to go on from {told}, which was not committed"


def _was_committed(found: Evidence, checkpoint_id: str, claim: Ack, *, is_known: bool) -> bool:
    """By the time of the claim. The row of one whose commit was acknowledged may be gone: a later
    one took its place, or its trial has ended.
    """
    row = found.checkpoint_of.get(checkpoint_id)
    if row is None:
        return is_known
    at = row["committed_at"]
    is_its_own = row["trial_id"] == claim.data["trial_id"]
    return is_its_own and at is not None and at <= found.lease_of[claim.id]["acquired_at"]


def a_commit_is_of_its_attempt(found: Evidence, _: Record) -> Iterator[str]:
    """Each commit came under the lease that was current then."""
    for row in found.checkpoints:
        lease, at = found.lease_of.get(row["lease_id"]), row["committed_at"]
        if lease is None or lease["trial_id"] != row["trial_id"]:
            yield f"checkpoint {row['id']} is of lease {row['lease_id']}, not one of its trial's"
        elif at is not None and not found.is_current(lease, at):
            yield f"checkpoint {row['id']} was committed under {lease['id']}, stale by then"


def a_trial_points_at_a_commit(found: Evidence, _: Record) -> Iterator[str]:
    """What a trial would go on from is a committed checkpoint of its own."""
    for trial in found.trials:
        row = found.checkpoint_of.get(trial["checkpoint_id"])
        is_sound = row is not None and row["trial_id"] == trial["id"] and row["committed_at"]
        if trial["checkpoint_id"] is not None and not is_sound:
            yield f"trial {trial['number']} goes on from {trial['checkpoint_id']}, no commit of it"


def is_announced(found: Evidence, ack: Ack) -> bool:
    """Whether an acknowledged announcement is there. The uploads of a trial that has ended may have
    been cleared away.
    """
    row = found.checkpoint_of.get(ack.id)
    if row is None:
        return found.trial_of[ack.data["trial_id"]]["ended_at"] is not None
    return bool(row["sha256"] == ack.data["sha256"])


def is_committed(found: Evidence, ack: Ack, record: Record) -> bool:
    """Whether an acknowledged commit is there with its content. One that a later one took the place
    of may have been cleared away.
    """
    row = found.checkpoint_of.get(ack.id)
    last = found.trial_of[ack.data["trial_id"]]["checkpoint_id"]
    if last is None or last < ack.id:
        return False
    if row is None or row["state"] == "deleted":
        return bool(last > ack.id)
    is_there = bool(row["state"] == "committed" and row["sha256"] == ack.data["sha256"])
    return is_there and _is_whole(row, record)


def _is_whole(row: Mapping[str, Any], record: Record) -> bool:
    assert record.contents is not None
    path = record.contents / "sealed" / row["id"]
    if not path.is_file() or path.stat().st_size != row["size_bytes"]:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]


CHECKS = (only_a_commit_is_handed_out, a_commit_is_of_its_attempt, a_trial_points_at_a_commit)
