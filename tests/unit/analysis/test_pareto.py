"""The front and its hypervolume as columns."""

from __future__ import annotations

import math

import pytest

from app.analysis.pareto import pareto
from app.analysis.table import Row, TrialTable
from app.domain.front import hypervolume, pareto_front, reference_point
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState

LOSS = Metric(name="loss", direction=Direction.MINIMIZE)
SCORE = Metric(name="score", direction=Direction.MAXIMIZE)


def row(number: int, *values: float, **more: object) -> Row:
    given: dict[str, object] = {"state": TrialState.COMPLETED, "elapsed_s": float(number), **more}
    return Row(
        number=number,
        id=f"tr_{number}",
        value=values[0] if values else math.nan,
        bracket=-1,
        params={},
        values=values or (math.nan, math.nan),
        **given,  # type: ignore[arg-type]
    )


def table(*rows: Row) -> TrialTable:
    return TrialTable.of(rows, change_seq=1, direction=Direction.MINIMIZE)


def test_the_front_and_the_volume_after_each_trial_that_moved_it() -> None:
    rows = (
        row(1, 4.0, 1.0),
        row(2, 5.0, 0.5),  # worse in both
        row(3, 2.0, 0.5),
        row(4, 1.0, 3.0, is_feasible=False),
        row(5, state=TrialState.FAILED),
        row(6, 1.0, 2.0),
    )
    found = pareto(table(*rows), [LOSS, SCORE], max_points=100)
    assert found.columns["number"] == [1, 2, 3, 4, 6]
    assert found.columns["v1"] == [1.0, 0.5, 0.5, 3.0, 2.0]
    assert found.columns["on_front"] == [False, False, False, False, True]
    assert found.columns["is_feasible"] == [True, True, True, False, True]
    assert found.more["n_infeasible"] == 1
    assert found.excluded == {"failed": 1}
    assert found.more["reference"] == [1.1, 1.8]
    # Beyond the reference, which is that of the present front, nothing counts.
    assert found.more["hypervolume"]["number"] == [6]
    assert found.more["hypervolume"]["value"] == [pytest.approx(0.1 * 0.2, rel=1e-4)]


@pytest.mark.parametrize("m", [2, 3])
def test_the_line_ends_at_the_volume_of_the_study(m: int) -> None:
    rows = [
        row(number, *(math.sin(number * (k + 2)) + 2.0 for k in range(m)))
        for number in range(1, 400)
    ]
    metrics = [LOSS, SCORE, Metric(name="size", direction=Direction.MINIMIZE)][:m]
    found = pareto(table(*rows), metrics, max_points=100)
    values = [each.values for each in rows]
    directions = [metric.direction for metric in metrics]
    front = [values[at] for at in pareto_front(values, directions)]
    reference = reference_point(front, directions)
    line = found.more["hypervolume"]["value"]
    assert line[-1] == pytest.approx(hypervolume(front, reference, directions), rel=1e-4)
    assert line == sorted(line)
    numbers = {n for n, is_on in zip(*_pair(found), strict=True) if is_on}
    assert numbers == {at + 1 for at in pareto_front(values, directions)}
    assert found.n_shown <= 100 or len(numbers) > 100


def _pair(found: object) -> tuple[list[int], list[bool]]:
    columns = found.columns  # type: ignore[attr-defined]
    return columns["number"], columns["on_front"]


def test_one_objective_has_no_front_and_says_so() -> None:
    found = pareto(table(row(1, 1.0)), [LOSS], max_points=100)
    assert (found.n_shown, found.columns["on_front"]) == (0, [])
    assert "two objectives" in found.more["why"]


def test_huge_values_give_no_volume_and_no_error() -> None:
    found = pareto(table(row(1, 1.7e308, 1.7e308), row(2, 1.0, 1.0)), [LOSS, LOSS], max_points=100)
    assert found.columns["on_front"] == [False, True]
    alone = pareto(table(row(1, 1.7e308, 1.7e308)), [LOSS, LOSS], max_points=100)
    assert alone.more["reference"] is None
    assert alone.more["hypervolume"]["value"] == []
