"""Links of the OpenAPI page: which calls can follow an answer, and where their ids stand in it.

A call is linked by the names of its path parameters, so that a new route under a study, trial,
lease, worker or token is linked without being named here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_BODY = "$response.body#"
_TRIAL = {"trial_id": f"{_BODY}/id"}

_SOURCES: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "create_study": (201, {"study_id": f"{_BODY}/id"}),
    "put_study": (201, {"study_id": f"{_BODY}/id"}),
    "list_studies": (200, {"study_id": f"{_BODY}/studies/0/id"}),
    "enqueue_trials": (201, {"trial_id": f"{_BODY}/trials/0/id"}),
    "list_trials": (200, {"trial_id": f"{_BODY}/trials/0/id"}),
    "suggest_trials": (
        200,
        {"trial_id": f"{_BODY}/trials/0/id", "lease_id": f"{_BODY}/trials/0/lease_id"},
    ),
    "claim_leases": (
        200,
        {"trial_id": f"{_BODY}/leases/0/trial/id", "lease_id": f"{_BODY}/leases/0/lease_id"},
    ),
    "match_trial": (200, _TRIAL),
    "complete_trial": (200, _TRIAL),
    "fail_trial": (200, _TRIAL),
    "register_worker": (201, {"worker_id": f"{_BODY}/id"}),
    "create_token": (201, {"token_id": f"{_BODY}/id"}),
    "create_checkpoint": (201, {"checkpoint_id": f"{_BODY}/id"}),
}
"""By operation that makes or finds something: the status, and where each id stands in the body."""

_IN_BODY = frozenset({"lease_id", "worker_id"})
"""Ids that calls also take as fields of their body."""


def add_links(page: dict[str, Any]) -> None:
    """Writes the links into an OpenAPI document.

    Args:
        page: the document; its operations are changed in place.
    """
    operations = [entry for entries in page["paths"].values() for entry in entries.values()]
    for entry in operations:
        source = _SOURCES.get(entry["operationId"])
        if source is not None:
            status, found = source
            entry["responses"][str(status)]["links"] = dict(_links(page, operations, found))


def _links(
    page: dict[str, Any], operations: list[dict[str, Any]], found: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in operations:
        needed = [p["name"] for p in entry.get("parameters", ()) if p.get("in") == "path"]
        given = {name: found[name] for name in needed if name in found}
        body = {name: found[name] for name in _body_ids(page, entry) if name in found}
        if set(needed) != set(given) or not (given or body):
            continue
        link: dict[str, Any] = {"operationId": entry["operationId"]}
        if given:
            link["parameters"] = given
        if body:
            link["requestBody"] = body
        yield entry["operationId"], link


def _body_ids(page: dict[str, Any], entry: dict[str, Any]) -> frozenset[str]:
    media = entry.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return frozenset()
    name = media["schema"]["$ref"].rpartition("/")[2]
    return _IN_BODY & set(page["components"]["schemas"][name].get("properties", {}))
