"""A scripted worker: plays the protocol step by step, and tries again until it is answered."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from .record import Ack, Record, mark

GIVE_UP_S = 100.0
"""How long one call may go unanswered on a busy machine."""
CLAIM_S = 5.0


class Stale(Exception):
    """The lease is no longer the trial's current one, or its study has ended."""


class Client:
    """Speaks to the service as a worker of one slot.

    Args:
        url: of the service, asked anew for each try.
        record: where acknowledged writes go.
        recover: called when a call was not answered: starts a service that has died.
    """

    def __init__(
        self, url: Callable[[], str], record: Record, recover: Callable[[], None] = lambda: None
    ) -> None:
        self._url = url
        self._record = record
        self._recover = recover
        self.http = httpx.Client(timeout=40.0)
        self.worker_id = ""

    def with_record(self, record: Record) -> Client:
        """The same worker, with another record for another study."""
        twin = Client(self._url, record, self._recover)
        twin.http.close()
        twin.http, twin.worker_id = self.http, self.worker_id
        return twin

    def call(self, method: str, path: str, body: Any = None, *, keyed: bool = False) -> Any:
        """One call, under one idempotency key, until it has an answer."""
        headers = {"Idempotency-Key": uuid.uuid4().hex} if keyed else {}
        return self.ask(method, path, json=body, headers=headers).json()

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Sends a request until it has an answer."""
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            if (answer := self.attempt(method, path, **request)) is not None:
                return answer
        raise AssertionError(f"{method} {path} was never answered")

    def attempt(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        """Sends a request once; None when it had no answer."""
        try:
            answer = self.http.request(method, self._url() + path, **request)
        except httpx.TransportError:
            self._recover()
            return None
        if answer.status_code == 503 or _says(answer, "idempotency-in-progress"):
            self._recover()
            return None
        if _says(answer, "stale-lease"):
            raise Stale(answer.text)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def create(self, definition: dict[str, Any]) -> str:
        study_id = str(self.call("POST", "/v1/studies", definition, keyed=True)["id"])
        self.ack("create", study_id, name=definition["name"])
        return study_id

    def stop(self, study_id: str) -> None:
        self.call("POST", f"/v1/studies/{study_id}:stop", keyed=True)
        self.ack("stop", study_id)

    def study(self, study_id: str) -> Any:
        return self.call("GET", f"/v1/studies/{study_id}")

    def register(self, objective: str = "function") -> None:
        about = {
            "name": f"scripted-{uuid.uuid4().hex[:8]}",
            "boot_id": uuid.uuid4().hex,
            "devices": [{"index": 0, "kind": "cpu"}],
            "objectives": [{"name": objective, "steps": "moments"}],
            "slots": 1,
        }
        self.worker_id = self.call("POST", "/v1/workers", about)["id"]

    def claim(self, wait_s: float = CLAIM_S) -> Any:
        """A lease, or None when the wait ran out."""
        body = {"worker_id": self.worker_id, "max_leases": 1, "wait_s": wait_s}
        leases = self.call("POST", "/v1/leases:claim", body, keyed=True)["leases"]
        if not leases:
            return None
        told = leases[0]["checkpoint"]
        self.ack(
            "claim",
            leases[0]["lease_id"],
            trial_id=leases[0]["trial"]["id"],
            checkpoint_id=told and told["id"],
        )
        return leases[0]

    def must_claim(self, study_id: str) -> Any:
        """A lease; there has to be one as long as the study is active."""
        while self.study(study_id)["state"] == "active":
            if (lease := self.claim()) is not None:
                return lease
        raise AssertionError("the study ended before its time")

    def beat(self, lease: Any) -> None:
        answer = self.call("POST", "/v1/leases:heartbeat", {"leases": [_named(lease)]})["leases"][0]
        if answer["directive"] == "abort":
            raise Stale(str(answer))
        self.ack("beat", lease["lease_id"], expires_at=answer["expires_at"])

    def report(self, lease: Any, seq: int, *steps: int) -> None:
        value = mark(lease["lease_id"])
        points = [{"step": step, "values": {"value": value}} for step in steps]
        body = {**_named(lease), "seq": seq, "points": points}
        self.call("POST", f"/v1/trials/{lease['trial']['id']}/measurements", body)
        self.ack("report", lease["lease_id"], seq=seq, steps=list(steps))

    def complete(self, lease: Any) -> None:
        value = mark(lease["lease_id"])
        body = {**_named(lease), "state": "completed", "values": {"value": value}}
        self.call("POST", f"/v1/trials/{lease['trial']['id']}:complete", body)
        self.ack("complete", lease["lease_id"], value=value)

    def fail(self, lease: Any) -> None:
        body = {**_named(lease), "kind": "user_error", "message": "as the script says"}
        self.call("POST", f"/v1/trials/{lease['trial']['id']}:fail", body)
        self.ack("fail", lease["lease_id"])

    def release(self, lease: Any) -> None:
        self.call("POST", f"/v1/leases/{lease['lease_id']}:release", {"reason": "scripted"})
        self.ack("release", lease["lease_id"])

    def pause(self, lease: Any) -> None:
        """Gives back the lease of a trial that was told to pause."""
        self.call("POST", f"/v1/leases/{lease['lease_id']}:release", {"reason": "paused"})
        self.ack("pause", lease["lease_id"])

    def cancel(self, lease: Any) -> None:
        """Cancels a trial, as a person does."""
        self.call("POST", f"/v1/trials/{lease['trial']['id']}:cancel", keyed=True)
        self.ack("cancel", lease["lease_id"])

    def finish(self, study_id: str) -> None:
        """Runs trials until the study has ended."""
        deadline = time.monotonic() + GIVE_UP_S
        while self.study(study_id)["state"] in ("active", "paused", "stopping"):
            assert time.monotonic() < deadline, f"{self.study(study_id)} does not end"
            lease = self.claim(wait_s=1.0)
            if lease is None:
                continue
            try:
                self.report(lease, 0, 1, 2)
                self.complete(lease)
            except Stale:
                continue  # it was slow and lost the lease: the trial comes round again

    def close(self) -> None:
        self.http.close()

    def ack(self, what: str, its_id: str, **data: Any) -> None:
        """Notes a write that was answered with a success."""
        self._record.acks.append(Ack(what=what, id=its_id, data=data))


def _named(lease: Any) -> dict[str, Any]:
    return {"lease_id": lease["lease_id"]}


def _says(answer: httpx.Response, code: str) -> bool:
    return answer.status_code == 409 and answer.json().get("code") == code
