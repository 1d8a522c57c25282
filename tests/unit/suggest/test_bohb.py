"""`bohb`: what the Parzen estimator is shown, and how many draws are random."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from app.domain.fidelity import Ladder
from app.domain.space import FloatParameter, Space
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.bohb import at_highest_rung
from app.suggest.registry import suggest

SPACE = Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),))


def trial(number: int, *values: float) -> FinishedTrial:
    """A stopped trial with values at the first rungs."""
    rungs = tuple(zip((1, 3, 9), values, strict=False))
    return FinishedTrial(
        number=number,
        params={"x": number / 100},
        state=TrialState.STOPPED,
        values=(values[-1],),
        rungs=rungs,
        step=rungs[-1][0],
    )


REQUEST = SuggestRequest(
    space=SPACE,
    metrics=(Metric(name="loss", direction=Direction.MINIMIZE),),
    ladder=Ladder(rungs=(1, 3, 9), max_resource=9),
    index=50,
    finished=(
        *(trial(k, float(k)) for k in range(1, 10)),
        *(trial(k, float(k), 2.0 * k) for k in range(10, 13)),
        trial(13, 1.0, 2.0, 3.0),
    ),
)


def test_the_model_sees_the_highest_rung_with_enough_results_and_no_other_values() -> None:
    seen, rung = at_highest_rung(REQUEST)
    assert rung == 3
    assert {t.number: t.values for t in seen.finished} == {
        10: (20.0,),
        11: (22.0,),
        12: (24.0,),
        13: (2.0,),
    }
    assert [t.number for t in seen.pending] == list(range(1, 10))


def test_without_enough_results_there_is_no_value() -> None:
    seen, rung = at_highest_rung(replace(REQUEST, finished=(trial(1, 1.0), trial(2, 1.0))))
    assert rung is None
    assert seen.finished == ()


def test_about_a_third_of_the_points_is_random_and_named_so() -> None:
    made = suggest("bohb", replace(REQUEST, count=90)).suggestions
    chosen = Counter(s.provenance["chosen"] for s in made)
    assert 18 <= chosen["random"] <= 42
    assert {s.provenance["rung"] for s in made} == {3}
