"""Histories of studies kept at hand, the least recently used dropped first.

Bounded by what they hold together: one study of 10,000 trials is as much as 500 small ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from .history import StudyHistory

T = TypeVar("T")

KEPT_STUDIES = 64
"""Most histories kept, however small."""

KEPT_VALUES = 400_000
"""Most parameter values in all of them: 20,000 trials of 20 parameters."""


class Shelf(Generic[T]):
    """What is kept of studies, by their ids. Not safe to use from several threads at once.

    Args:
        size: parameter values in one of the things kept.
        studies: most studies kept.
        values: most parameter values kept.
    """

    def __init__(
        self, size: Callable[[T], int], *, studies: int = KEPT_STUDIES, values: int = KEPT_VALUES
    ) -> None:
        self._size = size
        self._studies = studies
        self._values = values
        self._kept: OrderedDict[str, T] = OrderedDict()

    def __contains__(self, study_id: str) -> bool:
        return study_id in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, study_id: str, kept: T) -> None:
        """Keeps something of a study, as what was used last."""
        self._kept[study_id] = kept
        self._kept.move_to_end(study_id)

    def get(self, study_id: str) -> T | None:
        """What is kept of a study, now the one used last; None when nothing is."""
        if study_id in self._kept:
            self._kept.move_to_end(study_id)
        return self._kept.get(study_id)

    def drop(self, study_id: str) -> None:
        """Forgets a study, if it is kept."""
        self._kept.pop(study_id, None)

    def trim(self) -> tuple[str, ...]:
        """Drops what was not used for longest until the rest is within bounds.

        The study used last always stays.

        Returns:
            Ids of the studies that were dropped.
        """
        sizes = {study_id: self._size(kept) for study_id, kept in self._kept.items()}
        total, gone = sum(sizes.values()), []
        while len(self._kept) > 1 and (len(self._kept) > self._studies or total > self._values):
            study_id, _ = self._kept.popitem(last=False)
            total -= sizes[study_id]
            gone.append(study_id)
        return tuple(gone)


def history_size(history: StudyHistory) -> int:
    """Parameter values in a history, at most."""
    return history.n_trials * len(history.definition.space.parameters)
