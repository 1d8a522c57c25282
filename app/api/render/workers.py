"""Workers and what can be evaluated as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...domain.catalog import SuggesterInfo
from ...domain.objectives import BUILT_IN
from ...domain.worker import ObjectiveOffer
from ...service.views import HeldLease, WorkerView
from ..answers import instant


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
        "memory_bytes": lease.memory_bytes,
        "utilisation": lease.utilisation,
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
