"""The best trials by posterior mean, and repeats that are meant."""

from __future__ import annotations

import random
from typing import Any

import pytest

from app.domain.trial import TrialSource
from app.errors import InvalidInput
from app.service.asks import Holder
from app.service.handout import Share
from app.service.services import Services
from app.service.sharing import Batch
from app.suggest.base import Suggestion

from .conftest import Bench, definition

pytestmark = pytest.mark.anyio


def imported(services: Services, study_id: str, points: list[tuple[float, float]]) -> None:
    services.trials.enqueue(
        study_id, [{"params": {"x": x}, "values": {"value": value}} for x, value in points]
    )


def noisy(n: int, sign: float = 1.0) -> list[tuple[float, float]]:
    """A valley at 0.3 under noise, and one lucky draw far from it."""
    rng = random.Random(4)
    points = [(k / n, sign * (4 * (k / n - 0.3) ** 2 + rng.gauss(0, 0.1))) for k in range(n)]
    return [*points, (0.905, sign * -0.35)]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
async def test_a_lucky_draw_is_the_best_observed_but_not_the_best(
    bench: Bench, services: Services, direction: str
) -> None:
    metrics = [{"name": "value", "direction": direction}]
    study_id = bench.study(definition(metrics=metrics))
    sign = 1.0 if direction == "minimize" else -1.0
    imported(services, study_id, noisy(40, sign))
    [observed] = services.studies.best(study_id, 1)
    assert observed.params["x"] == 0.905
    found = await services.winners.best(study_id, 3)
    assert found.is_noisy
    assert found.n_results == 41
    for winner in found.trials:
        assert abs(winner.trial.params["x"] - 0.3) < 0.15
        assert abs(winner.mean) < 0.15, "in the metric's own units"
        assert 0 < winner.sd < 0.2
    means = [sign * winner.mean for winner in found.trials]
    assert means == sorted(means)


async def test_without_noise_means_are_the_values(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition())
    imported(services, study_id, [(k / 12, 1000 + (k / 12 - 0.4) ** 2) for k in range(13)])
    found = await services.winners.best(study_id, 5)
    assert [w.trial.number for w in found.trials] == [
        t.number for t in services.studies.best(study_id, 5)
    ]
    for winner in found.trials:
        assert winner.mean == pytest.approx(winner.trial.values["value"], abs=0.02)


async def test_a_ranking_is_kept_until_a_result_comes(
    bench: Bench, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = bench.study(definition())
    imported(services, study_id, noisy(10))
    first = await services.winners.best(study_id, 1)
    points = services.winners._points
    asked: list[Any] = []
    real = points._asked
    monkeypatch.setattr(points, "_asked", lambda *args: asked.append(args) or real(*args))
    assert await services.winners.best(study_id, 1) == first
    assert asked == []
    imported(services, study_id, [(0.31, 0.0)])
    assert (await services.winners.best(study_id, 1)).n_results == 12
    assert len(asked) == 1


async def test_too_few_results_or_several_objectives_are_refused(
    bench: Bench, services: Services
) -> None:
    few = bench.study(definition("few"))
    imported(services, few, [(0.1, 1.0), (0.2, 2.0)])
    with pytest.raises(InvalidInput, match="3 finished trials"):
        await services.winners.best(few, 1)
    metrics = [{"name": name, "direction": "minimize"} for name in ("value", "other")]
    several = bench.study(definition("several", metrics=metrics))
    with pytest.raises(InvalidInput, match="several objectives"):
        await services.winners.best(several, 1)


async def test_a_threshold_is_kept_by_the_best(bench: Bench, services: Services) -> None:
    metrics = [
        {"name": "value", "direction": "minimize"},
        {"name": "size", "direction": "minimize", "role": "constraint", "threshold": 1.0},
    ]
    study_id = bench.study(definition(metrics=metrics))
    services.trials.enqueue(
        study_id,
        [
            {"params": {"x": x / 10}, "values": {"value": x / 10, "size": 2.0 if x < 3 else 0.5}}
            for x in range(10)
        ],
    )
    found = await services.winners.best(study_id, 10)
    assert [w.trial.params["x"] for w in found.trials] == pytest.approx(
        [x / 10 for x in range(3, 10)]
    )


async def test_a_replicate_may_repeat_a_point_and_holds_a_place(
    bench: Bench, services: Services
) -> None:
    # Of a suggester that cannot draw anew at once.
    made = definition(suggester={"name": "tpe", "seed": 1}, limits={"max_trials": 3})
    study_id = bench.study(made)
    [grant] = await bench.suggest(study_id)
    point = dict(grant.trial.params)
    holder = Holder(client_id=None, token_id=None, duration_s=60)
    handout = services.claims._handout

    def hand_out(source: TrialSource) -> Any:
        suggestion = Suggestion(params=point, source=source)
        batch = Batch(index=1, results_seq=0, suggestions=(suggestion,))
        (taken,), has_clashed = handout._write(study_id, [Share(holder, 1)], batch)
        return taken, has_clashed

    assert hand_out(TrialSource.SUGGESTER)[1]
    taken, has_clashed = hand_out(TrialSource.REPLICATE)
    assert not has_clashed
    [repeat] = taken.grants
    assert repeat.trial.params == point
    assert repeat.trial.source is TrialSource.REPLICATE
    assert taken.study.places == 2
    assert services.trials.get(repeat.trial.id).trial.source is TrialSource.REPLICATE
