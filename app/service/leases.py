"""Every write under a lease: beat, report, complete, fail, release. The lease id is the fence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from ..domain.checkpoint import CheckpointState
from ..domain.copies import with_fields
from ..domain.equivalence import digest_of
from ..domain.fidelity import Directive
from ..domain.lease import Lease, LeaseEnd
from ..domain.study import OPEN_STUDY_STATES, Study
from ..domain.trial import Failure, FailureKind, Trial, TrialState
from ..errors import AppError, NotFound, StaleLease
from ..logs import bind
from ..metrics import Metrics
from ..store import checkpoints as checkpoint_rows
from ..store import leases as lease_rows
from ..store import measurements as measurement_rows
from ..store import trials as trial_rows
from ..store import workers as worker_rows
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.studies import LockedStudy
from ..store.transaction import Tx
from . import duplicates
from .asks import Holder
from .ends import failed, final_values, given_back, paused, pin_data
from .failures import judge_worker, pause_when_broken
from .fence import Held, after, directive_of, hold, renewed, stale
from .following import Following
from .grants import advance, finish, note_spared
from .points import PointSource
from .settle import note_best, wake
from .stopping import judged
from .todo import Todo
from .views import Beat, BeatAnswer, Budget, Caller, Failed, Matched, Point, Report, Reported
from .wake import EVENTS, study_topic

MESSAGE_CHARS, TRACEBACK_CHARS = 2_000, 20_000
"""How much of a failure's message and traceback is kept."""

_TRIAL: TypeAdapter[Trial] = TypeAdapter(Trial)

_END_OF = {
    TrialState.COMPLETED: LeaseEnd.COMPLETED,
    TrialState.STOPPED: LeaseEnd.STOPPED,
    TrialState.INFEASIBLE: LeaseEnd.INFEASIBLE,
}


