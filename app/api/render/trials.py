"""Trials, their attempts, measurements and logs as JSON objects."""

from __future__ import annotations

from typing import Any

from ...domain.lease import Lease
from ...domain.trial import Failure, Measurement, Trial
from ...service.trial_logs import TrialLog
from ...service.views import Expected, TrialView, Winners
from ..answers import instant, number
from ..etags import etag


def failure(value: Failure | None) -> dict[str, Any] | None:
    """A failure, or null."""
    if value is None:
        return None
    return {"kind": value.kind, "message": value.message, "traceback": value.traceback}


def trial(value: Trial) -> dict[str, Any]:
    """A trial as lists show it."""
    return {
        "id": value.id,
        "study_id": value.study_id,
        "number": value.number,
        "state": value.state,
        "source": value.source,
        "params": dict(value.params),
        "values": dict(value.values),
        "step": value.step,
        "n_attempts": value.attempts,
        "losses": value.losses,
        "not_before": instant(value.not_before),
        "checkpoint_id": value.checkpoint_id,
        "min_memory_bytes": value.min_memory_bytes,
        "bracket": value.bracket,
        "to_step": value.to_step,
        "rungs": [{"step": step, "value": number(each)} for step, each in value.rungs],
        "directive": value.directive,
        "directive_reason": value.directive_reason,
        "failure": failure(value.failure),
        "note": value.note,
        "provenance": dict(value.provenance),
        "usage": dict(value.usage),
        "data": dict(value.data) if value.data is not None else None,
        "lease_id": value.lease_id,
        "worker_id": value.worker_id,
        "expires_at": instant(value.lease_expires_at),
        "created_at": instant(value.created_at),
        "started_at": instant(value.started_at),
        "ended_at": instant(value.ended_at),
        "updated_at": instant(value.updated_at),
        "change_seq": value.change_seq,
        "revision": value.revision,
    }


def expected_trial(value: Expected) -> dict[str, Any]:
    """A trial with what a model says of its point."""
    return {**trial(value.trial), "posterior_mean": value.mean, "posterior_sd": value.sd}


def winners(value: Winners) -> dict[str, Any]:
    """The best trials by a model."""
    return {
        "trials": [expected_trial(each) for each in value.trials],
        "by": "posterior_mean",
        "posterior": {
            "units": "metric",
            "n_results": value.n_results,
            "is_noisy": value.is_noisy,
            "warp": value.warp,
        },
    }


def trial_detail(view: TrialView) -> dict[str, Any]:
    """A trial with its attempts and a summary of its measurements."""
    found = view.measurements
    return {
        **trial(view.trial),
        "attempts": [attempt(lease) for lease in view.attempts],
        "measurements": {
            "count": found.count if found else 0,
            "last_step": found.last_step if found else None,
            "last_values": {k: number(v) for k, v in found.last_values.items()} if found else {},
        },
    }


def attempt(lease: Lease) -> dict[str, Any]:
    """One attempt at a trial."""
    return {
        "lease_id": lease.id,
        "worker_id": lease.worker_id,
        "slot": lease.slot,
        "client_id": lease.client_id,
        "acquired_at": instant(lease.acquired_at),
        "expires_at": instant(lease.expires_at),
        "ended_at": instant(lease.ended_at),
        "end": lease.end,
        "failure": failure(lease.failure),
        "last_step": lease.last_step,
        "from_step": lease.from_step,
        "to_step": lease.to_step,
    }


def trial_etag(value: Trial) -> str:
    """A trial's entity tag."""
    return etag(value.revision, value.change_seq)


def measurement(value: Measurement) -> dict[str, Any]:
    """One measurement; its non-finite values as strings."""
    return {
        "lease_id": value.lease_id,
        "seq": value.seq,
        "step": value.step,
        "values": {name: number(each) for name, each in value.values.items()},
        "elapsed_s": value.elapsed_s,
        "reported_at": instant(value.reported_at),
    }


def trial_log(log: TrialLog) -> dict[str, Any]:
    """A trial's output."""
    return {
        "trial_id": log.trial_id,
        "lease_id": log.lease_id,
        "size_bytes": log.size_bytes,
        "omitted_bytes": log.omitted_bytes,
        "parts": [{"offset": start, "text": text} for start, text in log.parts],
    }
