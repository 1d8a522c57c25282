"""A service that says what a test tells it to: just the calls of the lease protocol, over real
HTTP.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

WAIT_S = 60.0
"""How long a test waits for something before it fails."""


@dataclass
class FakeService:
    """What the service knows and answers; tests change it while it runs.

    Attributes:
        waiting: leases to hand out.
        writes: (what, body) of every write under a lease that was answered, in order.
        directives: by lease id, for beats and reports.
        stale: lease ids that are answered 409 stale-lease.
        refusals: what -> (status, code) for writes that are refused; `faults` say why.
        is_down: breaks every connection without an answer.
        instead: (status, type, content) that something in between answers in the service's place.
        open_work: what a claim says when it brings nothing.
        order: registrations and writes, in the order in which they came.
        verdicts: (lease id, step) -> directive and new end of the budget, once that step is
            reported.
        contents: by checkpoint id, what was uploaded.
        lost: writes that are taken in, but whose next answer gets lost on the way.
        away: writes that break the connection; `dropped` counts them.
        may_pause: whether a release with the reason paused is legal.
        equal: lease ids whose question for equal work is answered with a result.
    """

    heartbeat_s: float = 0.1
    waiting: list[dict[str, Any]] = field(default_factory=list)
    writes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    registrations: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    directives: dict[str, str] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    faults: list[dict[str, str]] = field(default_factory=list)
    is_down: bool = False
    instead: tuple[int, str, bytes] | None = None
    open_work: bool = True
    drains: list[dict[str, Any]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    worker_id: str = "wk_1"
    verdicts: dict[tuple[str, int], tuple[str, int | None]] = field(default_factory=dict)
    budgets: dict[str, dict[str, int | None]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    dropped: int = 0
    may_pause: bool = True
    equal: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        service = self

        class Handler(_Handler):
            fake = service

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeService:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.change(lambda: setattr(self, "open_work", False))
        self._server.shutdown()
        self._server.server_close()

    def change(self, how: Callable[[], object]) -> None:
        """Changes something and wakes whoever waits."""
        with self.changed:
            how()
            self.changed.notify_all()

    def add(
        self,
        lease_id: str,
        objective: str = "function",
        *,
        params: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        limit_s: float | None = None,
        data_digest: str | None = None,
        to_step: int | None = None,
        checkpoint: tuple[int, bytes] | None = None,
        needs: int | None = None,
        more_ahead: bool = False,
    ) -> None:
        """A trial to hand out; `checkpoint` is the step and the content that it goes on from."""
        resume = None if checkpoint is None else self._resume(*checkpoint)
        self.budgets[lease_id] = {"from_step": resume["step"] if resume else 0, "to_step": to_step}
        lease = {
            "lease_id": lease_id,
            "expires_at": "2030-01-01T00:00:00Z",
            "trial": {
                "id": f"tr_{lease_id}",
                "number": 1,
                "params": params or {"x0": 3.0},
                "min_memory_bytes": needs,
            },
            "objective": {
                "name": objective,
                "options": dict(options or {}),
                "data_digest": data_digest,
            },
            "budget": self.budgets[lease_id],
            "max_trial_duration_s": limit_s,
            "checkpoint": resume,
            "fuse_group": None,
            "more_ahead": more_ahead,
        }
        self.change(lambda: self.waiting.append(lease))

    def _resume(self, step: int, content: bytes) -> dict[str, Any]:
        checkpoint_id = f"ck_{len(self.contents) + 1}"
        self.contents[checkpoint_id] = content
        return {
            "id": checkpoint_id,
            "url": f"/v1/checkpoints/{checkpoint_id}/content",
            "step": step,
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    def went_down(self) -> bool:
        """Whether the service is down by now."""
        return self.is_down

    def wait_for(self, predicate: Callable[[], object]) -> None:
        """Waits until something is so."""
        with self.changed:
            assert self.changed.wait_for(predicate, timeout=WAIT_S), "waited in vain"

    def ends(self) -> list[tuple[str, dict[str, Any]]]:
        """The writes that ended a lease."""
        return [write for write in self.writes if write[0] in ("complete", "fail", "release")]

    def reports(self) -> list[dict[str, Any]]:
        """The reports."""
        return [body for what, body in self.writes if what == "measurements"]

    def take_content(self, path: str, content: bytes) -> tuple[int, Any]:
        """Takes a checkpoint's content, which these tests send in one piece."""
        checkpoint_id = path.split("/")[3]
        self.contents[checkpoint_id] = content
        return 200, {"id": checkpoint_id, "received_bytes": len(content)}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON answer."""
        if path == "/healthz":
            return 200, {"status": "ok"}
        if path == "/v1/workers":
            self.change(lambda: self.registrations.append(body))
            self.order.append(f"register-{len(self.registrations)}")
            return 201, {"id": self.worker_id, "lease_ttl_s": 60, "heartbeat_s": self.heartbeat_s}
        if method == "PATCH":
            self.change(lambda: self.drains.append(body))
            return 200, {}
        if body.get("worker_id", self.worker_id) != self.worker_id:
            return 404, {"code": "not-found", "detail": "no such worker"}
        if path == "/v1/leases:claim":
            return 200, self._claim(body)
        if path == "/v1/leases:heartbeat":
            return 200, self._beat(body)
        return self._write(path, body)

    def _claim(self, body: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + body.get("wait_s", 0.0)
        with self.changed:
            self.claims.append(body)
            self.changed.notify_all()
            while not self.waiting and self.open_work and not self.is_down:
                if not self.changed.wait(max(0.0, deadline - time.monotonic())):
                    break
            taken = self.waiting[: body["max_leases"]]
            del self.waiting[: len(taken)]
            return {"leases": taken, "open_work": bool(taken) or self.open_work}

    def _beat(self, body: dict[str, Any]) -> dict[str, Any]:
        self.change(lambda: self.beats.append(body))
        answers = []
        for beat in body["leases"]:
            lease_id = beat["lease_id"]
            default = "abort" if lease_id in self.stale else "continue"
            directive = self.directives.get(lease_id, default)
            answers.append({"lease_id": lease_id, "expires_at": None, "directive": directive})
        return {"leases": answers}

    def _write(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        what = _what(path)
        lease_id = body.get("lease_id") or path.split("/")[3].split(":")[0]
        if lease_id in self.stale:
            return 409, {"code": "stale-lease", "detail": "stale", "action": "abort"}
        if what in self.refusals:
            status, code = self.refusals[what]
            return status, {"code": code, "detail": "refused", "errors": self.faults}
        if body.get("reason") == "paused" and not self.may_pause:
            return 409, {"code": "illegal-transition", "detail": "not at a rung"}
        self.order.append(what)
        self.change(lambda: self.writes.append((what, {**body, "path": path})))
        if what == "measurements":
            self._judge(lease_id, body["points"][-1]["step"])
        directive = self.directives.get(lease_id, "continue")
        return 200, {
            "id": f"ck_{len(self.contents) + 1}",
            "received_bytes": 0,
            "directive": directive,
            "budget": self.budgets.get(lease_id),
            "accepted": 1,
            "duplicates": 0,
            "state": "completed",
            "answered": what == "match" and lease_id in self.equal,
        }

    def _judge(self, lease_id: str, step: int) -> None:
        if (verdict := self.verdicts.get((lease_id, step))) is not None:
            self.directives[lease_id] = verdict[0]
            self.budgets[lease_id] = {**self.budgets[lease_id], "to_step": verdict[1]}

    def is_away(self, path: str) -> bool:
        """Whether a call reaches nobody."""
        if self.is_down:
            return True
        if _what(path) not in self.away:
            return False
        self.change(lambda: setattr(self, "dropped", self.dropped + 1))
        return True

    def loses(self, path: str) -> bool:
        """Whether the answer to a call gets lost now; only once each."""
        what = _what(path)
        is_lost = what in self.lost
        self.lost.discard(what)
        return is_lost


def _what(path: str) -> str:
    """Name of a write: its verb, or what is posted."""
    return path.rsplit(":", 1)[-1] if ":" in path else path.rsplit("/", 1)[-1]


class _Handler(BaseHTTPRequestHandler):
    fake: FakeService
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(size)
        if self.fake.is_away(self.path):
            self.close_connection = True
            return
        if self.fake.instead is not None:
            status, kind, content = self.fake.instead
            self.fake.change(lambda: setattr(self.fake, "dropped", self.fake.dropped + 1))
            self._send(status, content, kind)
            return
        if self.command == "GET" and self.path.endswith("/content"):
            self._send(200, self.fake.contents[self.path.split("/")[3]], "application/octet-stream")
            return
        if self.command == "PUT":
            status, answer = self.fake.take_content(self.path, sent)
        else:
            status, answer = self.fake.answer(self.command, self.path, json.loads(sent or b"{}"))
        if self.fake.went_down() or self.fake.loses(self.path):
            self.close_connection = True
            return
        self._send(status, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_PUT = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
