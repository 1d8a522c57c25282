"""Random calls of the service, each compared with what the reference model says it must do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.service.views import Grant
from app.store.idempotency import Replay

from .. import audit
from .comparing import same_leases, same_study
from .real import LEASE_TTL_S, Keyed, Real, code_of
from .reference import Reference
from .values import OPEN_STUDY, Holder, Lease, Study, Trial, Worker

T = TypeVar("T")

CLIENTS = ("ann", None)
INDEX = st.integers(0, 9)
"""Which of several things, counted from the newest one; shrinks to that."""
IS_RARE = st.sampled_from([False] * 9 + [True])
LIMITS = st.fixed_dictionaries(
    {
        "priority": st.integers(0, 1),
        "max_trials": st.integers(2, 9),
        "max_parallel": st.integers(1, 5),
        "max_attempts": st.integers(1, 3),
        "max_losses": st.sampled_from([0, 1, 5]),
        "max_failed": st.sampled_from([1, 2, 6]),
        "backoff_s": st.sampled_from([0, 40]),
    }
)


class ServiceMachine(RuleBasedStateMachine):
    """Two studies, two workers and some clients.

    Attributes:
        real: the service; the test sets it.
        n_steps: rules run so far, over all examples, by name.
    """

    real: ClassVar[Real]
    n_steps: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Reference()
        self.objective = self.real.fresh("objective")
        self.answered: list[tuple[Callable[[], object], str]] = []

    @initialize(limits=st.lists(LIMITS, min_size=2, max_size=2))
    def begin(self, limits: list[dict[str, int]]) -> None:
        self.real.clear()
        self.model.now = self.real.clock.elapsed_s
        for given in limits:
            self._pass(1)
            named = ("max_attempts", "max_losses", "max_failed", "backoff_s")
            policy = {"pause_after": 0, **{k: given[k] for k in named}}
            bounds = {k: given[k] for k in ("max_trials", "max_parallel")}
            raw = {"limits": bounds, "failure_policy": policy, "priority": given["priority"]}
            study_id = self.real.create(self.objective, raw)
            self.model.studies.append(Study(id=study_id, **given))
        for _ in range(2):
            name = self.real.fresh("worker")
            worker_id = self.real.register(name, "0", self.objective)
            self.model.workers.append(Worker(id=worker_id, name=name, boot="0"))
            self.model.workers[-1].seen_at = self.model.now

    # Time ----------------------------------------------------------------------------------------

    @rule(passed_s=st.sampled_from([1, 20, 59, 60, 61, 130]), is_swept=st.booleans())
    def time_passes(self, passed_s: int, is_swept: bool) -> None:
        self._note("time passes")
        self._pass(passed_s)
        if is_swept:
            self._compare("sweep", self.model.sweep, self.real.sweep)

    def _pass(self, passed_s: float) -> None:
        self.real.clock.elapsed_s += passed_s
        self.model.now += passed_s

    # Trials are handed out -----------------------------------------------------------------------

    @rule(index=INDEX, want=st.integers(1, 4))
    def claim(self, index: int, want: int) -> None:
        worker = _nth(self.model.workers, index)
        holder = Holder(token="tk_worker", worker=worker, duration_s=LEASE_TTL_S)
        self._hand_out(
            "claim",
            self.model.claim(worker, holder, want),
            lambda receipt: self.real.claim(worker, holder, want, receipt),
        )

    @rule(
        index=INDEX,
        client=st.sampled_from(CLIENTS),
        token=st.sampled_from(["tk_client", "tk_other"]),
        want=st.integers(1, 3),
        lease_s=st.sampled_from([30, 60, 120]),
    )
    def suggest(self, index: int, client: str | None, token: str, want: int, lease_s: int) -> None:
        study = _nth(self.model.studies, index)
        holder = Holder(token=token, client=client, duration_s=lease_s)
        self._hand_out(
            "suggest",
            self.model.suggest(study, holder, want),
            lambda receipt: self.real.suggest(study, holder, want, receipt),
        )

    def _hand_out(
        self, name: str, leases: list[Lease], call: Callable[[Any], Sequence[Grant]]
    ) -> None:
        """Compares what was granted, and tells the model the ids of the new leases."""
        self._note(name)
        keyed = self.real.keyed()
        grants = call(keyed.receipt)
        numbers = [(lease.trial.study.id, lease.trial.number) for lease in leases]
        assert [(g.trial.study_id, g.trial.number) for g in grants] == numbers
        for lease, grant in zip(leases, grants, strict=True):
            assert lease.id in ("", grant.lease.id)
            lease.id = grant.lease.id
            self.real.learn(grant.trial)
            assert (grant.last_seq, grant.last_step) == (lease.last_seq, lease.last_step)
        if grants:
            self.answered.append((lambda: call(keyed.receipt), keyed.body))

    # Writes under a lease, current or not --------------------------------------------------------

    def _has_leases(self) -> bool:
        return bool(self.model.leases)

    @precondition(_has_leases)
    @rule(index=INDEX, is_foreign=IS_RARE)
    def beat(self, index: int, is_foreign: bool) -> None:
        lease, token = self._lease(index, is_foreign)
        self._compare(
            "beat",
            lambda: self.model.beat(lease, token),
            lambda: self.real.beat(lease, token),
        )

    @precondition(_has_leases)
    @rule(
        index=INDEX,
        is_foreign=IS_RARE,
        skip=st.sampled_from([-1, 0, 0, 0, 3]),
        points=st.dictionaries(st.integers(1, 9), st.floats(-9, 9), min_size=1, max_size=3),
    )
    def report(self, index: int, is_foreign: bool, skip: int, points: dict[int, float]) -> None:
        lease, token = self._lease(index, is_foreign)
        seq = max(0, lease.last_seq + 1 + skip)
        self._compare(
            "report",
            lambda: self.model.report(lease, token, seq, points),
            lambda: self.real.report(lease, token, seq, points),
        )

    @precondition(_has_leases)
    @rule(
        index=INDEX,
        is_foreign=IS_RARE,
        state=st.sampled_from(["completed", "completed", "stopped", "infeasible"]),
        value=st.none() | st.floats(-9, 9),
    )
    def complete(self, index: int, is_foreign: bool, state: str, value: float | None) -> None:
        lease, token = self._lease(index, is_foreign)
        values = {} if value is None else {"value": value}
        self._compare_done(
            "complete",
            lambda: self.model.complete(lease, token, state, values),
            lambda: self.real.complete(lease, token, state, values),
        )

    @precondition(_has_leases)
    @rule(
        index=INDEX,
        is_foreign=IS_RARE,
        kind=st.sampled_from(
            ["user_error", "oom", "timeout", "nan", "preempted", "infrastructure"]
        ),
    )
    def fail(self, index: int, is_foreign: bool, kind: str) -> None:
        lease, token = self._lease(index, is_foreign)
        self._compare_done(
            "fail",
            lambda: self.model.fail(lease, token, kind),
            lambda: self.real.fail(lease, token, kind),
        )

    @precondition(_has_leases)
    @rule(index=INDEX, is_foreign=IS_RARE)
    def release(self, index: int, is_foreign: bool) -> None:
        lease, token = self._lease(index, is_foreign)
        self._compare_keyed(
            "release",
            lambda: self.model.release(lease, token),
            lambda receipt: self.real.release(lease, token, receipt),
        )

    def _lease(self, index: int, is_foreign: bool) -> tuple[Lease, str]:
        lease = _nth(self.model.leases, index)
        return lease, "tk_foreign" if is_foreign else lease.holder.token

    # Workers and people --------------------------------------------------------------------------

    @rule(index=INDEX, is_new=st.booleans())
    def register(self, index: int, is_new: bool) -> None:
        worker = _nth(self.model.workers, index)
        boot = self.real.fresh("boot") if is_new else worker.boot
        self._compare_keyed(
            "register",
            lambda: self.model.boot(worker, boot),
            lambda receipt: self.real.register(worker.name, boot, self.objective, receipt),
        )

    @rule(index=INDEX, is_draining=IS_RARE)
    def drain(self, index: int, is_draining: bool) -> None:
        self._note("drain")
        worker = _nth(self.model.workers, index)
        self.model.drain(worker, is_draining)
        self.real.drain(worker, is_draining)

    @rule(index=INDEX, count=st.integers(1, 3))
    def enqueue(self, index: int, count: int) -> None:
        study = _nth(self.model.studies, index)
        self._compare_keyed(
            "enqueue",
            lambda: self.model.enqueue(study, count),
            lambda receipt: self.real.enqueue(study, count, receipt),
        )

    def _has_trials(self) -> bool:
        return any(study.trials for study in self.model.studies)

    @precondition(_has_trials)
    @rule(index=INDEX)
    def cancel_trial(self, index: int) -> None:
        trial = self._trial(index)
        self._compare_keyed(
            "cancel_trial",
            lambda: self.model.cancel(trial),
            lambda receipt: self.real.cancel(trial, receipt),
        )

    @precondition(_has_trials)
    @rule(index=INDEX)
    def retry_trial(self, index: int) -> None:
        trial = self._trial(index)
        self._compare_keyed(
            "retry_trial",
            lambda: self.model.retry(trial),
            lambda receipt: self.real.retry(trial, receipt),
        )

    @rule(
        index=INDEX,
        verb=st.sampled_from(["resume"] * 4 + ["pause"] * 2 + ["stop", "cancel"]),
    )
    def change_study(self, index: int, verb: str) -> None:
        study = _nth(self.model.studies, index)
        self._compare_keyed(
            verb,
            lambda: self.model.change(study, verb),
            lambda receipt: self.real.change(study, verb, receipt),
        )

    @rule(index=INDEX, by=st.integers(1, 3))
    def raise_limit(self, index: int, by: int) -> None:
        study = _nth(self.model.studies, index)
        self._note("raise_limit")
        study.max_trials += by
        self.real.set_max_trials(study, study.max_trials)

    def _trial(self, index: int) -> Trial:
        return _nth([trial for study in self.model.studies for trial in study.trials], index)

    # Calls that come again -----------------------------------------------------------------------

    def _has_answers(self) -> bool:
        return bool(self.answered)

    @precondition(_has_answers)
    @rule(index=INDEX)
    def deliver_again(self, index: int) -> None:
        """A call whose answer got lost is sent again under its key: it is answered, not run."""
        self._note("deliver_again")
        call, body = _nth(self.answered, index)
        with pytest.raises(Replay) as replay:
            call()
        assert replay.value.answer.body == body

    def _compare_keyed(
        self, name: str, expected: Callable[[], object], call: Callable[[Any], object]
    ) -> None:
        keyed: Keyed = self.real.keyed()
        is_done = self._compare_done(name, expected, lambda: call(keyed.receipt))
        if is_done:
            self.answered.append((lambda: call(keyed.receipt), keyed.body))

    def _compare_done(
        self, name: str, expected: Callable[[], object], call: Callable[[], object]
    ) -> bool:
        """Compares whether a call is done, or by which code it is refused; whether it is done."""

        def done(run: Callable[[], object]) -> Callable[[], str]:
            return lambda: "done" if run() is not run else ""

        return self._compare(name, done(expected), done(call)) == "done"

    def _compare(self, name: str, expected: Callable[[], T], call: Callable[[], T]) -> T | str:
        wanted = code_of(expected)
        self._note(name if not isinstance(wanted, str) else f"{name}: {wanted}")
        found = code_of(call)
        assert found == wanted
        return found

    def _note(self, name: str) -> None:
        self.n_steps[name] += 1

    # After each step -----------------------------------------------------------------------------

    @invariant()
    def workers_are_drained_as_the_model_says(self) -> None:
        for worker in self.model.workers:
            assert self.real.is_draining(worker) == worker.is_draining

    @invariant()
    def tables_say_what_the_model_says(self) -> None:
        for study in self.model.studies:
            ledger = self.real.ledger(study.id)
            assert audit.faults(ledger) == []
            same_study(study, ledger)
            mine = [lease for lease in self.model.leases if lease.trial.study is study]
            same_leases(mine, ledger)

    def teardown(self) -> None:
        # Leases of this example must not be swept in the next one.
        for study in self.model.studies:
            if self.real.ledger(study.id).study.state in OPEN_STUDY:
                self.real.change(study, "cancel", None)


def _nth(things: Sequence[T], index: int) -> T:
    return things[-1 - index % len(things)]
