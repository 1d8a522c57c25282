"""Time in which trials ran."""

from __future__ import annotations

import math

import pytest

from app.analysis.worked import worked_s
from app.domain.trial import TrialState

from .test_plots import row, table


def test_what_no_trial_ran_in_is_left_out() -> None:
    trials = (
        row(1, 1.0, begun_s=0.0, elapsed_s=10.0),
        row(2, 2.0, begun_s=5.0, elapsed_s=20.0),
        row(3, 3.0, begun_s=100.0, elapsed_s=110.0),  # after a pause of 80 s
        row(4, 4.0, begun_s=105.0, elapsed_s=130.0),
        row(5, state=TrialState.PENDING, elapsed_s=math.nan),
    )
    worked, idle = worked_s(table(*trials))
    assert worked.tolist()[:4] == [10.0, 20.0, 30.0, 50.0]
    assert math.isnan(worked[4])
    assert idle == 80.0


def test_a_trial_that_runs_leaves_no_gap_behind_its_start() -> None:
    trials = (
        row(1, 1.0, begun_s=0.0, elapsed_s=10.0),
        row(2, state=TrialState.RUNNING, begun_s=20.0, elapsed_s=math.nan),
        row(3, 3.0, begun_s=50.0, elapsed_s=60.0),
    )
    worked, idle = worked_s(table(*trials))
    assert (worked[0], worked[2], idle) == (10.0, 50.0, 10.0)
    assert math.isnan(worked[1])


@pytest.mark.parametrize("n", [0, 1])
def test_of_no_trial_and_of_imported_ones_no_start_is_known(n: int) -> None:
    worked, idle = worked_s(table(*[row(k + 1, 1.0, elapsed_s=7.0) for k in range(n)]))
    assert worked.tolist() == [0.0] * n
    assert idle == 7.0 * n
