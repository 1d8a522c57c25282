"""The plots of a small study, number by number."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from app.analysis import curves as curve_plots
from app.analysis.failures import Failed, failures, fingerprint
from app.analysis.history import history
from app.analysis.parallel import parallel
from app.analysis.slices import slices
from app.analysis.table import STATES, Row, TrialTable
from app.analysis.timeline import Bar, timeline
from app.domain.space import CategoricalParameter, Condition, FloatParameter, IntParameter
from app.domain.study import Direction
from app.domain.trial import TrialState

LR = FloatParameter(name="lr", low=1e-4, high=1e-2, log=True)
KIND = CategoricalParameter(name="kind", choices=("a", 1, True))
DEPTH = IntParameter(name="depth", low=1, high=5, when=Condition(param="kind", choices=("a",)))
AT = datetime(2026, 1, 1, tzinfo=UTC)


def row(number: int, value: float = math.nan, **more: Any) -> Row:
    given: dict[str, Any] = {
        "state": TrialState.COMPLETED,
        "elapsed_s": float(number),
        "bracket": -1,
        "params": {"lr": 1e-3, "kind": "a", "depth": 3},
        **more,
    }
    return Row(number=number, id=f"tr_{number}", value=value, **given)


def table(*rows: Row, direction: Direction = Direction.MINIMIZE) -> TrialTable:
    return TrialTable.of(rows, change_seq=9, direction=direction)


MIXED = (
    row(1, 3.0),
    row(2, 4.0),
    row(3, state=TrialState.FAILED),
    row(4, 1.0, state=TrialState.STOPPED),
    row(5, 2.0),
    row(6, state=TrialState.RUNNING, elapsed_s=math.nan, last=0.5),
    row(7, state=TrialState.PENDING, elapsed_s=math.nan),
)


def test_a_history_has_every_trial_that_began_and_the_improvements() -> None:
    found = history(table(*MIXED), "number", max_points=100)
    assert found.columns["number"] == [1, 2, 3, 4, 5, 6]
    assert found.columns["value"] == [3.0, 4.0, None, 1.0, 2.0, 0.5]
    assert found.columns["elapsed_s"][-1] is None
    assert [STATES[state] for state in found.columns["state"]][2] is TrialState.FAILED
    assert found.excluded == {"pending": 1, "failed": 1}
    (best,) = found.more["best"]
    assert (best["bracket"], best["number"], best["value"]) == (None, [1, 5], [3.0, 2.0])


def test_what_is_not_finite_is_counted_and_stands_nowhere() -> None:
    rows = (
        row(1, 3.0),
        row(2, math.nan),
        row(3, state=TrialState.RUNNING, elapsed_s=math.nan, last=math.inf),
        row(4, state=TrialState.RUNNING, elapsed_s=math.nan),
        row(5, state=TrialState.STOPPED, last=2.0),
        row(6, 1.0, is_feasible=False),
    )
    found = history(table(*rows), "number", max_points=100)
    assert found.columns["value"] == [3.0, None, None, None, 2.0, 1.0]
    assert found.excluded == {"nan": 2}
    assert found.more["best"][0]["number"] == [1]


def test_a_few_wild_values_have_the_axis_cut() -> None:
    tame = [0.9 + k / 100 for k in range(10)]
    rows = [row(n, value) for n, value in enumerate([*tame, 1e308, -1e308], start=1)]
    found = history(table(*rows), "number", max_points=100)
    assert found.more["axis"] == {"low": 0.9, "high": 0.99, "n_outside": 2}
    assert history(table(*rows[:10]), "number", max_points=100).more["axis"] is None
    equal = [row(n, value) for n, value in enumerate([1.0] * 20 + [9.0], start=1)]
    found = history(table(*equal), "number", max_points=100)
    assert found.more["axis"] == {"low": 1.0, "high": 1.0, "n_outside": 1}


def test_the_best_line_follows_the_direction_and_the_time() -> None:
    late = (row(1, 3.0, elapsed_s=9.0), row(2, 4.0, elapsed_s=2.0), row(3, 5.0, elapsed_s=5.0))
    found = history(table(*late, direction=Direction.MAXIMIZE), "elapsed", max_points=100)
    assert found.more["best"][0]["number"] == [2, 3]


def test_each_bracket_has_a_best_line() -> None:
    rows = (row(1, 3.0, bracket=0), row(2, 2.0, bracket=1), row(3, 1.0, bracket=0))
    best = history(table(*rows), "number", max_points=100).more["best"]
    assert [(line["bracket"], line["number"]) for line in best] == [(0, [1, 3]), (1, [2])]


@pytest.mark.parametrize("n", [0, 1])
def test_studies_with_next_to_nothing_have_plots(n: int) -> None:
    small = table(*(row(number + 1, 1.0) for number in range(n)))
    assert history(small, "elapsed", max_points=100).n_shown == n
    assert slices(small, [LR], max_points=100).n_shown == n
    assert parallel(small, [LR], max_points=100, seed=1).n_shown == n
    chosen = curve_plots.choose(small, max_curves=100, seed=1)
    assert curve_plots.curves(small, chosen, {}).n_shown == 0


def test_a_slice_has_values_as_they_are_and_quartiles_along_the_scale() -> None:
    rows = [
        row(number, float(number), params={"lr": lr, "kind": "a"})
        for number, lr in enumerate([1e-4] * 5 + [1e-2] * 5, start=1)
    ]
    found = slices(table(*rows, row(11, state=TrialState.FAILED)), [LR], max_points=100)
    (part,) = found.more["slices"]
    assert part["x"] == [1e-4] * 5 + [1e-2] * 5
    assert part["bins"]["n"] == [5, 5]
    assert part["bins"]["q50"] == [3.0, 8.0]
    assert part["bins"]["place"] == [round(0.5 / 12, 6), pytest.approx(11.5 / 12, abs=1e-5)]
    assert found.excluded == {"failed": 1}
    assert found.axes[0] == {"param": "lr", "type": "float", "log": True, "low": 1e-4, "high": 1e-2}


def test_a_slice_has_no_place_for_a_parameter_that_is_not_active() -> None:
    rows = (row(1, 1.0), row(2, 2.0, params={"lr": 1e-3, "kind": 1}))
    (part,) = slices(table(*rows), [DEPTH], max_points=100).more["slices"]
    assert part["x"] == [3, None]


def test_parallel_places_are_on_each_parameters_own_scale() -> None:
    rows = (
        row(1, 1.0),
        row(2, 2.0, params={"lr": 1e-4, "kind": 1}),
        row(3, 3.0, params={"lr": 1e-2, "kind": True}),
    )
    columns = parallel(table(*rows), [LR, KIND, DEPTH], max_points=100, seed=1).columns
    assert columns["param:lr"] == [500, 0, 1000]
    assert columns["param:kind"] == [0, 500, 1000]
    assert columns["param:depth"] == [500, -1, -1]


def test_curves_lie_one_after_another_with_a_band_of_the_completed() -> None:
    steps = np.array([1, 2, 4])
    rows = [row(number, 1.0, has_reported=True) for number in range(1, 6)]
    rows += [row(6, state=TrialState.RUNNING, has_reported=True), row(7, state=TrialState.FAILED)]
    curve = curve_plots.Curve.of
    found = {n: curve(steps, np.array([n, n + 1.0, n + 2.0])) for n in range(1, 6)}
    found[6] = curve(steps[:1], np.array([9.0]))
    small = table(*rows)
    chosen = curve_plots.choose(small, max_curves=100, seed=1)
    plot = curve_plots.curves(small, chosen, found)
    assert plot.columns["number"] == [1, 2, 3, 4, 5, 6]
    assert plot.columns["offset"] == [0, 3, 6, 9, 12, 15]
    assert plot.columns["length"] == [3, 3, 3, 3, 3, 1]
    assert len(plot.more["points"]["step"]) == 16
    band = plot.more["band"]
    assert (band["step"], band["p50"], band["n"]) == ([1, 2, 4], [3.0, 4.0, 5.0], [5, 5, 5])


def test_of_many_curves_the_running_and_the_best_are_drawn() -> None:
    rows = [row(number, float(number), has_reported=True) for number in range(1, 2_001)]
    rows[1_500] = row(1_501, state=TrialState.RUNNING, has_reported=True)
    small = table(*rows)
    chosen = curve_plots.choose(small, max_curves=200, seed=1)
    shown = set(small.number[chosen].tolist())
    assert len(shown) == 200
    assert set(range(1, 21)) | {1_501} <= shown


def bar(number: int, start_s: float, end_s: float | None, holder: str = "w") -> Bar:
    end = None if end_s is None else "completed"
    return Bar(number=number, attempt=1, holder=holder, start_s=start_s, end_s=end_s, end=end)


def test_a_timeline_has_what_touches_the_window() -> None:
    bars = (bar(1, 0, 5), bar(2, 4, 12, "v"), bar(3, 20, 30), bar(4, 1, None))
    found = timeline(bars, change_seq=1, n_total=4, from_s=6, to_s=15)
    assert found.columns["number"] == [4, 2]
    assert [found.more["holders"][at] for at in found.columns["holder"]] == ["w", "v"]
    assert found.columns["end_s"] == [None, 12]
    assert found.sampling == "all"


def test_of_a_long_timeline_the_last_bars_are_shown() -> None:
    bars = [bar(number, float(number), number + 0.5) for number in range(1_200)]
    found = timeline(bars, change_seq=1, n_total=1_200, from_s=0, to_s=None)
    assert (found.n_used, found.n_shown, found.sampling) == (1_200, 1_000, "last")
    assert found.columns["number"][0] == 200


def failed(number: int, message: str, kind: str = "user_error", frame: str = "train") -> Failed:
    return Failed(
        number=number,
        kind=kind,
        message=message,
        traceback=f'Traceback\n  File "a.py", line 3, in {frame}\n    x\nValueError',
        holder=f"w{number % 2}",
        at=AT + timedelta(seconds=number),
    )


def test_failures_that_differ_in_numbers_only_are_one_group() -> None:
    attempts = [failed(number, f"lost {number} rows at 0x{number:x}ff") for number in (1, 2, 3)]
    attempts += [failed(4, "lost a row"), failed(5, "lost 9 rows", kind="oom")]
    found = failures(attempts, change_seq=1, n_total=9)
    assert found.columns["n"] == [3, 1, 1]
    assert found.columns["numbers"][0] == [1, 2, 3]
    assert found.columns["message"][0] == "lost 3 rows at 0x3ff"
    assert found.columns["holders"][0] == {"w0": 1, "w1": 2}
    assert found.columns["first_at"][0] == AT + timedelta(seconds=1)


def test_the_frame_in_which_it_broke_tells_failures_apart() -> None:
    one, other = (failed(1, "x", frame=frame) for frame in ("load", "train"))
    assert fingerprint(one.kind, one.message, one.traceback) != fingerprint(
        other.kind, other.message, other.traceback
    )
