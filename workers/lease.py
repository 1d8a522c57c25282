"""A lease as a claim answers it, and as the worker runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a claim brought for one trial; `checkpoint` is where it goes on from."""

    lease_id: str
    job: Job
    time_limit_s: float | None = None
    checkpoint: Mapping[str, Any] | None = None


_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def is_sound(granted: Mapping[str, Any]) -> bool:
    """Whether a lease's ids can name files: they come from outside."""
    ids = (granted["lease_id"], granted["trial"]["id"])
    return all(isinstance(each, str) and _ID.fullmatch(each) for each in ids)


def lease_of(
    granted: Mapping[str, Any],
    *,
    target: str | None,
    command: Mapping[str, Any] | None = None,
    folder: str,
    store_dir: Path | None = None,
    device: str,
    environment: Mapping[str, str],
    n_cores: int = 1,
) -> Lease:
    """A lease as a claim answers it, made ready to run."""
    trial, objective = granted["trial"], granted["objective"]
    job = Job(
        trial_id=trial["id"],
        number=trial["number"],
        objective=objective["name"],
        target=target,
        command=command,
        folder=folder,
        params=trial["params"],
        options=objective.get("options") or {},
        device=device,
        store_dir=None if store_dir is None else str(store_dir),
        data_digest=objective.get("data_digest"),
        environment=environment,
        n_cores=n_cores,
        study_id=trial.get("study_id") or "",
        to_step=granted["budget"]["to_step"],
    )
    return Lease(
        lease_id=granted["lease_id"],
        job=job,
        time_limit_s=granted.get("max_trial_duration_s"),
        checkpoint=granted.get("checkpoint"),
    )
