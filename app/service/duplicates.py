"""Trials whose point is equal work to one that the study has completed: they get its result.

Runs inside the transaction of the write under the trial's lease.
"""

from __future__ import annotations

from typing import Any

from ..domain.trial import DUPLICATE_OF, Trial, TrialSource, TrialState
from ..store import trial_sets
from ..store import trials as trial_rows
from .fence import Held
from .settle import note_best


def answered(held: Held, equivalent: str) -> Trial | None:
    """Completes a trial with the result of an earlier one; None where it has to be trained.

    A replicate is a repetition on purpose, and a trial that was told to pause or stop does that.
    The study's rule sees a completed trial with a value; no steps are counted, for none were
    trained.

    Args:
        held: the trial, under its lease.
        equivalent: digest of its canonical point.
    """
    trial = held.trial
    if trial.source is TrialSource.REPLICATE or trial.directive is not None:
        return None
    earlier = trial_sets.completed_equal(held.study.tx.conn, held.study.id, equivalent)
    if earlier is None:
        return None
    of = {"trial_id": earlier.id, "number": earlier.number, "source": trial.source.value}
    provenance: dict[str, Any] = {**trial.provenance, DUPLICATE_OF: of}
    completed = trial_rows.move(
        held.study,
        trial,
        TrialState.COMPLETED,
        values=dict(earlier.values),
        step=earlier.step,
        data=earlier.data,
        source=TrialSource.DUPLICATE,
        provenance=provenance,
    )
    note_best(held.study, completed)
    return completed
