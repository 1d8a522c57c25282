"""The service's values as JSON objects: the one place that knows how each looks on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..analysis.envelope import Envelope
from ..analysis.table import STATES
from ..domain.audit import AuditEntry
from ..domain.catalog import SuggesterInfo
from ..domain.checkpoint import Checkpoint
from ..domain.definition import definition_to_json
from ..domain.delivery import Delivery
from ..domain.event import Event
from ..domain.lease import Lease
from ..domain.objectives import BUILT_IN
from ..domain.token import Token
from ..domain.trial import Failure, Measurement, Trial
from ..domain.worker import ObjectiveOffer
from ..service.checkpoints import Upload
from ..service.sessions import SignedIn
from ..service.trial_logs import TrialLog
from ..service.views import (
    BeatAnswer,
    Budget,
    Caller,
    Claim,
    Expected,
    Grant,
    HeldLease,
    Reported,
    StudySummary,
    StudyView,
    Suggested,
    TrialView,
    Winners,
    WorkerView,
)
from .answers import instant, number
from .etags import etag


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


def study(view: StudyView) -> dict[str, Any]:
    """A study."""
    value, definition = view.study, view.study.definition
    return {
        "id": value.id,
        "name": definition.name,
        "definition": definition_to_json(definition),
        "state": value.state,
        "stop_reason": value.stop_reason,
        "stop_detail": value.stop_detail,
        "pause_reason": value.pause_reason,
        "pause_detail": value.pause_detail,
        "trial_counts": {state: n for state, n in value.counts.items() if n},
        "places": value.places,
        "resource_used": value.resource_used,
        "resource_granted": value.resource_granted,
        "resource_saved": value.resource_saved,
        "saved_s": value.saved_s,
        "best": trial(view.best) if view.best else None,
        "warnings": list(view.warnings),
        "webhook_deliveries": [delivery(each) for each in view.deliveries],
        "labels": dict(definition.labels),
        "priority": definition.priority,
        "description": definition.description,
        "created_at": instant(value.created_at),
        "updated_at": instant(value.updated_at),
        "started_at": instant(value.started_at),
        "ended_at": instant(value.ended_at),
        "deleted_at": instant(value.deleted_at),
        "purge_at": instant(value.purge_at),
        "change_seq": value.change_seq,
        "revision": value.revision,
        "data_digest": value.data_digest,
    }


def delivery(value: Delivery) -> dict[str, Any]:
    """A webhook under way; its URL stands in the definition."""
    return {
        "event_id": value.id,
        "state": value.state,
        "attempts": value.attempts,
        "next_at": instant(value.next_at),
        "delivered_at": instant(value.delivered_at),
        "last_error": value.last_error,
        "created_at": instant(value.created_at),
    }


def study_etag(view: StudyView) -> str:
    """A study's entity tag."""
    return etag(view.study.revision, view.study.change_seq)


def analysis(value: Envelope) -> dict[str, Any]:
    """The columns of a plot."""
    return {
        "kind": value.kind,
        "change_seq": value.change_seq,
        "n_total": value.n_total,
        "n_used": value.n_used,
        "n_shown": value.n_shown,
        "sampling": value.sampling,
        "excluded": dict(value.excluded),
        "axes": [dict(axis) for axis in value.axes],
        "columns": {
            name: [instant(at) for at in column] if name.endswith("_at") else column
            for name, column in value.columns.items()
        },
        "states": [str(state) for state in STATES],
        **value.more,
    }


def summary(value: StudySummary) -> dict[str, Any]:
    """What a list of studies shows beside a study."""
    return {
        "rate_per_h": value.rate_per_h,
        "time_left_s": value.time_left_s,
        "eta_low_s": value.eta_low_s,
        "eta_high_s": value.eta_high_s,
        "n_running": value.n_running,
        "trend": [list(point) for point in value.trend],
        "last_failures": [dict(line) for line in value.last_failures],
        "recent_failures": dict(value.recent_failures),
        "n_recent": value.n_recent,
    }


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


