"""The service's values as JSON objects: the one place that knows how each looks on the wire."""

from __future__ import annotations

from .leases import beat, budget, claim, reported, suggested, upload
from .people import audit_entry, session, token
from .studies import analysis, delivery, event, study, study_etag, summary
from .trials import (
    attempt,
    expected_trial,
    failure,
    measurement,
    trial,
    trial_detail,
    trial_etag,
    trial_log,
    winners,
)
from .workers import catalog, choice, held_lease, offer, worker

__all__ = [
    "analysis",
    "attempt",
    "audit_entry",
    "beat",
    "budget",
    "catalog",
    "choice",
    "claim",
    "delivery",
    "event",
    "expected_trial",
    "failure",
    "held_lease",
    "measurement",
    "offer",
    "reported",
    "session",
    "study",
    "study_etag",
    "suggested",
    "summary",
    "token",
    "trial",
    "trial_detail",
    "trial_etag",
    "trial_log",
    "upload",
    "winners",
    "worker",
]
