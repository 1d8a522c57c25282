"""The next trial of a client, given out in the transaction that ends its last one.

That is one transaction, one draw and one flush to disk for both, where the point needs neither a
model nor the study's history. In any other case, and where nothing is to be had at once, the ask is
made by itself after the end.
"""

from __future__ import annotations

import logging
import time

from ..domain.study import Study
from ..logs import bind
from ..metrics import Metrics
from ..store import leases as lease_rows
from ..store.studies import LockedStudy
from ..suggest.registry import effective_suggester
from .asks import Holder, Taken
from .fence import Held
from .handout import Points, Share, start_some
from .points import PointSource
from .sharing import Batch
from .views import Grant, Suggested

log = logging.getLogger(__name__)


class Following:
    """An ask that comes with the end of a trial.

    Args:
        want: how many trials, >= 1.
        points: where points come from.
    """

    def __init__(self, holder: Holder, want: int, points: PointSource, metrics: Metrics) -> None:
        self._holder = holder
        self._want = want
        self._points = points
        self._metrics = metrics
        self._is_free = False
        self._waited_s = 0.0
        self._taken: Taken | None = None

    @property
    def answer(self) -> Suggested | None:
        """What it brought; None where it has to be made by itself."""
        if self._taken is None:
            return None
        return Suggested(grants=tuple(self._taken.grants), study_state=self._taken.study.state)

    @property
    def grants(self) -> list[Grant]:
        """The trials that it brought."""
        return [] if self._taken is None else self._taken.grants

    def look(self, held: Held) -> None:
        """Before the end is written: whether the client has other trials, which come back first."""
        self._taken = None  # the transaction may run again
        who, study = self._holder, held.study
        self._is_free = not lease_rows.has_other_open(
            study.tx.conn, study.id, who.client_id, who.token_id, held.lease.id
        )

    def take(self, study: LockedStudy) -> None:
        """After the end: trials for the client, in the same transaction."""
        batch = self._drawn(study.study) if self._is_free else None
        if batch is None:
            return
        share = Share(self._holder, self._want, study.tx.actor)
        grants = start_some(study, share, Points(study, batch))
        if grants:
            self._taken = Taken(study.study, grants)

    def _drawn(self, study: Study) -> Batch | None:
        begun = time.monotonic()
        try:
            return self._points.at_once(study, self._want)
        except Exception:
            # The end is not to fail for it: the ask that follows by itself says what is wrong.
            log.warning("next_not_drawn", extra={"study_id": study.id}, exc_info=True)
            return None
        finally:
            self._waited_s = time.monotonic() - begun

    def note(self) -> None:
        """Once it is on disk: counts what was given."""
        if self._taken is None:
            return
        study = self._taken.study
        self._metrics.suggested(effective_suggester(study.definition), self._waited_s)
        for each in self._taken.grants:
            self._metrics.granted(to_worker=False)
            bind(study_id=study.id, trial_id=each.trial.id, lease_id=each.lease.id)
