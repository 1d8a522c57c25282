"""The service's calls by name, as requests: nothing here sends anything.

A function returns a `Request`; one that takes several requests is a generator of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from .errors import ApiError, NotFound
from .exchange import Call, Item, Request, quoted

PAGE_SIZE = 500

ASK_S = 25.0
"""How long a script waits for a trial in one call."""
CLAIM_SLACK_S = 60.0
"""Beyond its wait, how long a claim may take: a fit runs when no other trial does."""
FIT_S = 90.0
"""How long an answer may take that needs a fit, which may have to wait for another one."""
BEAT_S = 10.0
"""How long a beat may take: the next one comes anyway."""


def get_meta() -> Request:
    """Versions of the service, and how long its leases last."""
    return Request("GET", "/v1/meta")


def create_study(definition: Mapping[str, Any], *, dry_run: bool = False) -> Request:
    """Creates a study; with `dry_run` only checks it."""
    params = {"dry_run": "true"} if dry_run else {}
    return Request("POST", "/v1/studies", body=definition, params=params)


def put_study(name: str, definition: Mapping[str, Any]) -> Request:
    """The study of that name, created when there is none."""
    return Request("PUT", f"/v1/studies/by-name/{quoted(name)}", body=definition)


def get_study(study_id: str) -> Request:
    """A study."""
    return Request("GET", f"/v1/studies/{quoted(study_id)}")


def find_study(id_or_name: str) -> Call[Any]:
    """A study by its id or name.

    Raises:
        NotFound: there is none; it says which of the newest may be meant, if a name is near.
    """
    if id_or_name.startswith("st_"):
        try:
            return (yield get_study(id_or_name))
        except ApiError as error:
            # A name may begin like an id.
            if error.status not in (404, 422):
                raise
    token: str | None = None
    while True:
        params = {"page_size": PAGE_SIZE, "name_prefix": id_or_name, "page_token": token}
        page = yield Request("GET", "/v1/studies", params=params)
        for study in page["studies"]:
            if study["name"] == id_or_name:
                return (yield get_study(study["id"]))
        token = page.get("next_page_token")
        if not token:
            break
    detail = f"there is no study {id_or_name!r}"
    newest = yield Request("GET", "/v1/studies", params={"page_size": PAGE_SIZE})
    names = [str(study["name"]) for study in newest["studies"]]
    if near := get_close_matches(id_or_name, names, n=1):
        detail += f", did you mean {near[0]!r}?"
    raise NotFound(404, {"code": "not-found", "detail": detail})


def pages(path: str, name: str, filters: Mapping[str, Any]) -> Call[None]:
    """Hands over the items of all pages of a list, `name` being where an answer has them."""
    token: str | None = None
    while True:
        query = {"page_size": PAGE_SIZE, **filters, "page_token": token}
        page = yield Request("GET", path, params=query)
        for each in page[name]:
            yield Item(each)
        token = page.get("next_page_token")
        if not token:
            return


def list_studies(filters: Mapping[str, Any]) -> Call[None]:
    """Hands over the studies that fit the filters, newest first."""
    return pages("/v1/studies", "studies", filters)


def list_trials(study_id: str, filters: Mapping[str, Any]) -> Call[None]:
    """Hands over the trials of a study that fit the filters."""
    return pages(f"/v1/studies/{quoted(study_id)}/trials", "trials", filters)


def study_action(study_id: str, verb: str) -> Request:
    """pause, resume, stop, cancel or undelete a study."""
    return Request("POST", f"/v1/studies/{quoted(study_id)}:{verb}")


def change_study(study_id: str, changes: Mapping[str, Any]) -> Request:
    """Changes limits, priority, labels, description or resources."""
    path = f"/v1/studies/{quoted(study_id)}"
    return Request("PATCH", path, body=changes, headers={"If-Match": "*"})


def ranking(study_id: str, k: int, by: str) -> Request:
    """The `k` best trials, and the model that ranks them if one does."""
    params = {"k": k, "by": None if by == "observed" else by}
    path = f"/v1/studies/{quoted(study_id)}/best"
    return Request("GET", path, params=params, timeout_s=FIT_S)


def pareto(study_id: str) -> Request:
    """The trials that no other beats in every objective."""
    return Request("GET", f"/v1/studies/{quoted(study_id)}/pareto")


def analysis(study_id: str, kind: str, params: Mapping[str, Any]) -> Request:
    """What a plot of the study shows, as columns."""
    path = f"/v1/studies/{quoted(study_id)}/analysis/{quoted(kind)}"
    return Request("GET", path, params=params, timeout_s=FIT_S)


def events(after: str | None, wait_s: float) -> Request:
    """What has happened to all studies since `after`; waits for the first."""
    params = {"after": after, "wait_s": wait_s}
    return Request("GET", "/v1/events", params=params, timeout_s=wait_s + CLAIM_SLACK_S)


def enqueue(study_id: str, trials: Sequence[Mapping[str, Any]]) -> Request:
    """Adds points to try, or imports finished trials; all or none."""
    path = f"/v1/studies/{quoted(study_id)}/trials"
    return Request("POST", path, body={"trials": list(trials)})


def annotate(trial_id: str, note: str) -> Request:
    """Writes a note on a trial, in place of the one that it has."""
    path = f"/v1/trials/{quoted(trial_id)}"
    return Request("PATCH", path, body={"note": note}, headers={"If-Match": "*"})


def get_trial(trial_id: str) -> Request:
    """A trial with its attempts."""
    return Request("GET", f"/v1/trials/{quoted(trial_id)}")


def suggest(
    study_id: str, *, count: int, client_id: str | None, wait_s: float, lease_s: float
) -> Request:
    """Trials to evaluate oneself."""
    body = {"count": count, "client_id": client_id, "wait_s": wait_s, "lease_s": lease_s}
    return Request(
        "POST",
        f"/v1/studies/{quoted(study_id)}:suggest",
        body={k: v for k, v in body.items() if v is not None},
        timeout_s=wait_s + CLAIM_SLACK_S,
    )


def heartbeat(leases: Sequence[Mapping[str, Any]], worker_id: str | None) -> Request:
    """Renews leases. Never tried again: the next is."""
    body: dict[str, Any] = {"leases": list(leases)}
    if worker_id is not None:
        body["worker_id"] = worker_id
    return Request("POST", "/v1/leases:heartbeat", body=body, timeout_s=BEAT_S, retry_s=0)


def report(
    trial_id: str,
    lease_id: str,
    seq: int,
    points: Sequence[Mapping[str, Any]],
    retry_s: float | None = None,
) -> Request:
    """Sends measurements; the answer has a directive."""
    body = {"lease_id": lease_id, "seq": seq, "points": list(points)}
    path = f"/v1/trials/{quoted(trial_id)}/measurements"
    return Request("POST", path, body=body, retry_s=retry_s)


def complete(
    trial_id: str,
    lease_id: str,
    state: str,
    values: Mapping[str, float],
    step: int | None = None,
    usage: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    retry_s: float | None = None,
) -> Request:
    """Ends a trial with its values."""
    optional: dict[str, Any] = {"step": step, "usage": usage, "data": data}
    body: dict[str, Any] = {"lease_id": lease_id, "state": state, "values": dict(values)}
    body.update({k: v for k, v in optional.items() if v is not None})
    path = f"/v1/trials/{quoted(trial_id)}:complete"
    return Request("POST", path, body=body, retry_s=retry_s)


def fail(
    trial_id: str,
    lease_id: str,
    kind: str,
    message: str = "",
    traceback: str = "",
    retry_s: float | None = None,
) -> Request:
    """Reports a failed attempt; the answer says whether the trial will run again."""
    body = {"lease_id": lease_id, "kind": kind, "message": message, "traceback": traceback}
    return Request("POST", f"/v1/trials/{quoted(trial_id)}:fail", body=body, retry_s=retry_s)


def bringing(
    ending: Request,
    batch: tuple[int, Sequence[Mapping[str, Any]]] | None,
    then: Mapping[str, Any] | None,
) -> Request:
    """The end of a trial that brings its last measurements along, and asks for the next trial.

    Args:
        ending: what `complete` or `fail` gives.
        batch: number and points of a report; None: nothing waits.
        then: body of the ask; None: nothing is asked for.
    """
    more: dict[str, Any] = {}
    if batch is not None:
        more["measurements"] = {"seq": batch[0], "points": list(batch[1])}
    if then is not None:
        more["next"] = dict(then)
    timeout_s = ending.timeout_s if then is None else CLAIM_SLACK_S
    return replace(ending, body={**ending.body, **more}, timeout_s=timeout_s) if more else ending


def release(lease_id: str, reason: str, retry_s: float | None = None) -> Request:
    """Gives a trial back."""
    path = f"/v1/leases/{quoted(lease_id)}:release"
    return Request("POST", path, body={"reason": reason}, retry_s=retry_s)
