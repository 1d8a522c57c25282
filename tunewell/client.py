"""The client of a service: its calls by name. Safe to use from several threads.

Answers are plain JSON values; `tunewell.models` has types to read them with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .connection import DEFAULT_URL, Connection
from .errors import ApiError, NotFound
from .exchange import quoted, sendable

__all__ = ["DEFAULT_URL", "Client", "sendable"]

PAGE_SIZE = 500

_CLAIM_SLACK_S = 60.0
"""Beyond its wait, how long a claim may take: a fit runs when no other trial does."""
_FIT_S = 90.0
"""How long an answer may take that needs a fit, which may have to wait for another one."""
_REPLAY_S = 600.0
"""How long a page of a replay may take: a replay of somebody else's comes first."""


class Client(Connection):
    """A connection to one service; see `Connection` for the arguments."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Studies -------------------------------------------------------------------------------------

    def create_study(self, definition: Mapping[str, Any], *, dry_run: bool = False) -> Any:
        """Creates a study; with `dry_run` only checks it."""
        params = {"dry_run": "true"} if dry_run else None
        return self.request("POST", "/v1/studies", body=definition, params=params)

    def put_study(self, name: str, definition: Mapping[str, Any]) -> Any:
        """The study of that name, created when there is none."""
        return self.request("PUT", f"/v1/studies/by-name/{quoted(name)}", body=definition)

    def get_study(self, study_id: str) -> Any:
        """A study."""
        return self.request("GET", f"/v1/studies/{study_id}")

    def list_studies(self, **filters: Any) -> Iterator[Any]:
        """All studies that fit the filters, newest first."""
        return self._pages("/v1/studies", "studies", filters)

    def find_study(self, id_or_name: str) -> Any:
        """A study by its id or name.

        Raises:
            NotFound: there is none.
        """
        if id_or_name.startswith("st_"):
            try:
                return self.get_study(quoted(id_or_name))
            except ApiError as error:
                # A name may begin like an id.
                if error.status not in (404, 422):
                    raise
        for study in self.list_studies(name_prefix=id_or_name):
            if study["name"] == id_or_name:
                return self.get_study(study["id"])
        raise NotFound(404, {"code": "not-found", "detail": f"there is no study {id_or_name!r}"})

    def study_action(self, study_id: str, verb: str) -> Any:
        """pause, resume, stop, cancel or undelete a study."""
        return self.request("POST", f"/v1/studies/{study_id}:{verb}")

    def delete_study(self, study_id: str) -> Any:
        """Deletes a study; it can be restored for a time."""
        return self.request("DELETE", f"/v1/studies/{study_id}")

    def best(self, study_id: str, k: int = 1, by: str = "observed") -> list[Any]:
        """The `k` best trials: by observed value, or by `posterior_mean`."""
        return list(self.ranking(study_id, k, by)["trials"])

    def ranking(self, study_id: str, k: int, by: str) -> Any:
        """The `k` best trials, and the model that ranks them if one does."""
        params = {"k": k, "by": None if by == "observed" else by}
        path = f"/v1/studies/{study_id}/best"
        return self.request("GET", path, params=params, timeout_s=_FIT_S)

    def replay(self, study_id: str, *, force: bool = False) -> Iterator[Any]:
        """Derives the suggested points of a study again, a page of verdicts at a time."""
        after: int | None = 0
        while after is not None:
            page = self.request(
                "GET",
                f"/v1/studies/{study_id}/replay",
                params={"after": after, "force": "true" if force else None},
                timeout_s=_REPLAY_S,
            )
            yield page
            after = page["next_after"]

    def export(self, study_id: str, format: str) -> Iterator[bytes]:
        """The trials of a study as `csv` or `jsonl`, as they come."""
        return self.stream_bytes(f"/v1/studies/{study_id}/export", {"format": format})

    # Trials --------------------------------------------------------------------------------------

    def trials(self, study_id: str, **filters: Any) -> Iterator[Any]:
        """All trials of a study that fit the filters."""
        return self._pages(f"/v1/studies/{study_id}/trials", "trials", filters)

    def get_trial(self, trial_id: str) -> Any:
        """A trial with its attempts."""
        return self.request("GET", f"/v1/trials/{quoted(trial_id)}")

    def get_logs(self, trial_id: str, lease_id: str | None = None) -> Any:
        """What the newest attempt at a trial has printed, or the one named."""
        path = f"/v1/trials/{quoted(trial_id)}/logs"
        return self.request("GET", path + (f"?lease_id={quoted(lease_id)}" if lease_id else ""))

    def trial_action(self, trial_id: str, verb: str) -> Any:
        """cancel or retry a trial."""
        return self.request("POST", f"/v1/trials/{quoted(trial_id)}:{verb}")

    def enqueue(self, study_id: str, trials: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Adds points to try, or imports finished trials; all or none."""
        body = {"trials": list(trials)}
        return list(self.request("POST", f"/v1/studies/{study_id}/trials", body=body)["trials"])

    def suggest(
        self,
        study_id: str,
        *,
        count: int = 1,
        client_id: str | None = None,
        wait_s: float = 25.0,
        lease_s: float = 600.0,
    ) -> Any:
        """Trials to evaluate oneself."""
        body = {"count": count, "client_id": client_id, "wait_s": wait_s, "lease_s": lease_s}
        return self.request(
            "POST",
            f"/v1/studies/{study_id}:suggest",
            body={k: v for k, v in body.items() if v is not None},
            timeout_s=wait_s + _CLAIM_SLACK_S,
        )

    # Workers and leases --------------------------------------------------------------------------

    def register_worker(self, body: Mapping[str, Any]) -> Any:
        """Registers a worker; the same name keeps its id."""
        return self.request("POST", "/v1/workers", body=body)

    def list_workers(self) -> Iterator[Any]:
        """All workers."""
        return self._pages("/v1/workers", "workers", {})

    def drain_worker(self, worker_id: str, *, draining: bool = True) -> Any:
        """Has a worker take no more trials."""
        return self.request("PATCH", f"/v1/workers/{worker_id}", body={"draining": draining})

    def claim(
        self,
        worker_id: str,
        max_leases: int,
        wait_s: float,
        devices_free: Sequence[Mapping[str, Any]] | None = None,
    ) -> Any:
        """Trials for a worker; waits up to `wait_s` seconds for the first."""
        body: dict[str, Any] = {
            "worker_id": worker_id,
            "max_leases": max_leases,
            "wait_s": wait_s,
        }
        if devices_free is not None:
            body["devices_free"] = list(devices_free)
        timeout_s = wait_s + _CLAIM_SLACK_S
        return self.request("POST", "/v1/leases:claim", body=body, timeout_s=timeout_s, retry_s=0)

    def heartbeat(
        self, leases: Sequence[Mapping[str, Any]], worker_id: str | None = None
    ) -> list[Any]:
        """Renews leases; an entry for each with its directive. Never tried again: the next is."""
        body: dict[str, Any] = {"leases": list(leases)}
        if worker_id is not None:
            body["worker_id"] = worker_id
        answer = self.request("POST", "/v1/leases:heartbeat", body=body, timeout_s=10.0, retry_s=0)
        return list(answer["leases"])

    def report(
        self,
        trial_id: str,
        lease_id: str,
        seq: int,
        points: Sequence[Mapping[str, Any]],
        *,
        retry_s: float | None = None,
    ) -> Any:
        """Sends measurements; the answer has a directive."""
        body = {"lease_id": lease_id, "seq": seq, "points": list(points)}
        path = f"/v1/trials/{trial_id}/measurements"
        return self.request("POST", path, body=body, retry_s=retry_s)

    def complete(
        self,
        trial_id: str,
        lease_id: str,
        state: str,
        values: Mapping[str, float],
        step: int | None = None,
        usage: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        retry_s: float | None = None,
    ) -> Any:
        """Ends a trial with its values."""
        optional: dict[str, Any] = {"step": step, "usage": usage, "data": data}
        body: dict[str, Any] = {"lease_id": lease_id, "state": state, "values": dict(values)}
        body.update({k: v for k, v in optional.items() if v is not None})
        return self.request("POST", f"/v1/trials/{trial_id}:complete", body=body, retry_s=retry_s)

    def fail(
        self,
        trial_id: str,
        lease_id: str,
        kind: str,
        message: str = "",
        traceback: str = "",
        *,
        retry_s: float | None = None,
    ) -> Any:
        """Reports a failed attempt; the answer says whether the trial will run again."""
        body = {"lease_id": lease_id, "kind": kind, "message": message, "traceback": traceback}
        return self.request("POST", f"/v1/trials/{trial_id}:fail", body=body, retry_s=retry_s)

    def release(self, lease_id: str, reason: str, *, retry_s: float | None = None) -> Any:
        """Gives a trial back."""
        body = {"reason": reason}
        return self.request("POST", f"/v1/leases/{lease_id}:release", body=body, retry_s=retry_s)

    # Tokens and events ---------------------------------------------------------------------------

    def create_token(self, name: str, role: str, expires_in_s: float | None = None) -> Any:
        """Makes a token; its secret is shown this once."""
        body = {"name": name, "role": role}
        more = {} if expires_in_s is None else {"expires_in_s": expires_in_s}
        return self.request("POST", "/v1/tokens", body={**body, **more})

    def list_tokens(self) -> Iterator[Any]:
        """All tokens, without secrets."""
        return self._pages("/v1/tokens", "tokens", {})

    def revoke_token(self, token_id: str) -> Any:
        """Ends a token at once."""
        return self.request("DELETE", f"/v1/tokens/{quoted(token_id)}")

    def stream_events(self, study_id: str, after: int | None = None) -> Iterator[dict[str, Any]]:
        """A study's events as they happen, from `after` on; goes on where it was when it breaks.

        Each event is its data, with `event` (the kind) and `id` (where to go on) added. Ends never
        by itself.

        Raises:
            Unreachable: the service stayed away for `retry_s`.
            ApiError: the service refused, e.g. 404.
        """
        return self.stream_sent_events(f"/v1/studies/{study_id}/events", after)

    def _pages(self, path: str, name: str, filters: Mapping[str, Any]) -> Iterator[Any]:
        token: str | None = None
        while True:
            query = {"page_size": PAGE_SIZE, **filters, "page_token": token}
            page = self.request("GET", path, params=query)
            yield from page[name]
            token = page.get("next_page_token")
            if not token:
                return
