"""Studies with something odd about them: every kind of analysis has an answer for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_args

import httpx
import pytest

from app.service.analysis import Kind

from .conftest import ask, create, tell
from .test_analysis import report

pytestmark = pytest.mark.anyio

Http = httpx.AsyncClient
Study = dict[str, Any]

X = {"name": "x", "type": "float", "low": 0, "high": 1}
MODEL = {"name": "model", "type": "categorical", "choices": ["a,b:c", 1, True]}
DEPTH = {"name": "depth", "type": "int", "low": 1, "high": 9, "when": {"param": "model", "in": [1]}}
ONCE = {"max_attempts": 1}


async def told(http: Http, study: Study, trials: list[dict[str, Any]]) -> Study:
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": trials})
    assert answer.status_code == 201, answer.text
    return study


async def no_trial(http: Http) -> Study:
    return await create(http)


async def one_trial(http: Http) -> Study:
    study = await create(http)
    await tell(http, await ask(http, study["id"]), 1.0)
    return study


async def one_parameter(http: Http) -> Study:
    trials = [{"params": {"x": k / 20}, "values": {"value": k * 1.0}} for k in range(20)]
    return await told(http, await create(http), trials)


async def fifty_parameters(http: Http) -> Study:
    space = [{**X, "name": f"p {k}"} for k in range(50)]
    trials = [
        {"params": {f"p {k}": ((k + 3) * t % 29) / 29 for k in range(50)}, "values": {"value": t}}
        for t in range(25)
    ]
    return await told(http, await create(http, space=space), trials)


async def all_failed(http: Http) -> Study:
    study = await create(http, failure_policy=ONCE)
    for _ in range(3):
        trial = await ask(http, study["id"])
        body = {"lease_id": trial["lease_id"], "kind": "oom", "message": "x" * 300}
        await http.post(f"/v1/trials/{trial['id']}:fail", json=body)
    return study


async def wild_values(http: Http) -> Study:
    study = await create(http, space=[X, {**X, "name": "y"}], suggester={"name": "gp", "seed": 1})
    values = [1e308, -1e308, 5e-324, 0.9, 0.91, *(0.9 + k / 1e3 for k in range(10))]
    trials = [
        {"params": {"x": k / 15, "y": 1 - k / 15}, "values": {"value": value}}
        for k, value in enumerate(values)
    ]
    await told(http, study, trials)
    running = await ask(http, study["id"])
    await report(http, running, 1e308, "NaN", "-Infinity", "Infinity")
    return study


async def equal_values(http: Http) -> Study:
    trials = [{"params": {"x": k / 20}, "values": {"value": 0.5}} for k in range(20)]
    return await told(http, await create(http), trials)


async def mixed_conditional(http: Http) -> Study:
    study = await create(http, space=[X, MODEL, DEPTH], suggester={"name": "auto", "seed": 1})
    points = [
        {"x": k / 30, "model": choice}
        | ({"depth": 1 + k % 9} if choice is not True and choice == 1 else {})
        for k, choice in enumerate(["a,b:c", 1, True] * 10)
    ]
    trials = [{"params": point, "values": {"value": point["x"]}} for point in points]
    return await told(http, study, trials)


async def stopped_early(http: Http) -> Study:
    rule = {"name": "asha", "options": {"max_resource": 9, "eta": 3}}
    study = await create(http, early_stopping=rule)
    for value in (3.0, 1.0, 2.0):
        await report(http, await ask(http, study["id"]), value)
    return study


async def three_objectives(http: Http) -> Study:
    metrics = [{"name": name, "direction": "minimize"} for name in ("a", "b", "c")]
    study = await create(http, metrics=metrics)
    trials = [
        {"params": {"x": k / 12}, "values": {"a": k, "b": (7 * k) % 12, "c": 12 - k}}
        for k in range(12)
    ]
    return await told(http, study, trials)


async def objectives_beyond_floats(http: Http) -> Study:
    metrics = [{"name": name, "direction": "minimize"} for name in ("a", "b")]
    study = await create(http, metrics=metrics)
    ends = [(-1.7e308, 1.7e308), (1.7e308, -1.7e308), (0.0, 0.0)]
    trials = [{"params": {"x": k / 3}, "values": {"a": a, "b": b}} for k, (a, b) in enumerate(ends)]
    await told(http, study, trials)
    front = (await http.get(f"/v1/studies/{study['id']}/pareto")).json()
    assert (len(front["trials"]), front["reference"], front["hypervolume"]) == (3, None, None)
    return study


ODD: list[Callable[[Http], Awaitable[Study]]] = [
    no_trial,
    one_trial,
    one_parameter,
    fifty_parameters,
    all_failed,
    wild_values,
    equal_values,
    mixed_conditional,
    stopped_early,
    three_objectives,
    objectives_beyond_floats,
]


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
async def test_every_kind_has_an_answer(
    http: Http, make: Callable[[Http], Awaitable[Study]]
) -> None:
    study = await make(http)
    for kind in get_args(Kind):
        path = f"/v1/studies/{study['id']}/analysis/{kind}"
        answer = await http.get(path, params={"x": "elapsed"})
        if kind == "contour" and len(study["definition"]["space"]) < 2:
            assert answer.status_code == 422  # it takes two parameters
            continue
        assert answer.status_code == 200, (kind, answer.text)
        found = answer.json()
        assert len({len(column) for column in found["columns"].values()}) <= 1, kind
        assert found.get("why") is None or "cannot" not in found["why"], found["why"]
        assert found["n_shown"] <= found["n_used"] or kind in ("failures", "importance"), kind


async def test_a_study_with_rungs_shows_who_waits(http: Http) -> None:
    study = await stopped_early(http)
    found = (await http.get(f"/v1/studies/{study['id']}/analysis/rungs")).json()
    assert found["columns"]["resource"] == [1, 3]
    assert found["columns"]["n_entered"] == [3, 1]
    assert found["columns"]["n_waiting"] == [2, 0]
    assert found["columns"]["cutoff"] == [1.0, None]
    assert found["points"]["decision"] == ["waiting", "promoted", "waiting"]


async def test_three_objectives_have_a_front_and_a_volume(http: Http) -> None:
    study = await three_objectives(http)
    found = (await http.get(f"/v1/studies/{study['id']}/analysis/pareto")).json()
    front = (await http.get(f"/v1/studies/{study['id']}/pareto")).json()
    on_front = [
        number
        for number, is_on in zip(
            found["columns"]["number"], found["columns"]["on_front"], strict=True
        )
        if is_on
    ]
    assert on_front == [trial["number"] for trial in front["trials"]]
    assert found["hypervolume"]["value"][-1] == pytest.approx(front["hypervolume"], rel=1e-4)
    assert found["reference"] == pytest.approx(front["reference"])
