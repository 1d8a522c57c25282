"""Trials as a person handles them: look, enqueue, import, cancel, retry, note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from ..domain.selection import check_names
from ..domain.space import point_key
from ..domain.study import OPEN_STUDY_STATES, Study, StudyDefinition, StudyState
from ..domain.trial import TRIAL_TRANSITIONS, Measurement, Trial, TrialSource, TrialState
from ..errors import Conflict, Fault, Precondition
from ..store import leases as lease_rows
from ..store import measurements as measurement_rows
from ..store import studies as study_rows
from ..store import trial_sets
from ..store import trials as trial_rows
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.page import Page, bounded
from ..store.studies import LockedStudy
from ..store.transaction import Tx
from ..store.trials import TrialFilter
from ..suggest.design import complete_point, satisfies
from .exports import MOST_REPORTED, Export, export_of
from .incoming import MAX_ITEMS, Incoming, none_added, read_items
from .plot_tables import PlotTables
from .points import PointSource
from .settle import abort, note_best, settle, wake
from .trial_pages import TrialPages
from .views import TrialPage, TrialView

__all__ = ["MAX_ITEMS", "TrialService"]


class TrialService:
    """The use cases of trials."""

    def __init__(self, store: Store, points: PointSource, tables: PlotTables) -> None:
        self._store = store
        self._points = points
        self._pages = TrialPages(tables)

    def get(self, trial_id: str) -> TrialView:
        """A trial with its attempts and a summary of its measurements.

        Raises:
            NotFound: there is none, or its study is deleted.
        """

        def read(conn: Connection) -> TrialView:
            trial = _visible(conn, trial_id)
            return TrialView(
                trial=trial,
                attempts=tuple(lease_rows.of_trial(conn, trial_id)),
                measurements=measurement_rows.summary(conn, [trial_id]).get(trial_id),
            )

        return self._store.read(read)

    def page(
        self,
        study_id: str,
        filters: TrialFilter,
        order_by: str,
        size: int,
        token: str | None,
    ) -> TrialPage:
        """A page of a study's trials.

        Raises:
            NotFound: there is no such study.
            InvalidInput: a parameter is named that the study does not have, an order that there is
                not, or a token of another list.
        """

        def read(conn: Connection) -> TrialPage:
            study = study_rows.get(conn, study_id)
            check_names(study.definition.space.names, filters.where, order_by)
            page = self._pages.page(
                conn, study, filters=filters, order_by=order_by, size=size, token=token
            )
            return TrialPage(page=page, change_seq=study.change_seq)

        return self._store.read(read)

    def export(self, study_id: str, filters: TrialFilter, order_by: str) -> Export:
        """A study's trials for a file, in order.

        Raises:
            NotFound: there is no such study.
            InvalidInput: a parameter is named that the study does not have.
        """

        def read(conn: Connection) -> tuple[StudyDefinition, list[str]]:
            definition = study_rows.get(conn, study_id).definition
            check_names(definition.space.names, filters.where, order_by)
            declared = {metric.name for metric in definition.metrics}
            reported = trial_sets.reported_metrics(conn, study_id, declared, MOST_REPORTED)
            return definition, reported

        def page(size: int, token: str | None) -> Page[Trial]:
            return self.page(study_id, filters, order_by, size, token).page

        return export_of(*self._store.read(read), page)

    def measurements(
        self, trial_id: str, size: int | None = None, token: str | None = None
    ) -> Page[Measurement]:
        """A page of a trial's measurements, by attempt and step; without a size of all that one
        answer may have.

        Raises:
            NotFound: there is no such trial.
            InvalidInput: the token is of another list.
        """

        def read(conn: Connection) -> Page[Measurement]:
            _visible(conn, trial_id)
            most = measurement_rows.MOST if size is None else bounded(size)
            return measurement_rows.page(conn, trial_id, most, token)

        return self._store.read(read)

    def enqueue(
        self,
        study_id: str,
        items: Sequence[Mapping[str, Any]],
        *,
        receipt: Receipt[list[Trial]] | None = None,
    ) -> list[Trial]:
        """Adds points of the user's, or imports finished trials; all of them or none.

        Raises:
            InvalidInput: naming every fault in every item.
            Conflict: `budget-exhausted`, or the study has ended.
        """
        known = self._store.read(lambda conn: study_rows.get(conn, study_id))
        incoming = read_items(known.definition, items, self._store.now())
        completed = self._complete(known, incoming)

        def add(tx: Tx) -> list[Trial]:
            study = study_rows.lock(tx, study_id)
            _check_budget(study.study, completed)
            trials = [
                _insert(study, item, position=k, index=known.next_number + k)
                for k, item in enumerate(completed)
            ]
            settle(study)
            wake(study)
            return trials

        trials = self._store.write(add, receipt=receipt)
        self._points.kick(self._store.read(lambda conn: study_rows.get(conn, study_id)))
        return trials

    def _complete(self, study: Study, incoming: Sequence[Incoming]) -> list[Incoming]:
        """Fills in what partial points leave open, each in a way that no two become the same.

        Raises:
            InvalidInput: some of them cannot be filled in within the known constraints.
        """
        taken: set[str] = set()
        completed, faults = [], []
        for k, item in enumerate(incoming):
            params = item.params
            if item.is_partial:
                params = complete_point(
                    study.definition.space,
                    params,
                    study.definition.suggester.seed,
                    study.next_number + k,
                    frozenset(taken),
                )
                if not satisfies(study.definition.space, params):
                    faults.append(_left_no_room(k))
            taken.add(point_key(params))
            completed.append(item.with_params(params))
        if faults:
            raise none_added(faults)
        return completed

    def cancel(
        self,
        trial_id: str,
        *,
        revision: int | None = None,
        receipt: Receipt[Trial] | None = None,
    ) -> Trial:
        """Cancels a trial that has not ended; its worker is told to abort.

        Raises:
            Precondition: the trial's revision is another than the given one.
        """

        def cancel(tx: Tx) -> Trial:
            study, trial = _locked(tx, trial_id, revision)
            ended = abort(study, trial)
            settle(study)
            wake(study)
            return ended

        return self._changed(self._store.write(cancel, receipt=receipt))

    def retry(
        self,
        trial_id: str,
        *,
        revision: int | None = None,
        receipt: Receipt[Trial] | None = None,
    ) -> Trial:
        """Runs a failed trial again, with its attempts and losses counted anew.

        Raises:
            Conflict: the trial has not failed, its study ends or has ended, or no place is left.
            Precondition: the trial's revision is another than the given one.
        """

        def retry(tx: Tx) -> Trial:
            study, trial = _locked(tx, trial_id, revision)
            _check_failed(trial)
            _check_open(study.study)
            _check_places(study.study, 1)
            again = trial_rows.move(
                study,
                trial,
                TrialState.PENDING,
                attempts=0,
                losses=0,
                lease_id=None,
                not_before=None,
                min_memory_bytes=None,
            )
            wake(study)
            return again

        return self._changed(self._store.write(retry, receipt=receipt))

    def set_note(self, trial_id: str, note: str, *, revision: int | None) -> Trial:
        """Writes a person's note on a trial.

        Raises:
            Precondition: the trial's revision is another than the given one.
        """

        def write(tx: Tx) -> Trial:
            study, trial = _locked(tx, trial_id, revision)
            changed = trial_rows.update(study, trial, note=note, revision=trial.revision + 1)
            wake(study)
            return changed

        return self._store.write(write)

    def _changed(self, trial: Trial) -> Trial:
        study = self._store.read(lambda conn: study_rows.get(conn, trial.study_id))
        self._points.kick(study)
        return trial


def _visible(conn: Connection, trial_id: str) -> Trial:
    """A trial of a study that is not deleted.

    Raises:
        NotFound: there is none.
    """
    trial = trial_rows.get(conn, trial_id)
    study_rows.get(conn, trial.study_id)
    return trial


def _left_no_room(position: int) -> Fault:
    rule = "No way was found to complete the point so that it meets the study's constraints."
    return Fault(pointer=f"/trials/{position}/params", code="constraint-violated", detail=rule)


def _locked(tx: Tx, trial_id: str, revision: int | None) -> tuple[LockedStudy, Trial]:
    """A trial at the given revision (None: at any) and its study, locked.

    Raises:
        Precondition: it is at another one.
    """
    known = trial_rows.get(tx.conn, trial_id)
    study = study_rows.lock(tx, known.study_id)
    trial = trial_rows.get(tx.conn, trial_id)
    if revision is not None and trial.revision != revision:
        raise Precondition(
            f"the trial is at revision {trial.revision}, not {revision}",
            members={"current_revision": trial.revision},
        )
    return study, trial


def _check_failed(trial: Trial) -> None:
    # A running trial may become pending too, but then by its lease's end, never beside a live one.
    if trial.state is not TrialState.FAILED:
        raise Conflict(
            f"trial {trial.id} is {trial.state.value}: only a failed one is run again",
            members={
                "current_state": trial.state.value,
                "allowed": sorted(TRIAL_TRANSITIONS[trial.state] - {TrialState.PENDING}),
                "study_id": trial.study_id,
            },
        )


def _check_open(study: Study, *, is_to_run: bool = True) -> None:
    """Refuses trials of a study that has ended; of one that is stopping those that are to run, for
    it hands out no more.
    """
    is_late = is_to_run and study.state is StudyState.STOPPING
    if study.state not in OPEN_STUDY_STATES or is_late:
        raise Conflict(
            f"the study is {study.state.value}: it takes no more trials",
            members={"current_state": study.state.value, "allowed": [], "study_id": study.id},
        )


def _check_places(study: Study, wanted: int) -> None:
    total = study.definition.limits.max_trials
    if total is not None and study.places + wanted > total:
        raise Conflict(
            f"{wanted} more would pass max_trials: {study.places} of {total} places are taken",
            code="budget-exhausted",
            members={"places": study.places, "max_trials": total, "study_id": study.id},
        )


def _check_budget(study: Study, items: Sequence[Incoming]) -> None:
    _check_open(study, is_to_run=any(item.ended is None for item in items))
    _check_places(study, sum(1 for item in items if item.ended is None))


def _insert(study: LockedStudy, item: Incoming, *, position: int, index: int) -> Trial:
    """Adds one item of a call.

    Args:
        position: its place in the call, from 0.
        index: the number that its point was completed for.
    """
    if item.ended is None:
        provenance: dict[str, Any] = {}
        if item.is_partial:
            left_open = sorted(set(item.params) - set(item.given))
            provenance = {"completed": left_open, "index": index, "batch_position": position}
        return trial_rows.insert(
            study, params=item.params, source=TrialSource.USER, provenance=provenance
        )
    trial = trial_rows.insert(
        study,
        params=item.params,
        source=TrialSource.IMPORT,
        state=item.state,
        ended=item.ended,
    )
    note_best(study, trial)
    return trial
