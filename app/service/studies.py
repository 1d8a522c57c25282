"""Studies: create, look at, change, end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from ..domain import limits
from ..domain.checking import shown
from ..domain.definition import (
    Checked,
    apply_changes,
    differences,
    parse_changes,
    parse_definition,
)
from ..domain.delivery import Delivery
from ..domain.event import EventKind
from ..domain.lease import LeaseEnd
from ..domain.objectives import BUILT_IN
from ..domain.study import OPEN_STUDY_STATES, StopReason, Study, StudyState
from ..domain.trial import Trial, TrialState
from ..domain.webhook import Webhook, may_tell
from ..domain.worker import ObjectiveOffer
from ..errors import Conflict, Fault, InvalidInput, NotFound, Precondition
from ..store import deliveries as delivery_rows
from ..store import studies as study_rows
from ..store import trial_sets
from ..store import trials as trial_rows
from ..store import workers as worker_rows
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.studies import LockedStudy, StudyFilter, StudyOrder
from ..store.transaction import Tx, now_of
from ..suggest.feasible import has_point
from .placement import may_use_data, offers_of
from .points import PointSource
from .reports import front_of, summary_of
from .settle import end, end_lease, expected_of, finished_of, settle, wake
from .views import Front, StudyPage, StudySummary, StudyView

SHOWN_DELIVERIES = 10
"""How many of its latest webhooks a study shows."""

PURGE_AFTER = timedelta(days=30)
"""How long a deleted study can be restored."""


class StudyService:
    """The use cases of studies."""

    def __init__(
        self, store: Store, points: PointSource, *, webhook_hosts: Collection[str] = ()
    ) -> None:
        self._store = store
        self._webhook_hosts = frozenset(webhook_hosts)
        self._points = points

    def check(self, raw: Mapping[str, Any]) -> Checked:
        """Parses and checks a definition without creating anything.

        Raises:
            InvalidInput: naming every fault.
        """
        checked = parse_definition(raw, draw_seed=_draw_seed, offers=self._offers())
        if not has_point(checked.definition.space):
            detail = "No point of the space keeps all constraints"
            fault = Fault(pointer="/constraints", code="constraints-unfulfillable", detail=detail)
            raise InvalidInput(detail, code="invalid-study", faults=[fault])
        self._check_webhook(checked.definition.webhook)
        return checked

    def _check_webhook(self, webhook: Webhook | None) -> None:
        """Only hosts that the settings list are told, whatever a study asks for."""
        if webhook is None or may_tell(webhook.host, self._webhook_hosts):
            return
        detail = (
            f"Webhooks may not go to {shown(webhook.host)}: the service's setting "
            "TUNEWELL_WEBHOOK_HOSTS does not list it."
        )
        fault = Fault(pointer="/webhook/url", code="webhook-host-not-listed", detail=detail)
        raise InvalidInput(detail, code="invalid-study", faults=[fault])

    def create(
        self, raw: Mapping[str, Any], *, receipt: Receipt[StudyView] | None = None
    ) -> StudyView:
        """Creates a study.

        Raises:
            InvalidInput: naming every fault of the definition.
            Conflict: `already-exists`, with the id of the study that has the name.
        """
        checked = self.check(raw)

        def create(tx: Tx) -> StudyView:
            study = study_rows.insert(tx, checked.definition)
            wake(study)
            return StudyView(study=study.study, best=None, warnings=checked.warnings)

        view = self._store.write(create, receipt=receipt)
        self._points.kick(view.study)
        return view

    def put_by_name(self, name: str, raw: Mapping[str, Any]) -> tuple[StudyView, bool]:
        """The study of that name: created, or the existing one when its definition is the same.

        Returns:
            The study, and whether it was created.

        Raises:
            InvalidInput: the definition is wrong, or names another name.
            Conflict: `study-definition-mismatch` with `diff[]`.
        """
        named = {"name": name, **raw}
        if named["name"] != name:
            detail = f"the body names the study {shown(named['name'])}, the path {shown(name)}"
            fault = Fault(pointer="/name", code="other-name", detail=detail)
            raise InvalidInput(detail, code="invalid-study", faults=[fault])
        existing = self._store.read(lambda conn: study_rows.by_name(conn, name))
        if existing is None:
            try:
                return self.create(named), True
            except Conflict as conflict:
                if conflict.code != "already-exists":
                    raise
                existing = self._store.read(lambda conn: study_rows.by_name(conn, name))
                if existing is None:
                    raise
        self._compare(existing, named)
        return self.get(existing.id), False

    def _compare(self, existing: Study, raw: Mapping[str, Any]) -> None:
        stored = existing.definition
        given = parse_definition(
            raw, draw_seed=lambda: stored.suggester.seed, offers=self._offers()
        ).definition
        diff = differences(stored, given)
        if diff:
            raise Conflict(
                f"a study named {stored.name!r} exists with another definition",
                code="study-definition-mismatch",
                members={"study_id": existing.id, "diff": diff},
            )

    def get(self, study_id: str) -> StudyView:
        """A study, with its best trial and warnings.

        Raises:
            NotFound: there is none, or it was deleted.
        """
        return self._store.read(lambda conn: _view(conn, study_rows.get(conn, study_id)))

    def page(
        self,
        filters: StudyFilter,
        size: int,
        token: str | None,
        order: StudyOrder = StudyOrder.NEWEST,
    ) -> StudyPage:
        """A page of studies, newest first unless another order is asked for."""

        def read(conn: Connection) -> StudyPage:
            page = study_rows.page(conn, filters=filters, size=size, token=token, order=order)
            wanted = [s.best_trial_id for s in page.items if s.best_trial_id]
            best = {trial.id: trial for trial in trial_rows.get_many(conn, wanted)}
            views = [StudyView(study=s, best=best.get(s.best_trial_id or "")) for s in page.items]
            return StudyPage(
                items=tuple(views),
                next_page_token=page.next_page_token,
                state_counts=study_rows.state_counts(conn, filters),
            )

        return self._store.read(read)

    def summary(self, study_id: str) -> StudySummary:
        """Rate, time left, trend and last failures of a study."""

        def read(conn: Connection) -> StudySummary:
            study = study_rows.get(conn, study_id)
            return summary_of(conn, study, now_of(conn))

        return self._store.read(read)

    def patch(self, study_id: str, raw: Mapping[str, Any], *, revision: int) -> StudyView:
        """Changes limits, priority, labels, description, resources or the webhook.

        Raises:
            InvalidInput: naming every fault of the changes.
            Precondition: the study's revision is another than the given one.
        """
        changes = parse_changes(raw)
        self._check_webhook(changes.webhook or None)

        def change(study: LockedStudy) -> None:
            definition = apply_changes(study.study.definition, changes)
            if definition == study.study.definition:
                return
            study.set(definition=definition, revision=study.study.revision + 1)
            study.emit(
                EventKind.STUDY_STATE, data={"state": study.study.state.value, "changed": True}
            )
            if study.study.state is StudyState.ACTIVE:
                settle(study)

        return self._change(study_id, change, revision=revision)

    def pause(
        self,
        study_id: str,
        *,
        revision: int | None = None,
        receipt: Receipt[StudyView] | None = None,
    ) -> StudyView:
        """Hands out no more trials; running ones go on to their end."""
        return self._change(
            study_id,
            lambda study: study.move(StudyState.PAUSED),
            revision=revision,
            receipt=receipt,
        )

    def resume(
        self,
        study_id: str,
        *,
        revision: int | None = None,
        receipt: Receipt[StudyView] | None = None,
    ) -> StudyView:
        """Goes on with a paused study, or with one that a limit ended and that has room again."""

        def resume(study: LockedStudy) -> None:
            may = limits.may_resume(
                study.study,
                now=study.tx.now,
                finished=finished_of(study),
                expected=expected_of(study),
            )
            if study.study.state is StudyState.COMPLETED and not may:
                raise Conflict(
                    _why_over(study.study.stop_reason),
                    members={
                        "current_state": study.study.state.value,
                        "allowed": [],
                        "study_id": study.id,
                    },
                )
            study.move(StudyState.ACTIVE)
            settle(study)

        return self._change(study_id, resume, revision=revision, receipt=receipt)

    def stop(
        self,
        study_id: str,
        *,
        revision: int | None = None,
        receipt: Receipt[StudyView] | None = None,
    ) -> StudyView:
        """Ends a study once its running trials have ended."""

        def stop(study: LockedStudy) -> None:
            study.move(StudyState.STOPPING, StopReason.USER)
            settle(study)

        return self._change(study_id, stop, revision=revision, receipt=receipt)

    def cancel(
        self,
        study_id: str,
        *,
        revision: int | None = None,
        receipt: Receipt[StudyView] | None = None,
    ) -> StudyView:
        """Ends a study at once; running trials are aborted."""
        return self._change(
            study_id,
            lambda study: end(study, StudyState.CANCELLED, StopReason.USER),
            revision=revision,
            receipt=receipt,
        )

    def delete(self, study_id: str, *, revision: int | None = None) -> StudyView:
        """Hides a study until it is restored or purged. Its leases end; their trials are pending
        again.
        """

        def delete(study: LockedStudy) -> None:
            for trial in trial_sets.open_of(study.tx.conn, study_id):
                if trial.state is TrialState.RUNNING:
                    end_lease(study, trial, LeaseEnd.RELEASED)
                    trial_rows.move(study, trial, TrialState.PENDING, lease_id=None)
            now = study.tx.now
            study.set(deleted_at=now, purge_at=now + PURGE_AFTER, revision=study.study.revision + 1)
            study.emit(
                EventKind.STUDY_STATE, data={"state": study.study.state.value, "deleted": True}
            )

        return self._change(study_id, delete, revision=revision)

    def undelete(self, study_id: str, *, receipt: Receipt[StudyView] | None = None) -> StudyView:
        """Restores a deleted study as it was.

        Raises:
            Conflict: `already-exists` when another study has taken the name.
            NotFound: its `purge_at` has passed: part of it may be gone.
        """

        def restore(tx: Tx) -> StudyView:
            study = study_rows.lock(tx, study_id, deleted=True)
            if study.study.deleted_at is None:
                return _view(tx.conn, study.study)
            if study.study.purge_at is not None and study.study.purge_at <= tx.now:
                raise NotFound(f"study {study_id} is deleted for good")
            name = study.study.definition.name
            taken = study_rows.by_name(tx.conn, name)
            if taken is not None:
                raise Conflict(
                    f"another study is named {name!r} now",
                    code="already-exists",
                    members={"study_id": taken.id},
                )
            study.set(deleted_at=None, purge_at=None, revision=study.study.revision + 1)
            study.emit(
                EventKind.STUDY_STATE, data={"state": study.study.state.value, "deleted": False}
            )
            wake(study)
            return _view(tx.conn, study.study)

        return self._store.write(restore, receipt=receipt)

    def best(self, study_id: str, k: int) -> list[Trial]:
        """The `k` best completed trials, best first; of a study with several objectives, its
        front.
        """

        def read(conn: Connection) -> list[Trial]:
            study = study_rows.get(conn, study_id)
            if len(study.definition.objectives) > 1:
                return list(front_of(conn, study).trials[:k])
            return trial_rows.best(conn, study, k)

        return self._store.read(read)

    def pareto(self, study_id: str) -> Front:
        """The Pareto front of the completed trials over the objective metrics, with its
        hypervolume.
        """
        return self._store.read(lambda conn: front_of(conn, study_rows.get(conn, study_id)))

    def _change(
        self,
        study_id: str,
        change: Callable[[LockedStudy], object],
        *,
        revision: int | None,
        receipt: Receipt[StudyView] | None = None,
    ) -> StudyView:
        def run(tx: Tx) -> StudyView:
            study = study_rows.lock(tx, study_id)
            if revision is not None and revision != study.study.revision:
                raise Precondition(
                    f"the study is at revision {study.study.revision}, not {revision}",
                    members={"current_revision": study.study.revision},
                )
            change(study)
            wake(study)
            return _view(tx.conn, study.study)

        view = self._store.write(run, receipt=receipt)
        if view.study.state in OPEN_STUDY_STATES and view.study.deleted_at is None:
            self._points.kick(view.study)
        else:
            self._points.forget(study_id)
        return view

    def _offers(self) -> list[ObjectiveOffer]:
        registered = self._store.read(worker_rows.offers)
        known = {**BUILT_IN, **{offer.name: offer for offer in registered}}
        return list(known.values())


def _draw_seed() -> int:
    return secrets.randbelow(2**31)


def _view(conn: Connection, study: Study) -> StudyView:
    best = trial_rows.get(conn, study.best_trial_id) if study.best_trial_id else None
    told = () if study.definition.webhook is None else _deliveries(conn, study)
    return StudyView(study=study, best=best, warnings=_warnings(conn, study), deliveries=told)


def _deliveries(conn: Connection, study: Study) -> tuple[Delivery, ...]:
    return tuple(delivery_rows.of_study(conn, study.id, SHOWN_DELIVERIES))


def _warnings(conn: Connection, study: Study) -> tuple[str, ...]:
    """What keeps an open study from going on, in words."""
    objective = study.definition.objective
    if objective is None or study.state not in OPEN_STUDY_STATES:
        return ()
    workers = [w for w in worker_rows.all_of(conn) if objective.name in offers_of(w)]
    if not workers:
        return (f"no registered worker offers the objective {objective.name!r}",)
    return tuple(
        f"worker {worker.name!r} has another data set than the one this study began with "
        f"({study.data_digest}) and is not given its trials"
        for worker in workers
        if not may_use_data(study, offers_of(worker))
    )


def _why_over(reason: StopReason | None) -> str:
    """Why a completed study does not go on."""
    if reason is StopReason.USER:
        return "the study was stopped by hand, for good: make another one, and import its trials"
    if reason is StopReason.SPACE_EXHAUSTED:
        return "the study's suggester has no further point: there is nothing to go on with"
    ended_by = "its limits" if reason is None else reason.value
    return f"the study was ended by {ended_by}, which still holds: raise that limit first"
