"""Histories in the service's own process: for suggesters without a model, and for fallbacks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ..domain.study import Study
from ..store import trial_changes
from ..store.engine import Store
from .history import StudyHistory, TrialRecord, record_of
from .shelf import Shelf, history_size


def changes_since(
    conn: Connection, study_id: str, seq: int
) -> tuple[Study, tuple[TrialRecord, ...]]:
    """A study and its trials that changed after `seq`, of one moment."""
    study, changed = trial_changes.since(conn, study_id, seq)
    metrics = tuple(metric.name for metric in study.definition.metrics)
    return study, tuple(
        record_of(
            one.id,
            one.number,
            one.params,
            one.state,
            one.values,
            one.failure,
            metrics,
            rungs=one.rungs,
            step=one.step,
        )
        for one in changed
    )


@dataclass(slots=True)
class _Kept:
    """A history, the change up to which it knows the study, and who uses it now."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    history: StudyHistory | None = None
    seq: int = -1


class Histories:
    """Histories of studies, each brought up to date when it is used; safe to use from threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._shelf: Shelf[_Kept] = Shelf(_size)

    @contextmanager
    def of(self, study_id: str) -> Iterator[tuple[Study, StudyHistory]]:
        """A study and its history, of one moment; nobody else touches the history meanwhile."""
        kept = self._kept(study_id)
        with kept.lock:
            study, delta = self._store.read(lambda conn: changes_since(conn, study_id, kept.seq))
            if kept.history is None:
                kept.history = StudyHistory(study.definition)
            kept.history.definition = study.definition
            kept.history.apply(delta)
            kept.seq = study.change_seq
            yield study, kept.history

    def forget(self, study_id: str) -> None:
        """Drops what is kept of a study."""
        with self._lock:
            self._shelf.drop(study_id)

    def _kept(self, study_id: str) -> _Kept:
        with self._lock:
            kept = self._shelf.get(study_id)
            if kept is None:
                kept = _Kept()
                self._shelf.put(study_id, kept)
            # Who still uses one that is dropped here goes on with it, alone.
            self._shelf.trim()
            return kept


def _size(kept: _Kept) -> int:
    return 0 if kept.history is None else history_size(kept.history)
