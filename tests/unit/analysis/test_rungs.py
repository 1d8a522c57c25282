"""Who came to each rung, and what became of them there."""

from __future__ import annotations

import math

from app.analysis.rungs import rungs
from app.analysis.table import Path, Row, TrialTable
from app.domain.fidelity import Directive
from app.domain.study import Direction
from app.domain.trial import TrialState


def row(number: int, state: TrialState, path: Path, bracket: int = -1) -> Row:
    return Row(
        number=number,
        id=f"tr_{number}",
        state=state,
        value=math.nan,
        elapsed_s=math.nan,
        bracket=bracket,
        params={},
        path=path,
    )


def table(*rows: Row) -> TrialTable:
    return TrialTable.of(rows, change_seq=1, direction=Direction.MINIMIZE)


PROMOTING = (
    row(1, TrialState.COMPLETED, Path(rungs=((1, 0.5), (3, 0.4), (9, 0.3)), to_step=9, step=9)),
    row(2, TrialState.RUNNING, Path(rungs=((1, 0.6),), to_step=3, step=2)),
    row(3, TrialState.PAUSED, Path(rungs=((1, 0.9),), to_step=1, step=1)),
    row(4, TrialState.RUNNING, Path(rungs=((1, 0.8),), to_step=1, directive=Directive.PAUSE)),
    row(5, TrialState.FAILED, Path(to_step=1)),
    row(6, TrialState.STOPPED, Path(rungs=((1, 0.7), (3, math.nan)), to_step=3, step=3)),
    row(7, TrialState.PENDING, Path()),
    row(8, TrialState.RUNNING, Path(to_step=1)),
)


def test_each_rung_has_those_that_were_sent_there() -> None:
    found = rungs(table(*PROMOTING), lambda _: (1, 3, 9), max_points=100)
    columns = found.columns
    assert columns["bracket"] == [None, None, None]
    assert columns["resource"] == [1, 3, 9]
    assert columns["n_entered"] == [7, 3, 1]
    assert columns["n_promoted"] == [3, 1, 0]
    assert columns["n_waiting"] == [2, 0, 0]
    assert columns["n_stopped"] == [0, 1, 0]
    assert columns["n_running"] == [1, 1, 0]
    assert columns["n_failed"] == [1, 0, 0]
    assert columns["n_finished"] == [0, 0, 1]
    assert columns["cutoff"] == [0.7, 0.4, None]
    assert found.excluded == {"pending": 1}
    points = found.more["points"]
    assert points["number"] == [1, 1, 1, 2, 3, 4, 6, 6]
    assert points["value"][-1] is None
    assert points["decision"][:3] == ["promoted", "promoted", "finished"]
    assert found.n_shown == 5


def test_a_rule_that_stops_lets_the_others_run_to_their_end() -> None:
    rows = (
        row(1, TrialState.STOPPED, Path(rungs=((1, 0.9),), directive=Directive.STOP, step=2)),
        row(2, TrialState.RUNNING, Path(rungs=((1, 0.5),), step=1)),
        row(3, TrialState.COMPLETED, Path(rungs=((1, 0.4),), step=3)),
        row(4, TrialState.STOPPED, Path(step=None)),
    )
    columns = rungs(table(*rows), lambda _: (1, 4, 16), max_points=100).columns
    assert columns["n_entered"] == [4, 3]
    assert columns["n_promoted"] == [3, 0]
    assert columns["n_stopped"] == [1, 1]
    assert columns["n_running"] == [0, 1]
    assert columns["n_finished"] == [0, 1]


def test_brackets_have_their_own_rungs_and_only_the_newest_are_shown() -> None:
    rows = [
        row(at + 1, TrialState.PAUSED, Path(rungs=((1, 0.1), (3, 0.2)), to_step=3, step=3), at)
        for at in range(120)
    ]
    found = rungs(table(*rows), lambda b: (3, 9) if (b or 0) % 2 else (1, 3, 9), max_points=100)
    assert found.more["n_brackets"] == 120
    assert found.columns["bracket"][0] == 20
    first = [at for at, b in enumerate(found.columns["bracket"]) if b == 21]
    assert [found.columns["resource"][at] for at in first] == [3]
    assert found.n_used == 100


def test_without_a_rule_there_is_a_sentence() -> None:
    found = rungs(table(*PROMOTING), None, max_points=100)
    assert (found.n_shown, found.columns["rung"]) == (0, [])
    assert found.more["why"] == "this study stops no trial early"