def worker(view: WorkerView) -> dict[str, Any]:
    """A worker."""
    value = view.worker
    return {
        "id": value.id,
        "name": value.name,
        "boot_id": value.boot_id,
        "labels": dict(value.labels),
        "devices": [asdict(each) for each in value.devices],
        "devices_free": [
            {"index": index, "memory_free_bytes": size}
            for index, size in sorted(value.free_memory.items())
        ],
        "devices_free_at": instant(value.free_memory_at),
        "objectives": [offer(each) for each in value.objectives],
        "slots": value.slots,
        "draining": value.draining,
        "drain_reason": value.drain_reason,
        "n_infrastructure_failures": value.n_infrastructure_failures,
        "registered_at": instant(value.registered_at),
        "last_seen_at": instant(value.last_seen_at),
        "lease_ttl_s": view.lease_ttl_s,
        "heartbeat_s": view.heartbeat_s,
        "leases": [held_lease(held) for held in view.leases],
    }


def held_lease(value: HeldLease) -> dict[str, Any]:
    """A lease that a worker holds."""
    lease = value.lease
    return {
        "lease_id": lease.id,
        "trial_id": lease.trial_id,
        "study_id": lease.study_id,
        "number": value.number,
        "study_name": value.study_name,
        "slot": lease.slot,
        "acquired_at": instant(lease.acquired_at),
        "renewed_at": instant(lease.renewed_at),
        "expires_at": instant(lease.expires_at),
        "last_step": lease.last_step,
        "to_step": lease.to_step,
    }


def offer(offer: ObjectiveOffer) -> dict[str, Any]:
    """An objective that a worker can evaluate."""
    return {
        "name": offer.name,
        "version": offer.version,
        "params_schema": offer.params_schema,
        "options_schema": offer.options_schema,
        "metrics": dict(offer.metrics),
        "steps": offer.steps,
        "checkpoints": offer.checkpoints,
        "max_resource": offer.max_resource,
        "data": [dict(each) for each in offer.data],
    }


def catalog(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a study definition can name."""
    return {
        "suggesters": [choice(info) for info in found["suggesters"]],
        "early_stopping": [choice(info) for info in found["early_stopping"]],
        "limits": {name: asdict(spec) for name, spec in found["limits"].items()},
        "objectives": [
            {**offer(each), "is_built_in": name in BUILT_IN, "is_offered": name in found["offered"]}
            for name, each in sorted(found["objectives"].items())
        ],
    }


def choice(info: SuggesterInfo) -> dict[str, Any]:
    """A suggester or an early-stopping rule."""
    options = {name: asdict(spec) for name, spec in info.options.items()}
    return {"name": info.name, "summary": info.summary, "options": options}


def token(value: Token) -> dict[str, Any]:
    """A token, without its secret."""
    return {
        "id": value.id,
        "name": value.name,
        "role": value.role,
        "prefix": value.prefix,
        "created_at": instant(value.created_at),
        "expires_at": instant(value.expires_at),
        "revoked_at": instant(value.revoked_at),
        "last_used_at": instant(value.last_used_at),
    }


def audit_entry(value: AuditEntry) -> dict[str, Any]:
    """An entry of the audit log."""
    return {
        "id": value.id,
        "occurred_at": instant(value.occurred_at),
        "token_id": value.token_id,
        "request_id": value.request_id,
        "action": value.action,
        "target_id": value.target_id,
        "data": dict(value.data),
    }


def session(caller: Caller, signed_in: SignedIn | None) -> dict[str, Any]:
    """Who calls, and the CSRF token when that is by a session."""
    return {
        "token_id": caller.token_id,
        "role": caller.role,
        "csrf_token": signed_in.session.csrf_token if signed_in else None,
        "expires_at": instant(signed_in.session.expires_at) if signed_in else None,
        "token_expires_at": instant(caller.ends_at) if caller.ends_at else None,
    }


def event(value: Event) -> dict[str, Any]:
    """An event, the same in the stream and in the long poll."""
    return {
        "cursor": value.cursor,
        "study_id": value.study_id,
        "seq": value.seq,
        "kind": value.kind,
        "trial_id": value.trial_id,
        "data": dict(value.data),
        "occurred_at": instant(value.occurred_at),
        "token_id": value.token_id,
    }
