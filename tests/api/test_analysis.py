"""Analyses over HTTP: every kind on a study with some of everything."""

from __future__ import annotations

from typing import Any, get_args

import httpx
import pytest

from app.service.analysis import Kind
from app.service.pool import FitTimeout
from app.service.services import Services

from .conftest import ask, create, tell

pytestmark = pytest.mark.anyio


async def get(http: httpx.AsyncClient, study: dict[str, Any], kind: str, **asked: Any) -> Any:
    answer = await http.get(f"/v1/studies/{study['id']}/analysis/{kind}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def report(http: httpx.AsyncClient, trial: dict[str, Any], *values: float | str) -> None:
    points = [{"step": step, "values": {"value": v}} for step, v in enumerate(values, start=1)]
    body = {"lease_id": trial["lease_id"], "seq": 0, "points": points}
    answer = await http.post(f"/v1/trials/{trial['id']}/measurements", json=body)
    assert answer.status_code == 200, answer.text


SPACE = [{"name": name, "type": "float", "low": 0, "high": 1} for name in ("x", "y")]


async def some_of_everything(http: httpx.AsyncClient) -> dict[str, Any]:
    study = await create(http, space=SPACE, failure_policy={"max_attempts": 1})
    first, second, third = [await ask(http, study["id"]) for _ in range(3)]
    await report(http, first, 5.0, "NaN", 3.0)
    await tell(http, first, 3.0)
    body = {"lease_id": second["lease_id"], "kind": "user_error", "message": "broke at 7"}
    await http.post(f"/v1/trials/{second['id']}:fail", json=body)
    await report(http, third, 4.0)
    return study


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_a_study_without_trials_has_every_kind(http: httpx.AsyncClient, kind: Kind) -> None:
    found = await get(http, await create(http, space=SPACE), kind)
    assert (found["kind"], found["n_total"], found["n_shown"]) == (kind, 0, 0)
    assert found["sampling"] == "all"


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_columns_have_equal_lengths(http: httpx.AsyncClient, kind: Kind) -> None:
    found = await get(http, await some_of_everything(http), kind)
    assert len({len(column) for column in found["columns"].values()}) <= 1
    assert found["n_total"] == 3


async def test_what_each_kind_shows(http: httpx.AsyncClient) -> None:
    study = await some_of_everything(http)
    history = await get(http, study, "history", x="elapsed")
    assert history["columns"]["number"] == [1, 2, 3]
    assert history["columns"]["value"] == [3.0, None, 4.0]
    assert history["best"][0]["number"] == [1]
    assert history["idle_s"] == 0
    worked = await get(http, study, "history", x="worked")
    assert worked["idle_s"] >= 0
    ends = zip(worked["columns"]["elapsed_s"], history["columns"]["elapsed_s"], strict=True)
    assert all(w is e is None or 0 <= w <= e for w, e in ends)
    curves = await get(http, study, "curves")
    assert curves["columns"]["number"] == [1, 3]
    assert curves["columns"]["length"] == [2, 1]
    assert curves["points"] == {"step": [1, 3, 1], "value": [5.0, 3.0, 4.0]}
    timeline = await get(http, study, "timeline")
    assert timeline["columns"]["end"] == ["completed", "failed", None]
    failures = await get(http, study, "failures")
    assert failures["columns"]["message"] == ["broke at 7"]
    assert failures["columns"]["first_at"][0].endswith("Z")


async def test_failures_of_imported_trials_are_told(http: httpx.AsyncClient) -> None:
    study = await create(http)
    failure = {"kind": "oom", "message": "2 GiB asked", "traceback": "Error"}
    trials = [{"params": {"x": k / 4}, "state": "failed", "failure": failure} for k in range(3)]
    added = await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": trials})
    assert added.status_code == 201, added.text
    columns = (await get(http, study, "failures"))["columns"]
    assert columns["numbers"] == [[1, 2, 3]]
    assert columns["holders"] == [{"imported": 3}]


async def test_what_has_changed_since_is_seen(http: httpx.AsyncClient) -> None:
    study = await some_of_everything(http)
    before = await get(http, study, "history")
    await tell(http, await ask(http, study["id"]), 1.0)
    after = await get(http, study, "history")
    assert after["n_total"] == before["n_total"] + 1
    assert after["best"][0]["number"] == [1, 4]
    assert after["change_seq"] > before["change_seq"]


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_nothing_new_is_304(http: httpx.AsyncClient, kind: Kind) -> None:
    study = await some_of_everything(http)
    path = f"/v1/studies/{study['id']}/analysis/{kind}"
    tag = (await http.get(path)).headers["ETag"]
    again = await http.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert sum(len(name) + len(value) for name, value in again.headers.raw) < 1_000
    await ask(http, study["id"])
    assert (await http.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_parameters_are_chosen_by_name(http: httpx.AsyncClient) -> None:
    study = await some_of_everything(http)
    names = [each["name"] for each in study["definition"]["space"]]
    found = await get(http, study, "slice", param=names)
    assert [part["param"] for part in found["slices"]] == names
    answer = await http.get(f"/v1/studies/{study['id']}/analysis/slice", params={"param": "nope"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["code"] == "unknown-parameter"
    assert "'nope'" in error["detail"]


@pytest.mark.parametrize(
    "asked",
    [{"max_points": 99}, {"max_points": 2_901}, {"x": "size"}, {"from_s": -1}, {"to_s": "nan"}],
)
async def test_what_is_out_of_range_is_refused(
    http: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    study = await create(http)
    answer = await http.get(f"/v1/studies/{study['id']}/analysis/history", params=asked)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid-value"


async def test_an_unknown_kind_or_study_is_refused(http: httpx.AsyncClient) -> None:
    study = await create(http)
    answer = await http.get(f"/v1/studies/{study['id']}/analysis/nope")
    assert answer.status_code == 422, answer.text
    answer = await http.get("/v1/studies/st_none/analysis/history")
    assert answer.status_code == 404


async def ten_and_more(http: httpx.AsyncClient) -> dict[str, Any]:
    """A study in which `x` decides."""
    study = await create(http, space=SPACE)
    points = [{"x": i / 30, "y": (i * 7 % 30) / 30} for i in range(30)]
    trials = [{"params": point, "values": {"value": point["x"]}} for point in points]
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": trials})
    assert answer.status_code == 201, answer.text
    return study


async def test_importance_says_what_decides(http: httpx.AsyncClient) -> None:
    found = await get(http, await ten_and_more(http), "importance")
    shares = {
        (row[0], row[1]): row[2]
        for row in zip(
            *(found["columns"][name] for name in ("param", "pair", "share")), strict=True
        )
    }
    assert shares["x", None] > 0.8
    assert shares["y", None] < 0.1
    (block,) = found["blocks"]
    assert (block["condition"], block["n"]) == (None, 30)
    assert block["r2_oob"] > 0.5
    assert found["needs"] is None


async def test_too_few_trials_say_how_many_it_takes(http: httpx.AsyncClient) -> None:
    study = await some_of_everything(http)
    for kind in ("importance", "contour"):
        found = await get(http, study, kind)
        assert (found["n_used"], found["needs"]) == (1, 10)
    assert found["surface"] is None
    assert found["columns"]["number"] == [1]


async def test_a_contour_has_a_grid_and_blanks_what_is_not_explored(
    http: httpx.AsyncClient,
) -> None:
    study = await ten_and_more(http)
    found = await get(http, study, "contour", param=["y", "x"])
    grid = found["surface"]
    n_cells = (len(grid["x_edges"]) - 1) * (len(grid["y_edges"]) - 1)
    assert len(grid["mean"]) == len(grid["sd"]) == len(grid["n"]) == n_cells
    assert sum(grid["n"]) == 30
    assert None in grid["mean"]
    assert [axis["param"] for axis in found["axes"]] == ["y", "x"]
    answer = await http.get(
        f"/v1/studies/{study['id']}/analysis/contour", params={"param": ["x", "x"]}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["detail"].endswith("found x, x")


async def test_a_forest_is_grown_once_for_a_state_of_the_study(
    http: httpx.AsyncClient, services: Services
) -> None:
    study = await ten_and_more(http)
    await get(http, study, "importance")
    kept = list(services.analyses._flights._kept.values())
    again = await get(http, study, "importance")
    assert again["stale_by"] == 0
    assert [a is b for a, b in zip(kept, services.analyses._flights._kept.values(), strict=True)]
    await ask(http, study["id"])
    found = again
    while found["n_total"] == 30:  # the older answer stands in while a new one takes its time
        found = await get(http, study, "importance")
        assert found["stale_by"] > 0 or found["n_total"] == 31
    assert found["stale_by"] == 0


async def test_a_tag_belongs_to_its_query(http: httpx.AsyncClient) -> None:
    study = await some_of_everything(http)
    path = f"/v1/studies/{study['id']}/analysis/history"
    tag = (await http.get(path)).headers["ETag"]
    other = {"params": {"x": "elapsed"}, "headers": {"If-None-Match": tag}}
    assert (await http.get(path, **other)).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize("suggester", ["gp", "tpe", "auto", "random"])
async def test_the_suggesters_own_view(http: httpx.AsyncClient, suggester: str) -> None:
    study = await create(http, space=SPACE, suggester={"name": suggester, "seed": 1})
    points = [{"x": i / 30, "y": (i * 7 % 30) / 30} for i in range(30)]
    trials = [{"params": p, "values": {"value": (p["x"] - 0.3) ** 2}} for p in points]
    await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": trials})
    found = await get(http, study, "surrogate", param="x", at=4)
    assert (found["at"], found["axes"][0]["param"]) == (4, "x")
    assert 4 in found["near"]["number"]
    columns = found["columns"]
    if suggester == "random":
        assert found["why"] == "random draws its points and has no model"
        assert columns["x"] == []
        return
    assert found["why"] is None
    assert (found["n_used"], len(columns["x"])) == (30, 200)
    assert found["fit_ms"] > 0
    if found["model"] == "gp":
        best = columns["x"][columns["mean"].index(min(columns["mean"]))]
        assert best == pytest.approx(0.3, abs=0.05)
        assert min(columns["sd"]) >= 0
        assert columns["below"][0] is None
    else:
        best = columns["x"][columns["below"].index(max(columns["below"]))]
        assert best == pytest.approx(0.3, abs=0.1)
        assert columns["mean"][0] is None
    refused = await http.get(
        f"/v1/studies/{study['id']}/analysis/surrogate", params={"param": "x", "at": 99}
    )
    assert refused.json()["errors"][0]["pointer"] == "/at"


async def test_a_model_that_is_not_ready_is_said_and_not_kept(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = await create(http, space=SPACE, suggester={"name": "gp", "seed": 1})
    trials = [{"params": {"x": i / 9, "y": i / 9}, "values": {"value": i}} for i in range(9)]
    await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": trials})

    async def late(*_: object) -> object:
        raise FitTimeout("the fit took longer than 30 s and was ended")

    path = f"/v1/studies/{study['id']}/analysis/surrogate"
    with monkeypatch.context() as patched:
        patched.setattr(services.points, "view", late)
        answer = await http.get(path)
    assert answer.json()["why"] == "the fit took longer than 30 s and was ended"
    assert "ETag" not in answer.headers
    assert (await http.get(path)).json()["why"] is None


METRICS = [
    {"name": "value", "direction": "minimize"},
    {"name": "speed", "direction": "maximize"},
    {"name": "size", "direction": "minimize", "role": "constraint", "threshold": 100},
]


async def with_several_metrics(http: httpx.AsyncClient, n: int = 12) -> dict[str, Any]:
    """`speed` falls as `value` does, so that the best of one is the worst of the other; `heat` is
    reported and not declared.
    """
    study = await create(http, space=SPACE, metrics=METRICS)
    values = [float(n - k) for k in range(n)]
    trials = [
        {
            "params": {"x": k / n, "y": (k * 5 % n) / n},
            "values": {"value": value, "speed": 10 * value, "size": 1.0, "heat": -value},
            "measurements": [{"step": 1, "values": {"value": value, "speed": 7 * value}}],
        }
        for k, value in enumerate(values)
    ]
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": trials})
    assert answer.status_code == 201, answer.text
    return study


async def test_the_plots_follow_the_metric(http: httpx.AsyncClient) -> None:
    study = await with_several_metrics(http)
    first = await get(http, study, "history")
    assert await get(http, study, "history", metric="value") == first
    assert first["best"][0]["number"] == list(range(1, 13))
    speed = await get(http, study, "history", metric="speed")
    assert speed["columns"]["value"] == [10 * value for value in first["columns"]["value"]]
    assert speed["best"][0]["number"] == [1]
    curves = await get(http, study, "curves", metric="speed")
    assert curves["points"]["value"][0] == 84.0
    assert (await get(http, study, "slice", metric="size"))["slices"][0]["value"] == [1.0] * 12
    assert (await get(http, study, "parallel", metric="speed"))["columns"]["value"][0] == 120.0
    contour = await get(http, study, "contour", metric="speed")
    assert max(contour["surface"]["mean"], key=lambda mean: mean or 0) > 20
    shares = (await get(http, study, "importance", metric="speed"))["columns"]
    assert shares["param"][0] == "x"
    assert max(shares["share"]) > 0.5
    line = await get(http, study, "surrogate", metric="speed")
    assert line["why"] == "the suggester has a model of value only"
    assert max(line["near"]["value"]) == 120.0


async def test_a_metric_that_is_not_declared_has_no_best(http: httpx.AsyncClient) -> None:
    study = await with_several_metrics(http)
    heat = await get(http, study, "history", metric="heat")
    assert heat["columns"]["value"] == [float(k - 12) for k in range(12)]
    assert heat["best"][0]["number"] == []
    assert (await get(http, study, "importance", metric="heat"))["clip"] == 1.0


async def test_an_unknown_metric_is_told_with_those_there_are(http: httpx.AsyncClient) -> None:
    study = await with_several_metrics(http)
    for kind in ("history", "importance", "surrogate"):
        path = f"/v1/studies/{study['id']}/analysis/{kind}"
        answer = await http.get(path, params={"metric": "spead"})
        assert answer.status_code == 422, answer.text
        [fault] = answer.json()["errors"]
        assert (fault["pointer"], fault["code"]) == ("/metric", "unknown-metric")
        assert "'spead'; the study has value, speed, size, heat" in fault["detail"]


async def test_each_metric_has_a_tag_of_its_own(http: httpx.AsyncClient) -> None:
    study = await with_several_metrics(http)
    path = f"/v1/studies/{study['id']}/analysis/history"
    tag = (await http.get(path, params={"metric": "speed"})).headers["etag"]
    same = {"metric": "speed"}
    asked = await http.get(path, params=same, headers={"If-None-Match": tag})
    assert asked.status_code == 304
    other = await http.get(path, headers={"If-None-Match": tag})
    assert (other.status_code, other.headers["etag"] == tag) == (200, False)
