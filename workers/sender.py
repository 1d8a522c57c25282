"""Sends a lease's records to the service in their order, for as long as it takes.

Only the fence decides whether they count: a lease that is lost is dropped, and the trial under it
is ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunewell.checkpoints import Saved

from . import checkpoints
from .link import ANSWER_S, Away, Link, Pauses, Refused
from .log import Log
from .spool import Record, Spool

LOOK_S = 5.0
"""How long to wait for a record before looking whether the worker closes."""
PAUSED = "paused"
"""Why a trial is given back that was told to pause."""
RELEASE_REASON = "worker-ends"
"""Why a trial is given back otherwise."""
_FOLDERS = {"report": "measurements", "logs": "logs"}
LOG_TRIES = 8
"""Tries for a piece of output at which the service fails; then it is left out: what comes after it
counts more.
"""
MATCH_S = ANSWER_S / 3
"""How long a trial waits to hear whether its work has been done; then it trains."""
REPLAY_TRIES = 5
"""Tries to reach the service for the records of a dead process; the next start tries again."""


class _LockedOut(Exception):
    """The service does not take the token."""


class Sender:
    """Empties one spool.

    Args:
        link: to the service.
        spool: the records.
        log: the worker's lines.
        on_answer: given each report's body and the service's answer to it.
        on_match: told whether a trial that asked has been answered from an equal one.
        on_refused: given a report's body and why the service will not take it.
        on_away: told after each try that nobody answered.
        on_lost: told that the lease is lost.
        before_complete: called before a completed trial is sent.
        before_match: called before equal work is asked for.
    """

    def __init__(
        self,
        link: Link,
        spool: Spool,
        log: Log,
        *,
        on_answer: Callable[[Mapping[str, Any], Mapping[str, Any]], None] = lambda *_: None,
        on_match: Callable[[bool], None] = lambda is_known: None,
        on_refused: Callable[[Mapping[str, Any], str], None] = lambda *_: None,
        on_away: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
        on_locked_out: Callable[[], None] = lambda: None,
        before_complete: Callable[[Mapping[str, Any]], None] = lambda body: None,
        before_match: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._spool = spool
        self._log = log
        self._on_answer = on_answer
        self._on_match = on_match
        self._on_refused = on_refused
        self._on_away = on_away
        self._on_lost = on_lost
        self._on_locked_out = on_locked_out
        self._before_complete = before_complete
        self._before_match = before_match
        self._checkpoint_id: str | None = None
        self._takes_logs = True
        self._takes_matches = True
        self._is_replay = False
        self._n_log_failures = 0

    def run(self, *, until_empty: bool = False) -> bool:
        """Sends until the lease has ended (then the spool is gone), or the link closes or the token
        is refused (it stays, for a worker with the right one).

        Args:
            until_empty: for the spool of a dead process, whose trial will report nothing more: end
                when all is sent, which drops the spool, or when the service stays away.

        Returns:
            Whether the lease is dealt with.
        """
        self._is_replay = until_empty
        pauses = Pauses(self._link)
        n_tries = 0
        while not self._link.closing.is_set():
            record = self._spool.peek(0.0 if until_empty else LOOK_S)
            if record is None and (until_empty or self._spool.is_closed):
                break
            if record is None:
                continue
            try:
                is_last = self._send(record)
            except Away as away:
                if self._gives_up(record, away):
                    self._spool.take()
                    continue
                n_tries += 1
                self._on_away()
                if until_empty and n_tries >= REPLAY_TRIES:
                    break
                pauses.wait()
                continue
            except _LockedOut:
                self._on_locked_out()
                return False
            pauses.reset()
            if is_last:
                self._spool.drop()
                return True
            self._spool.take()
        if until_empty and not self._spool.has_waiting:
            self._spool.drop()
            return True
        return False

    def _gives_up(self, record: Record, away: Away) -> bool:
        """Whether a piece of output is left out because the service fails at it again and again."""
        if record.kind != "logs" or not away.has_failed:
            return False
        self._n_log_failures += 1
        if self._n_log_failures < LOG_TRIES:
            return False
        self._n_log_failures = 0
        self._note_refused(record, str(away))
        return True

    def _send(self, record: Record) -> bool:
        """Sends one record; whether the lease is dealt with."""
        header = self._spool.header
        if record.kind == "logs" and not self._takes_logs:
            return False
        if record.kind == "match":
            return self._ask_equal(record)
        if record.kind == "complete":
            self._before_complete(record.body)
        try:
            if record.kind == "checkpoint":
                self._send_checkpoint(Saved.from_body(record.body))
                return False
            answer = self._link.call("POST", self._path(record), self._body(record))
        except Refused as refusal:
            return self._refused(record, refusal)
        if record.kind == "report":
            self._on_answer(record.body, answer)
        if record.kind == "logs":
            self._n_log_failures = 0
        if not record.is_terminal:
            return False
        self._log("lease_ended", trial_id=header.trial_id, lease_id=header.lease_id, by=record.kind)
        return True

    def _ask_equal(self, record: Record) -> bool:
        """Asks for equal work; whether the lease is dealt with. An outage keeps no trial from being
        trained, nor does a service that does not know the question.
        """
        if self._is_replay:  # it has been trained
            return False
        self._before_match()
        header = self._spool.header
        is_known = False
        try:
            answer = self._link.call("POST", self._path(record), record.body, timeout_s=MATCH_S)
            is_known = bool(answer["answered"])
        except Away as away:
            self._log("match_unanswered", trial_id=header.trial_id, detail=str(away))
        except Refused as refusal:
            self._note_refused(record, str(refusal))
            if refusal.is_locked_out:
                raise _LockedOut from refusal
            self._takes_matches = refusal.status not in (404, 405)
            if refusal.is_lost_lease and self._takes_matches:
                self._on_lost()
                return True
        if is_known:
            ids = {"trial_id": header.trial_id, "lease_id": header.lease_id}
            self._log("lease_ended", **ids, by=record.kind)
        self._on_match(is_known)
        return is_known

    def _send_checkpoint(self, saved: Saved) -> None:
        header = self._spool.header
        sent = checkpoints.send(self._link, header.trial_id, header.lease_id, saved)
        if sent is not None:
            self._checkpoint_id = sent
            saved.path.unlink(missing_ok=True)
            self._log(
                "checkpoint_committed",
                trial_id=header.trial_id,
                lease_id=header.lease_id,
                checkpoint_id=sent,
                step=saved.step,
                size_bytes=saved.size_bytes,
            )

    def _body(self, record: Record) -> Mapping[str, Any]:
        """What is sent; a release names the checkpoint that was committed last. A service that does
        not ask for equal work is not told of it either.
        """
        if record.kind == "complete" and not self._takes_matches:
            return {name: value for name, value in record.body.items() if name != "equivalent"}
        if record.kind == "release" and self._checkpoint_id is not None:
            return {**record.body, "checkpoint_id": self._checkpoint_id}
        return record.body

    def _path(self, record: Record) -> str:
        header = self._spool.header
        if record.kind == "release":
            return f"/v1/leases/{header.lease_id}:release"
        if record.kind in _FOLDERS:
            return f"/v1/trials/{header.trial_id}/{_FOLDERS[record.kind]}"
        return f"/v1/trials/{header.trial_id}:{record.kind}"

    def _note_refused(self, record: Record, detail: str) -> None:
        header = self._spool.header
        self._log(
            "write_refused",
            trial_id=header.trial_id,
            lease_id=header.lease_id,
            write=record.kind,
            detail=detail,
        )

    def _refused(self, record: Record, refusal: Refused) -> bool:
        self._note_refused(record, str(refusal))
        if refusal.is_locked_out:
            raise _LockedOut
        is_stale = refusal.code == "stale-lease"
        if record.kind == "logs" and not is_stale:
            # They are for people, and the trial goes on. An older service does not know the path.
            self._takes_logs = refusal.status not in (404, 405)
            return False
        # Of a checkpoint it may be the upload that is gone.
        is_upload = record.kind == "checkpoint" and not is_stale
        if refusal.is_lost_lease and not is_upload:
            self._on_lost()
            return True
        if record.kind == "complete":
            # The values are not what the study declares: that is the objective's fault, to be told.
            return self._send(_as_failure(record, refusal))
        if record.kind == "release" and record.body["reason"] == PAUSED:
            # Told to pause by an answer that no longer holds: the trial goes on from here.
            return self._send(Record(kind="release", body={"reason": RELEASE_REASON}))
        if record.kind == "report":
            self._on_refused(record.body, str(refusal))
        # A report or a checkpoint that is refused for its content is left out; a failure or
        # release then has no more to tell, and the lease runs out by itself.
        return record.is_terminal


def _as_failure(record: Record, refusal: Refused) -> Record:
    values = record.body.get("values") or {}
    given = ", ".join(f"{name}={value:g}" for name, value in values.items()) or "none"
    message = f"the service refused the final values ({given}): {refusal.why}"
    return Record(
        kind="fail",
        body={
            "lease_id": record.body["lease_id"],
            "kind": "user_error",
            "message": message[:2000],
            "traceback": "",
        },
    )
