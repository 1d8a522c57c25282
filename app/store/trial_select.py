"""How trials are read: their columns, with the expiry of the lease that they are under."""

from __future__ import annotations

from sqlalchemy import select

from ..domain.study import Metric, StudyDefinition
from .tables import leases, trials

_EXPIRY = (
    select(leases.c.expires_at)
    .where(leases.c.id == trials.c.lease_id, leases.c.ended_at.is_(None))
    .correlate(trials)
    .scalar_subquery()
    .label("lease_expires_at")
)

SELECT_TRIALS = select(trials, _EXPIRY)
"""Every trial. The expiry stands in the lease alone, so that a heartbeat writes one row."""


def first_metric(definition: StudyDefinition) -> Metric:
    """The metric that decides: the first objective."""
    return (definition.objectives or definition.metrics)[0]
