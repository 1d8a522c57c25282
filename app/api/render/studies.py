"""Studies, what plots are made from, and what happened in them, as JSON objects."""

from __future__ import annotations

from typing import Any

from ...analysis.envelope import Envelope
from ...analysis.table import STATES
from ...domain.definition import definition_to_json
from ...domain.delivery import Delivery
from ...domain.event import Event
from ...service.views import StudySummary, StudyView
from ..answers import instant
from ..etags import etag
from .trials import trial


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
