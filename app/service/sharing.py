"""How replicas share the preparing of points: one fits for a study at a time, and whichever is
asked hands the points out.

A replica that fits holds the duty of that study. It keeps what it made in the database and gives
the duty up in one transaction; a replica that finds the duty taken waits for that instead of
fitting too. On SQLite there is one process, and nothing to share.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from ..domain.study import Study
from ..domain.trial import TrialSource
from ..store import leaders as leader_rows
from ..store import prepared as prepared_rows
from ..store import studies as study_rows
from ..store.engine import Store
from ..store.prepared import Prepared
from ..store.transaction import Tx
from ..suggest.base import Suggestion
from .leadership import LEASE_S
from .wake import WakeHub, Watch, points_topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Points for trial numbers `index`, `index` + 1, ...

    Attributes:
        results_seq: the results that the points know.
        suggestions: may be fewer than asked when `exhausted`.
    """

    index: int
    results_seq: int
    suggestions: tuple[Suggestion, ...]
    exhausted: bool = False

    @classmethod
    def none_of(cls, study: Study) -> Batch:
        """No points of a study."""
        return cls(index=study.next_number, results_seq=study.results_seq, suggestions=())

    def serves(self, index: int, results_seq: int, count: int) -> bool:
        """Whether it has `count` points for the trials from `index` on that know the results up to
        `results_seq`.
        """
        is_enough = len(self.suggestions) >= count or self.exhausted
        return self.index == index and self.results_seq >= results_seq and is_enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A study, and what other replicas have to do with its points, at one moment."""

    study: Study
    prepared: Batch | None = None
    is_taken: bool = False


class Sharing:
    """The part of one process in it.

    Args:
        store: the database.
        replica_id: names the process.
        hub: wakes it when another replica has prepared points.
        is_shared: whether there can be another replica.
    """

    def __init__(self, store: Store, replica_id: str, hub: WakeHub, *, is_shared: bool) -> None:
        self._store = store
        self._replica_id = replica_id
        self._hub = hub
        self._is_shared = is_shared

    @classmethod
    def of(cls, store: Store, replica_id: str, hub: WakeHub) -> Sharing:
        """Shares on Postgres only."""
        return cls(store, replica_id, hub, is_shared=store.dialect == "postgresql")

    def watch(self, study_id: str) -> AbstractContextManager[Watch]:
        """A watch over what other replicas prepare for a study."""
        return self._hub.watch([points_topic(study_id)])

    def look(self, study_id: str) -> Seen:
        """The study as it is now.

        Raises:
            NotFound: there is none.
        """

        def read(conn: Connection) -> Seen:
            study = study_rows.get(conn, study_id)
            if not self._is_shared:
                return Seen(study=study)
            found = prepared_rows.get(conn, study_id)
            holder = leader_rows.holder(conn, points_topic(study_id))
            return Seen(
                study=study,
                prepared=None if found is None else _batch_of(found),
                is_taken=holder not in (None, self._replica_id),
            )

        return self._store.read(read)

    def begin(self, study_id: str) -> bool:
        """Takes the duty of preparing a study's points; whether it is this replica's now."""
        if not self._is_shared:
            return True

        def take(tx: Tx) -> bool:
            return leader_rows.take(tx, points_topic(study_id), self._replica_id, LEASE_S)

        return self._store.write(take)

    def end(self, study_id: str, batch: Batch | None) -> Study | None:
        """Gives the duty up, and lets every replica have what was made.

        Returns:
            The study after that: what came in before it found the duty taken, and is this
            replica's to look at. None where nothing is shared.
        """
        if not self._is_shared:
            return None

        def give_up(tx: Tx) -> Study:
            # First: who finds the duty taken has committed before the study is read below.
            leader_rows.resign(tx, points_topic(study_id), self._replica_id)
            if batch is not None:
                prepared_rows.put(tx, study_id, _prepared_of(batch))
            tx.signal(points_topic(study_id))
            return study_rows.get(tx.conn, study_id, deleted=True)

        return self._store.write(give_up)


def _prepared_of(batch: Batch) -> Prepared:
    return Prepared(
        first_number=batch.index,
        results_seq=batch.results_seq,
        exhausted=batch.exhausted,
        points=[
            {"params": s.params, "source": s.source.value, "provenance": s.provenance}
            for s in batch.suggestions
        ],
    )


def _batch_of(prepared: Prepared) -> Batch:
    return Batch(
        index=prepared.first_number,
        results_seq=prepared.results_seq,
        exhausted=prepared.exhausted,
        suggestions=tuple(_suggestion(point) for point in prepared.points),
    )


def _suggestion(point: Any) -> Suggestion:
    return Suggestion(
        params=point["params"],
        source=TrialSource(point["source"]),
        provenance=point["provenance"],
    )
