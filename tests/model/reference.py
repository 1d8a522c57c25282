"""What the service must do, in plain Python: the lease protocol and the budget as a specification.

One call at a time, no database, no wait. A call that the service must refuse raises `Refused` with
the problem code, and has changed nothing. Times are seconds; ids are those of the service, which
the test fills in for each new lease.
"""

from __future__ import annotations

from .values import (
    MAX_BACKOFF_S,
    OPEN_STUDY,
    OPEN_TRIAL,
    RETRIED,
    Holder,
    Lease,
    Refused,
    Study,
    Trial,
    Worker,
)


class Reference:
    """The whole service. `now` is moved by the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.studies: list[Study] = []
        self.workers: list[Worker] = []
        self.leases: list[Lease] = []

    # Who gets what -------------------------------------------------------------------------------

    def claim(self, worker: Worker, holder: Holder, want: int) -> list[Lease]:
        worker.seen_at = self.now
        granted: list[Lease] = []
        active = [study for study in self.studies if study.state == "active"]
        order = sorted(active, key=lambda s: (-s.priority, s.count("running"), s.id))
        for study in order if not worker.is_draining else ():
            granted += self._take(study, holder, want - len(granted))
        return granted

    def suggest(self, study: Study, holder: Holder, want: int) -> list[Lease]:
        granted = self._of_client(study, holder)[:want]
        for lease in granted:
            self._renew(lease)
        return granted + self._take(study, holder, want - len(granted))

    def _of_client(self, study: Study, holder: Holder) -> list[Lease]:
        """What a client that asks again is given back: its open trials under their old leases."""
        leases = [lease for lease in self.leases if self._is_current(lease)]
        mine = [x for x in leases if x.holder.client and x.trial.study is study
                and (x.holder.client, x.holder.token) == (holder.client, holder.token)]  # fmt: skip
        return sorted(mine, key=lambda lease: (lease.acquired_at, lease.id))

    def _take(self, study: Study, holder: Holder, want: int) -> list[Lease]:
        granted: list[Lease] = []
        while len(granted) < want and study.state == "active":
            if study.count("running") >= study.max_parallel:
                break
            trial = self._next_pending(study, holder.client) or self._new_trial(study)
            if trial is None:
                break
            granted.append(self._start(trial, holder))
        return granted

    def _next_pending(self, study: Study, client: str | None) -> Trial | None:
        pending = [t for t in study.trials if t.state == "pending" and t.not_before <= self.now]
        mine = [t for t in pending if client is not None and t.reserved_for == client]
        free = [t for t in pending if t.reserved_for is None or t.reserved_until <= self.now]
        return next(iter(mine + free), None)

    def _new_trial(self, study: Study) -> Trial | None:
        return self._add(study) if study.places < study.max_trials else None

    def _add(self, study: Study) -> Trial:
        trial = Trial(study=study, number=len(study.trials) + 1)
        study.trials.append(trial)
        return trial

    def _start(self, trial: Trial, holder: Holder) -> Lease:
        lease = Lease(trial=trial, holder=holder, acquired_at=self.now, renewed_at=self.now,
                      expires_at=self.now + holder.duration_s)  # fmt: skip
        trial.state, trial.lease, trial.reserved_for = "running", lease, None
        self.leases.append(lease)
        return lease

    # Writes under a lease ------------------------------------------------------------------------

    def _is_current(self, lease: Lease) -> bool:
        if lease.trial.lease is not lease:
            return False
        return lease.end is None or (lease.end == "expired" and lease.trial.state == "pending")

    def _fence(self, lease: Lease, token: str, write: str = "") -> bool:
        """Whether the write counts; False for a repetition, which gets the first answer again."""
        if token != lease.holder.token:
            raise Refused("forbidden")
        if self._is_current(lease):
            return True
        if write == "report" and lease.end not in (None, "expired"):
            return False
        if write and write == lease.ended_by:
            return False
        raise Refused("stale-lease")

    def _revive(self, lease: Lease) -> None:
        if lease.end == "expired":
            lease.end, lease.renewed_at = None, self.now
            lease.expires_at = self.now + lease.holder.duration_s
            lease.trial.state, lease.trial.reserved_for = "running", None
            lease.trial.losses = max(0, lease.trial.losses - 1)

    def _renew(self, lease: Lease) -> None:
        self._revive(lease)
        lease.renewed_at = self.now
        lease.expires_at = self.now + lease.holder.duration_s

    def beat(self, lease: Lease, token: str) -> str:
        for worker in self._workers_of(lease):
            worker.seen_at = self.now
        try:
            self._fence(lease, token)
        except Refused as refused:
            if str(refused) == "stale-lease":
                return "abort"
            raise
        self._renew(lease)
        return "continue"

    def report(self, lease: Lease, token: str, seq: int, points: dict[int, float]) -> int:
        """How many points were taken in."""
        counts = self._fence(lease, token, "report")
        if seq <= lease.last_seq:
            self._revive(lease)
            return 0
        if not counts:
            raise Refused("stale-lease")
        self._renew(lease)
        lease.last_seq, lease.last_step = seq, max([*points, lease.last_step or 0])
        lease.trial.reports += [(lease.id, seq, step, value) for step, value in points.items()]
        return len(points)

    def complete(self, lease: Lease, token: str, state: str, values: dict[str, float]) -> None:
        if not self._fence(lease, token, "complete"):
            return
        if not values and state == "stopped" and lease.trial.reports:
            values = {"value": lease.trial.reports[-1][3]}
        if not values and state == "completed":
            raise Refused("invalid-value")
        self._end_attempt(lease, state, "complete")
        lease.trial.state, lease.trial.values = state, values
        self._judge(lease, is_bad=False)
        self._settle(lease.trial.study)

    def fail(self, lease: Lease, token: str, kind: str) -> None:
        if not self._fence(lease, token, "fail"):
            return
        self._end_attempt(lease, "failed", "fail")
        trial, study = lease.trial, lease.trial.study
        if kind == "preempted":
            self._lose(trial)
        else:
            trial.attempts += 1
            self._again(trial, kind not in RETRIED or trial.attempts >= study.max_attempts)
            trial.longest_wait_s = min(study.backoff_s * 2 ** (trial.attempts - 1), MAX_BACKOFF_S)
            trial.failed_at = self.now
            self._judge(lease, is_bad=kind == "infrastructure")
        self._settle(study)

    def release(self, lease: Lease, token: str) -> None:
        if self._fence(lease, token, "release"):
            self._end_attempt(lease, "released", "release")
            self._lose(lease.trial)
            self._settle(lease.trial.study)

    def _end_attempt(self, lease: Lease, end: str, write: str | None = None) -> None:
        self._revive(lease)
        lease.end, lease.ended_by = end, write

    def _lose(self, trial: Trial) -> None:
        trial.losses += 1
        self._again(trial, trial.losses > trial.study.max_losses)

    def _again(self, trial: Trial, is_over: bool) -> None:
        trial.state = "failed" if is_over else "pending"
        trial.lease = trial.lease if is_over else None
        trial.not_before, trial.longest_wait_s = 0.0, 0.0

    def _judge(self, lease: Lease, *, is_bad: bool) -> None:
        """A worker on which three trials in a row failed by its own fault takes no more."""
        for worker in self._workers_of(lease):
            worker.n_bad = worker.n_bad + 1 if is_bad else 0
            worker.is_draining = worker.is_draining or worker.n_bad >= 3

    def _workers_of(self, lease: Lease) -> list[Worker]:
        return [worker for worker in self.workers if worker.id == lease.holder.worker]

    # Time, workers, people -----------------------------------------------------------------------

    def sweep(self) -> int:
        expired = [x for x in self.leases if x.end is None and x.expires_at < self.now]
        for lease in sorted(expired, key=lambda each: each.expires_at):
            if lease.end is not None:  # its study has ended meanwhile
                continue
            trial, lease.end = lease.trial, "expired"
            self._lose(trial)
            for worker in self._workers_of(lease):  # that lived, and lost the trial all the same
                if worker.seen_at >= lease.renewed_at + lease.holder.duration_s / 2:
                    self._judge(lease, is_bad=True)
            if trial.state == "pending":  # nobody else has it: a late beat finds it again
                trial.lease, trial.reserved_for = lease, lease.holder.client
                trial.reserved_until = self.now + lease.holder.duration_s
            self._settle(trial.study)
        return len(expired)

    def boot(self, worker: Worker, boot: str) -> None:
        """A worker registers; a new process of the same name has lost what the old one ran."""
        worker.seen_at = self.now
        if worker.boot != boot:
            worker.boot, worker.is_draining, worker.n_bad = boot, False, 0
            mine = [x for x in self.leases if x.end is None and x.holder.worker == worker.id]
            for lease in sorted(mine, key=lambda each: each.trial.study.id):
                if lease.end is not None:
                    continue
                self._end_attempt(lease, "superseded")
                self._lose(lease.trial)
                self._settle(lease.trial.study)

    def drain(self, worker: Worker, is_draining: bool) -> None:
        worker.is_draining, worker.n_bad = is_draining, 0

    def enqueue(self, study: Study, count: int) -> list[Trial]:
        if study.state not in OPEN_STUDY:
            raise Refused("illegal-transition")
        self._check_places(study, count)
        added = [self._add(study) for _ in range(count)]
        self._settle(study)
        return added

    def cancel(self, trial: Trial) -> None:
        if trial.state not in OPEN_TRIAL:
            raise Refused("illegal-transition")
        self._abort(trial)
        self._settle(trial.study)

    def retry(self, trial: Trial) -> None:
        if trial.state != "failed" or trial.study.state not in OPEN_STUDY:
            raise Refused("illegal-transition")
        self._check_places(trial.study, 1)
        self._again(trial, is_over=False)
        trial.attempts, trial.losses = 0, 0

    def _check_places(self, study: Study, wanted: int) -> None:
        if study.places + wanted > study.max_trials:
            raise Refused("budget-exhausted")

    def change(self, study: Study, verb: str) -> None:
        """`:pause`, `:resume`, `:stop` or `:cancel` of a study."""
        is_full = study.places >= study.max_trials or study.count("failed") >= study.max_failed
        froms = {"pause": ("active",), "resume": ("paused", "completed"),
                 "stop": ("active", "paused"), "cancel": OPEN_STUDY}  # fmt: skip
        if study.state not in froms[verb]:
            raise Refused("illegal-transition")
        if study.state == "completed" and (is_full or study.reason == "user"):
            raise Refused("illegal-transition")
        if verb == "cancel":
            return self._end(study, "cancelled", "user")
        to = {"pause": "paused", "resume": "active", "stop": "stopping"}[verb]
        study.state, study.reason = to, "user" if verb == "stop" else None
        if verb != "pause":
            self._settle(study)
        return None

    def raise_limit(self, study: Study, by: int) -> None:
        study.max_trials += by

    # What follows from a change ------------------------------------------------------------------

    def _settle(self, study: Study) -> None:
        """Ends a study whose limits say so."""
        if study.state not in OPEN_STUDY:
            return
        if study.count("failed") >= study.max_failed:
            self._end(study, "failed", "max_failed")
        elif study.state == "stopping":
            if not study.count("running"):
                self._end(study, "completed", study.reason)
        elif study.places >= study.max_trials and not study.count(*OPEN_TRIAL):
            self._end(study, "completed", "max_trials")

    def _end(self, study: Study, state: str, reason: str | None) -> None:
        study.state, study.reason = state, reason
        for trial in study.trials:
            if trial.state in OPEN_TRIAL:
                self._abort(trial)

    def _abort(self, trial: Trial) -> None:
        if trial.lease is not None and trial.lease.end is None:
            trial.lease.end = "cancelled"
        trial.state = "cancelled"
