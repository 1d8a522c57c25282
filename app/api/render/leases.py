"""The lease protocol's answers as JSON objects."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...domain.checkpoint import Checkpoint
from ...service.checkpoints import Upload
from ...service.views import BeatAnswer, Budget, Claim, Grant, Reported, Suggested
from ..answers import instant
from .trials import trial


def budget(value: Budget) -> dict[str, Any]:
    """Which steps an attempt covers."""
    return {"from_step": value.from_step, "to_step": value.to_step}


def suggested(value: Suggested) -> dict[str, Any]:
    """The answer to `:suggest`."""
    return {
        "trials": [_suggested_trial(grant) for grant in value.grants],
        "study_state": value.study_state,
    }


def _suggested_trial(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.trial.id,
        "number": grant.trial.number,
        "params": dict(grant.trial.params),
        "lease_id": grant.lease.id,
        "expires_at": instant(grant.lease.expires_at),
        "budget": budget(grant.budget),
        "checkpoint": _resumed(grant.checkpoint),
        "last_seq": grant.last_seq,
        "last_step": grant.last_step,
        "attempt": 1 + grant.trial.attempts + grant.trial.losses,
    }


def _resumed(value: Checkpoint | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {
        "id": value.id,
        "url": f"/v1/checkpoints/{value.id}/content",
        "step": value.step,
        "size_bytes": value.size_bytes,
        "sha256": value.sha256,
    }


def upload(value: Upload) -> dict[str, Any]:
    """A checkpoint and how much of it is there."""
    checkpoint = value.checkpoint
    return {
        "id": checkpoint.id,
        "trial_id": checkpoint.trial_id,
        "study_id": checkpoint.study_id,
        "lease_id": checkpoint.lease_id,
        "step": checkpoint.step,
        "size_bytes": checkpoint.size_bytes,
        "sha256": checkpoint.sha256,
        "state": checkpoint.state,
        "received_bytes": value.received_bytes,
        "created_at": instant(checkpoint.created_at),
        "committed_at": instant(checkpoint.committed_at),
    }


def claim(value: Claim) -> dict[str, Any]:
    """The answer to a claim."""
    return {"leases": [_lease(grant) for grant in value.grants], "open_work": value.open_work}


def _lease(grant: Grant) -> dict[str, Any]:
    ref = grant.objective
    return {
        "lease_id": grant.lease.id,
        "expires_at": instant(grant.lease.expires_at),
        "trial": trial(grant.trial),
        "objective": {
            "name": ref.name,
            "options": dict(ref.options),
            "data_digest": grant.data_digest,
        }
        if ref
        else None,
        "budget": budget(grant.budget),
        "max_trial_duration_s": grant.max_trial_duration_s,
        "resources": asdict(grant.resources),
        "checkpoint": _resumed(grant.checkpoint),
        "fuse_group": grant.fuse_group,
        "slot": grant.lease.slot,
        "more_ahead": grant.more_ahead,
    }


def beat(value: BeatAnswer) -> dict[str, Any]:
    """What a beat brought."""
    return {
        "lease_id": value.lease_id,
        "expires_at": instant(value.expires_at),
        "directive": value.directive,
    }


def reported(value: Reported) -> dict[str, Any]:
    """What a report brought."""
    return {
        "accepted": value.accepted,
        "duplicates": value.duplicates,
        "directive": value.directive,
        "budget": budget(value.budget),
    }
