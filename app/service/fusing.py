"""Which trials are handed out to be trained as one. Pure.

The service knows no more of it than what the worker says: of which objectives it may train several
as one, and how many. Whether two trials go together the worker finds out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..domain.ids import new_id
from ..domain.study import Study
from .views import Grant

MOST_TRIALS = 1_000
"""Trials that a claim is given at most, as without groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """Grants, each of a group with the group's name, and how many places they take."""

    grants: Sequence[Grant]
    n_places: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusing:
    """What a claim says of it.

    Attributes:
        most: how many trials of an objective take one place, by the objective's name.
        group: a group that all that is handed out joins, or None.
    """

    most: Mapping[str, int] = field(default_factory=dict)
    group: str | None = None

    def n_trials(self, study: Study, n_places: int) -> int:
        """How many trials of a study take so many places."""
        objective = study.definition.objective
        each = self.most.get(objective.name, 1) if objective else 1
        return min(n_places * each, MOST_TRIALS)

    def grouped(self, grants: Sequence[Grant], n_places: int) -> Grouped:
        """Grants of one study, shared out evenly over the places."""
        if self.group is not None:
            joining = [replace(grant, fuse_group=self.group) for grant in grants]
            return Grouped(grants=joining, n_places=len(joining))
        objective = grants[0].objective if grants else None
        if objective is None or self.most.get(objective.name, 1) == 1:
            return Grouped(grants=grants, n_places=len(grants))
        n_groups = min(n_places, len(grants))
        size = math.ceil(len(grants) / n_groups)
        names = [new_id("fg") for _ in range(n_groups)]
        fused = [replace(grant, fuse_group=names[k // size]) for k, grant in enumerate(grants)]
        return Grouped(grants=fused, n_places=math.ceil(len(grants) / size))


ALONE = Fusing()
"""Each trial takes a place of its own."""
