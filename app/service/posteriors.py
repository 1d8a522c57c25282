"""Posteriors of studies kept until a result changes: several people may look at the same list."""

from __future__ import annotations

import threading

from ..domain.study import Study
from ..suggest.winner import Posterior
from .shelf import Shelf


class Posteriors:
    """The newest posterior of each study; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shelf: Shelf[tuple[int, Posterior]] = Shelf(lambda kept: len(kept[1].numbers))

    def of(self, study: Study) -> Posterior | None:
        """The posterior of the study's present results; None when it has to be worked out."""
        with self._lock:
            seq, posterior = self._shelf.get(study.id) or (-1, None)
        return posterior if seq == study.results_seq else None

    def keep(self, study: Study, posterior: Posterior | None) -> None:
        """Keeps a posterior of the study's results as they were."""
        if posterior is not None:
            with self._lock:
                self._shelf.put(study.id, (study.results_seq, posterior))
                self._shelf.trim()