class LeaseService:
    """The writes of whoever holds a lease."""

    def __init__(self, store: Store, points: PointSource, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._points = points

    def beat(
        self, beats: Sequence[Beat], *, worker_id: str | None, caller: Caller
    ) -> list[BeatAnswer]:
        """Renews each lease; one that is stale is answered `abort`, the others are not touched by
        it. The trials of a worker that drains are to save what they have.
        """
        drains = worker_id is not None and self._store.write(
            lambda tx: worker_rows.seen(tx, worker_id)
        )
        return [self._beat(beat, caller, drains=drains) for beat in beats]

    def _beat(self, beat: Beat, caller: Caller, *, drains: bool) -> BeatAnswer:
        def renew(tx: Tx) -> BeatAnswer:
            held = hold(tx, beat.lease_id, None, caller)
            answer = _renewed(held)
            _note_use(held, beat, answer)
            if drains and answer.directive is Directive.CONTINUE and _has_unsaved(held):
                return replace(answer, directive=Directive.CHECKPOINT)
            return answer

        try:
            return self._store.write(renew)
        except (StaleLease, NotFound):
            self._metrics.stale_writes.inc()
            return BeatAnswer(lease_id=beat.lease_id, expires_at=None, directive=Directive.ABORT)

    def renew(
        self, beat: Beat, *, caller: Caller, receipt: Receipt[BeatAnswer] | None = None
    ) -> BeatAnswer:
        """Renews one lease.

        Raises:
            StaleLease: it is not the trial's current one.
            NotFound: it never was.
        """

        def renew(tx: Tx) -> BeatAnswer:
            held = hold(tx, beat.lease_id, None, caller)
            answer = _renewed(held)
            _note_use(held, beat, answer)
            return answer

        return self._store.write(renew, receipt=receipt)

    def release(
        self,
        lease_id: str,
        *,
        reason: str,
        checkpoint_id: str | None,
        caller: Caller,
        receipt: Receipt[Trial] | None = None,
    ) -> Trial:
        """Gives a trial back: it goes to `pending` and counts a loss; or it pauses at a rung.

        Raises:
            Conflict: `reason` is "paused", and the trial is at no rung.
        """

        changed: list[Study] = []

        def release(tx: Tx) -> Trial:
            held = hold(tx, lease_id, None, caller, replays="release")
            if held.lease.answer is not None:
                return _first_answer(held.lease)
            if checkpoint_id is not None:
                _check_committed(held, checkpoint_id)
            is_pause = reason == "paused"
            trial = paused(held) if is_pause else given_back(held)
            end = LeaseEnd.PAUSED if is_pause else LeaseEnd.RELEASED
            finish(held.study, held.lease, end, answer=_kept("release", trial))
            after(held.study)
            changed[:] = [held.study.study]
            return trial

        trial = self._store.write(release, receipt=receipt)
        self._kick(changed)
        return trial

    def report(
        self,
        trial_id: str,
        *,
        lease_id: str,
        seq: int,
        points: Sequence[Point],
        caller: Caller,
    ) -> Todo[Reported]:
        """Takes in measurements and renews the lease; a `seq` already seen changes nothing.

        The answer says what the study's early-stopping rule makes of the report.
        """
        changed: list[Study] = []

        def take(tx: Tx) -> Reported:
            held = hold(tx, lease_id, trial_id, caller, replays="report")
            if seq <= held.lease.last_seq:
                return Reported(
                    accepted=0,
                    duplicates=len(points),
                    directive=_told(held),
                    budget=_budget(held.lease),
                )
            if held.lease.end is not None:
                raise stale(held.lease)
            known = held.study.study.results_seq
            changed.clear()
            held = _taken(held, Report(seq=seq, points=points))
            if held.study.study.results_seq != known:
                wake(held.study)
                changed.append(held.study.study)
            return Reported(
                accepted=len(points),
                duplicates=0,
                directive=directive_of(held),
                budget=_budget(held.lease),
            )

        return Todo(self._store, take, lambda: self._kick(changed))

    def match(
        self, trial_id: str, *, lease_id: str, equivalent: Mapping[str, Any], caller: Caller
    ) -> Matched:
        """Answers a trial from an earlier one of the study whose point is equal work; the same call
        again gets the first answer.

        Args:
            equivalent: the trial's canonical point.

        Raises:
            StaleLease: the trial has another lease now, or ended otherwise.
        """
        digest = digest_of(equivalent)
        changed: list[Study] = []

        def match(tx: Tx) -> Matched:
            held = hold(tx, lease_id, trial_id, caller, replays="match")
            if held.lease.answer is not None:
                return Matched(trial=_first_answer(held.lease), is_answered=True)
            trial = duplicates.answered(held, digest)
            if trial is None:
                return Matched(trial=held.trial, is_answered=False)
            finish(held.study, held.lease, LeaseEnd.COMPLETED, answer=_kept("match", trial))
            after(held.study)
            changed[:] = [held.study.study]
            return Matched(trial=trial, is_answered=True)

        matched = self._store.write(match)
        self._kick(changed)
        return matched

    def complete(
        self,
        trial_id: str,
        *,
        lease_id: str,
        state: TrialState,
        values: Mapping[str, float],
        step: int | None,
        usage: Mapping[str, Any],
        data: Mapping[str, Any] | None,
        equivalent: Mapping[str, Any] | None = None,
        report: Report | None = None,
        following: Following | None = None,
        caller: Caller,
    ) -> Todo[Trial]:
        """Ends a trial with its values; the same call again gets the first answer.

        Args:
            report: the last measurements, taken in before the end and with it, or not at all.
            following: the ask that comes with it; made by itself where it brings no answer here.
            equivalent: the canonical point that the values stand for, see `match`; kept of a
                completed trial only.

        Raises:
            InvalidInput: a declared metric is missing or not finite.
            StaleLease: the trial has another lease now, or ended otherwise.
        """

        digest = None
        if equivalent is not None and state is TrialState.COMPLETED:
            digest = digest_of(equivalent)
        changed: list[Study] = []

        def complete(tx: Tx) -> Trial:
            held = hold(tx, lease_id, trial_id, caller, replays="complete")
            if held.lease.answer is not None:
                return _first_answer(held.lease)
            follow = _looked(following, held)
            held = _taken(held, report)
            final = final_values(held, state, values)
            reached = step if step is not None else held.lease.last_step
            advance(held.study, held.lease, reached)
            trial = trial_rows.move(
                held.study,
                held.trial,
                state,
                values=final,
                step=reached,
                usage=dict(usage),
                data=dict(data) if data else None,
                equivalent=digest,
            )
            pin_data(held.study, trial)
            if state is TrialState.STOPPED:
                note_spared(held.study, trial, reached)
            note_best(held.study, trial)
            ended = with_fields(held.lease, last_step=max(held.lease.reached, reached or 0))
            finish(held.study, ended, _END_OF[state], answer=_kept("complete", trial))
            judge_worker(tx, held.lease, None)
            after(held.study)
            follow(held.study)
            changed[:] = [held.study.study]
            return trial

        return Todo(self._store, complete, lambda: self._ended(changed, following))

    def fail(
        self,
        trial_id: str,
        *,
        lease_id: str,
        kind: FailureKind,
        message: str,
        traceback: str,
        caller: Caller,
        min_memory_bytes: int | None = None,
        report: Report | None = None,
        following: Following | None = None,
    ) -> Todo[Failed]:
        """Notes a failed attempt; the trial runs again while its failure policy allows it.

        Args:
            report, following: as in `complete`.
            min_memory_bytes: after `oom`, what the next attempt needs; None: more than its device
                has.
        """
        failure = Failure(
            kind=kind,
            message=message[:MESSAGE_CHARS],
            traceback=traceback[-TRACEBACK_CHARS:],
        )

        changed: list[Study] = []

        def fail(tx: Tx) -> Failed:
            held = hold(tx, lease_id, trial_id, caller, replays="fail")
            if held.lease.answer is not None:
                return _failed_as(_first_answer(held.lease))
            follow = _looked(following, held)
            held = _taken(held, report)
            trial = failed(held, failure, min_memory_bytes)
            answer = _kept("fail", trial)
            finish(held.study, held.lease, LeaseEnd.FAILED, failure=failure, answer=answer)
            judge_worker(tx, held.lease, failure)
            after(held.study)
            pause_when_broken(held.study, held.trial, failure)
            follow(held.study)
            changed[:] = [held.study.study]
            return _failed_as(trial)

        return Todo(self._store, fail, lambda: self._ended(changed, following))

    def following(
        self, *, count: int, client_id: str | None, lease_s: float, caller: Caller
    ) -> Following:
        """An ask for the end of a trial to bring along; as `ClaimService.suggest`."""
        holder = Holder(client_id=client_id, token_id=caller.token_id, duration_s=lease_s)
        return Following(holder, count, self._points, self._metrics)

    def _ended(self, changed: Sequence[Study], following: Following | None) -> None:
        self._kick(changed)
        if following is not None:
            following.note()

    def _kick(self, changed: Sequence[Study]) -> None:
        """Prepares the next points of the studies that a write has changed, as it left them."""
        for study in changed:
            bind(study_id=study.id)
            if study.state in OPEN_STUDY_STATES:
                self._points.kick(study)
            else:
                self._points.forget(study.id)


def _looked(following: Following | None, held: Held) -> Callable[[LockedStudy], None]:
    """What gives the client its next trial, once the end of this one is written."""
    if following is None:
        return _nothing
    following.look(held)
    return following.take


def _nothing(study: LockedStudy) -> None:
    """No next trial was asked for."""


def _renewed(held: Held) -> BeatAnswer:
    """A lease renewed, unless its holder is to abort: then it runs out."""
    directive = directive_of(held)
    lease = held.lease if directive is Directive.ABORT else renewed(held)
    return BeatAnswer(lease_id=lease.id, expires_at=lease.expires_at, directive=directive)


def _note_use(held: Held, beat: Beat, answer: BeatAnswer) -> None:
    """Keeps what a beat says that its trial uses."""
    memory_bytes, utilisation = beat.memory_bytes, beat.utilisation
    is_said = memory_bytes is not None or utilisation is not None
    if is_said and answer.directive is not Directive.ABORT:
        tx = held.study.tx
        lease_rows.note_use(tx, held.lease, memory_bytes=memory_bytes, utilisation=utilisation)


def _has_unsaved(held: Held) -> bool:
    """Whether a trial has reported steps that its last checkpoint does not have."""
    last = held.lease.last_step
    if last is None:
        return False
    saved = checkpoint_rows.last_of(held.study.tx.conn, held.trial)
    return saved is None or saved.step < last


def _check_committed(held: Held, checkpoint_id: str) -> None:
    found = checkpoint_rows.get(held.study.tx.conn, checkpoint_id)
    if found.trial_id != held.trial.id or found.state is not CheckpointState.COMMITTED:
        raise NotFound(f"trial {held.trial.id} has no committed checkpoint {checkpoint_id}")


def _failed_as(trial: Trial) -> Failed:
    return Failed(trial=trial, will_retry=trial.state is TrialState.PENDING)


def _taken(held: Held, report: Report | None) -> Held:
    """Takes in a report, unless its `seq` has been seen, and does what the study's early-stopping
    rule makes of it; the trial and its lease, renewed, as they are then.
    """
    if report is None or report.seq <= held.lease.last_seq:
        return held
    study, lease, points = held.study, held.lease, report.points
    measurement_rows.append(study, held.trial.id, lease.id, report.seq, points)
    steps = [point.step for point in points] + ([lease.last_step] if lease.last_step else [])
    reached = max(steps, default=None)
    advance(study, lease, reached)
    lease = renewed(held, last_seq=report.seq, last_step=reached)
    trial, lease = judged(study, held.trial, lease, points)
    study.tx.signal(study_topic(study.study.id), EVENTS)
    return Held(study, trial, lease)


def _budget(lease: Lease) -> Budget:
    """What is left of a lease's budget."""
    return Budget(from_step=lease.reached, to_step=lease.to_step)


def _told(held: Held) -> Directive:
    """What is answered to a report that has been taken in before."""
    if held.lease.end is LeaseEnd.EXPIRED:  # and its trial is another's by now
        return Directive.ABORT
    return directive_of(held) if held.lease.end is None else Directive.CONTINUE


def _kept(write: str, trial: Trial) -> dict[str, Any]:
    """The answer to the write that ends a lease, as it is kept with the lease."""
    return {"write": write, "trial": _TRIAL.dump_python(trial, mode="json")}


def _first_answer(lease: Lease) -> Trial:
    if lease.answer is None:
        raise AppError("the lease has no answer")
    return _TRIAL.validate_python(lease.answer["trial"])
