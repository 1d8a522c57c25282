"""What the service must do, in plain Python: the lease protocol and the budget as a specification.

One call at a time, no database, no wait. A call that the service must refuse raises `Refused` with
the problem code, and has changed nothing. Times are seconds; ids are those of the service, which
the test fills in for each new lease.
"""

from __future__ import annotations

from .values import OPEN_STUDY, Holder, Lease, Refused, Study, Trial, Worker, check


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
        order = sorted(self.studies, key=lambda s: (-s.priority, s.count("running"), s.id))
        for study in order if not worker.is_draining else ():
            granted += self._take(study, holder, want - len(granted))
        return granted

    def suggest(self, study: Study, holder: Holder, want: int) -> list[Lease]:
        """A named client that asks again gets its open trials back, under their old leases."""
        asks = (study, holder.client, holder.token)
        named = [lease for lease in self.leases if lease.is_current and lease.holder.client]
        mine = [x for x in named if (x.trial.study, x.holder.client, x.holder.token) == asks]
        granted = sorted(mine, key=lambda lease: lease.trial.number)[:want]
        for lease in granted:
            self._renew(lease)
        return granted + self._take(study, holder, want - len(granted))

    def _take(self, study: Study, holder: Holder, want: int) -> list[Lease]:
        """Pending trials, then new ones."""
        granted: list[Lease] = []
        while len(granted) < want and study.state == "active":
            trial = study.next_pending(holder.client, self.now)
            is_full = trial is None and study.n_left <= 0
            if is_full or study.count("running") >= study.max_parallel:
                break
            granted.append(self._start(trial or study.add(), holder))
        return granted

    def _start(self, trial: Trial, holder: Holder) -> Lease:
        lease = Lease(trial=trial, holder=holder, acquired_at=self.now)
        trial.state, trial.lease, trial.reserved_for = "running", lease, None
        self.leases.append(lease)
        self._renew(lease)
        return lease

    # Writes under a lease ------------------------------------------------------------------------

    def _counts(self, lease: Lease, token: str, write: str) -> bool:
        """Whether a write counts; False for a repetition, which gets the first answer again."""
        if token != lease.holder.token:
            raise Refused("forbidden")
        has_ended = lease.end is not None
        is_repeated = write == lease.ended_by or (write == "report" and has_ended)
        if not lease.is_current and not is_repeated:
            raise Refused("stale-lease")
        return lease.is_current

    def _revive(self, lease: Lease) -> None:
        """An expired lease whose trial nobody has taken is brought back: nothing was lost."""
        if lease.end == "expired":
            lease.end, lease.trial.state, lease.trial.reserved_for = None, "running", None
            lease.trial.losses = max(0, lease.trial.losses - 1)
            self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        self._revive(lease)
        lease.renewed_at, lease.expires_at = self.now, self.now + lease.holder.duration_s

    def beat(self, lease: Lease, token: str) -> str:
        if worker := lease.holder.worker:
            worker.seen_at = self.now
        check(token == lease.holder.token, "forbidden")
        if not lease.is_current:
            return "abort"
        self._renew(lease)
        # A worker that drains saves what it has trained.
        return "checkpoint" if worker and worker.is_draining and lease.last_step else "continue"

    def report(self, lease: Lease, token: str, seq: int, points: dict[int, float]) -> int:
        """How many points were taken in."""
        counts = self._counts(lease, token, "report")
        if seq <= lease.last_seq:
            if counts:
                self._revive(lease)
            return 0
        if not counts:
            raise Refused("stale-lease")
        self._renew(lease)
        lease.last_seq, lease.last_step = seq, max([*points, lease.last_step or 0])
        lease.trial.reports += [(lease.id, seq, step, value) for step, value in points.items()]
        return len(points)

    def complete(self, lease: Lease, token: str, state: str, values: dict[str, float]) -> None:
        if self._counts(lease, token, "complete"):
            if not values and state == "completed":
                raise Refused("invalid-value")
            if not values and state == "stopped" and lease.trial.reports:
                values = {"value": lease.trial.reports[-1][3]}
            self._end_attempt(lease, state, "complete")
            lease.trial.state, lease.trial.values = state, values
            lease.judge(self.now, is_bad=False)
            lease.trial.study.settle()

    def fail(self, lease: Lease, token: str, kind: str) -> None:
        if self._counts(lease, token, "fail"):
            self._end_attempt(lease, "failed", "fail")
            if kind == "preempted":
                return self._lose(lease.trial)
            lease.trial.fail(kind, self.now)
            lease.judge(self.now, is_bad=kind == "infrastructure")
            lease.trial.study.settle()
        return None

    def release(self, lease: Lease, token: str) -> None:
        if self._counts(lease, token, "release"):
            self._end_attempt(lease, "released", "release")
            self._lose(lease.trial)

    def _end_attempt(self, lease: Lease, end: str, write: str | None = None) -> None:
        self._revive(lease)
        lease.end, lease.ended_by = end, write

    def _lose(self, trial: Trial, expired: Lease | None = None) -> None:
        """A trial that is left pending by an expired lease waits for a late beat of it."""
        trial.losses += 1
        trial.again(trial.losses > trial.study.max_losses)
        if expired and trial.state == "pending":
            trial.lease, trial.reserved_for = expired, expired.holder.client
            trial.reserved_until = self.now + expired.holder.duration_s
        trial.study.settle()

    # Time, workers, people -----------------------------------------------------------------------

    def sweep(self) -> int:
        expired = [x for x in self.leases if x.end is None and x.expires_at < self.now]
        for lease in sorted(expired, key=lambda each: (each.expires_at, each.id)):
            if lease.end is None:  # else its study has ended meanwhile
                lease.end, worker = "expired", lease.holder.worker
                # A worker that lived, and lost the trial all the same, is to blame.
                if worker and worker.seen_at >= lease.renewed_at + lease.holder.duration_s / 2:
                    lease.judge(self.now, is_bad=True)
                self._lose(lease.trial, lease)
        return len(expired)

    def boot(self, worker: Worker, boot: str) -> None:
        """A worker registers; a new process of the same name has lost what the old one ran."""
        worker.seen_at = self.now
        if worker.boot != boot:
            worker.boot, worker.is_draining, worker.n_bad = boot, False, 0
            mine = [x for x in self.leases if x.end is None and x.holder.worker is worker]
            for lease in sorted(mine, key=lambda each: each.trial.study.id):
                if lease.end is None:
                    self._end_attempt(lease, "superseded")
                    self._lose(lease.trial)

    def drain(self, worker: Worker, is_draining: bool) -> None:
        worker.is_draining, worker.n_bad = is_draining, 0

    def enqueue(self, study: Study, count: int) -> list[Trial]:
        check(study.is_open and study.state != "stopping")
        check(count <= study.n_left, "budget-exhausted")
        return [study.add() for _ in range(count)]

    def cancel(self, trial: Trial) -> None:
        check(trial.is_open)
        trial.abort()
        trial.study.settle()

    def retry(self, trial: Trial) -> None:
        study = trial.study
        check(trial.state == "failed" and study.is_open and study.state != "stopping")
        check(trial.study.n_left >= 1, "budget-exhausted")
        trial.again(is_over=False)
        trial.attempts, trial.losses = 0, 0

    def change(self, study: Study, verb: str) -> None:
        """`:pause`, `:resume`, `:stop` or `:cancel` of a study."""
        can_reopen = study.n_left > 0 and not study.has_failed and study.reason != "user"
        froms = {"pause": ("active",), "stop": ("active", "paused"), "cancel": OPEN_STUDY,
                 "resume": ("paused", "completed") if can_reopen else ("paused",)}  # fmt: skip
        check(study.state in froms[verb])
        if verb == "cancel":
            return study.end("cancelled", "user")
        study.state = {"pause": "paused", "resume": "active", "stop": "stopping"}[verb]
        study.reason = "user" if verb == "stop" else None
        return None if verb == "pause" else study.settle()
