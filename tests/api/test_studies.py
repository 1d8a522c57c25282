"""Studies over HTTP: create, look at, change, end, list."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import ask, create, definition, tell

pytestmark = pytest.mark.anyio


async def test_a_created_study_has_a_place_and_a_tag(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/studies", json=definition(labels={"team": "vision"}, limits={"max_trials": 5})
    )
    study = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/studies/{study['id']}"
    assert answer.headers["etag"] == f'"{study["revision"]}.{study["change_seq"]}"'
    assert study["id"].startswith("st_")
    assert study["labels"] == {"team": "vision"}
    assert (await http.get(answer.headers["location"])).json() == study


async def test_a_shown_definition_can_be_sent_again(http: httpx.AsyncClient) -> None:
    study = await create(http)
    answer = await http.put(f"/v1/studies/by-name/{study['name']}", json=study["definition"])
    assert answer.status_code == 200
    assert answer.json()["id"] == study["id"]


async def test_a_dry_run_creates_nothing(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/studies?dry_run=true", json=definition())
    assert answer.status_code == 200
    shown = answer.json()
    assert shown["definition"]["space"][0]["name"] == "x"
    assert shown["warnings"], "a study without max_trials is warned of"
    assert (await http.get("/v1/studies")).json()["studies"] == []


async def test_a_name_is_taken_once(http: httpx.AsyncClient) -> None:
    study = await create(http)
    answer = await http.post("/v1/studies", json=definition())
    assert (answer.status_code, answer.json()["code"]) == (409, "already-exists")
    assert answer.json()["study_id"] == study["id"]


async def test_put_by_name_makes_finds_and_refuses(http: httpx.AsyncClient) -> None:
    path = "/v1/studies/by-name/study"
    made = await http.put(path, json=definition())
    found = await http.put(path, json=definition(labels={"a": "b"}))
    assert (made.status_code, found.status_code) == (201, 200)
    assert made.json()["id"] == found.json()["id"]
    assert made.headers["location"] == f"/v1/studies/{made.json()['id']}"
    other = await http.put(path, json=definition(space=[{**definition()["space"][0], "high": 2}]))
    assert (other.status_code, other.json()["code"]) == (409, "study-definition-mismatch")
    [difference] = other.json()["diff"]
    assert difference == {"pointer": "/space/0/high", "stored": 1.0, "given": 2.0}


async def test_put_by_another_name_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.put("/v1/studies/by-name/other", json=definition())
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-study")


async def test_put_takes_a_name_with_odd_characters(http: httpx.AsyncClient) -> None:
    body = {k: v for k, v in definition().items() if k != "name"}
    answer = await http.put("/v1/studies/by-name/lr%20%C3%A9t%C3%A9:2", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "lr été:2"


async def test_verbs_move_a_study(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    for verb, state in (
        ("pause", "paused"),
        ("resume", "active"),
        ("stop", "completed"),
    ):
        answer = await http.post(f"{path}:{verb}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == state
    refused = await http.post(f"{path}:pause")
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (409, "illegal-transition")
    assert (problem["current_state"], problem["allowed"]) == ("completed", ["active"])
    assert path.endswith(problem["study_id"])
    again = (await http.post(f"{path}:resume")).json()
    assert (again["code"], path.endswith(again["study_id"])) == ("illegal-transition", True)
    assert again["detail"].startswith("the study was stopped by hand, for good")


async def test_cancel_aborts_what_runs(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    ended = (await http.post(f"/v1/studies/{study['id']}:cancel")).json()
    assert (ended["state"], ended["stop_reason"]) == ("cancelled", "user")
    assert ended["trial_counts"] == {"cancelled": 1}
    late = await http.post(
        f"/v1/trials/{trial['id']}:complete",
        json={"lease_id": trial["lease_id"], "values": {"value": 1}},
    )
    assert (late.status_code, late.json()["code"]) == (409, "stale-lease")
    assert late.json()["action"] == "abort"


async def test_a_deleted_study_is_gone_until_restored(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    deleted = (await http.delete(path)).json()
    assert deleted["purge_at"] > deleted["deleted_at"]
    assert (await http.get(path)).status_code == 404
    assert (await http.get("/v1/studies")).json()["studies"] == []
    restored = await http.post(f"{path}:undelete")
    assert restored.json()["deleted_at"] is None
    assert (await http.get(path)).status_code == 200


async def test_a_patch_changes_what_may_change(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http, limits={'max_trials': 3}))['id']}"
    body = {"limits": {"max_parallel": 2}, "labels": {"a": "b"}, "description": "new"}
    answer = await http.patch(path, json=body, headers={"If-Match": "*"})
    study = answer.json()
    assert answer.status_code == 200, answer.text
    assert study["definition"]["limits"]["max_trials"] == 3
    assert study["definition"]["limits"]["max_parallel"] == 2
    assert (study["labels"], study["description"]) == ({"a": "b"}, "new")


async def test_a_patch_of_the_space_is_refused(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    answer = await http.patch(path, json={"space": []}, headers={"If-Match": "*"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/space"


async def names(http: httpx.AsyncClient, **asked: Any) -> list[str]:
    answer = await http.get("/v1/studies", params=asked)
    assert answer.status_code == 200, answer.text
    return [study["name"] for study in answer.json()["studies"]]


async def test_studies_are_listed_newest_first_and_filtered(http: httpx.AsyncClient) -> None:
    for n in range(4):
        await create(http, f"s{n}", labels={"parity": str(n % 2), "n": str(n)})
    studies = (await http.get("/v1/studies")).json()["studies"]
    await http.post(f"/v1/studies/{studies[0]['id']}:pause")
    assert await names(http) == ["s3", "s2", "s1", "s0"]
    assert await names(http, state="paused") == ["s3"]
    assert await names(http, state=["paused", "completed"]) == ["s3"]
    assert await names(http, state="active,paused") == ["s3", "s2", "s1", "s0"]
    assert await names(http, label="parity=1") == ["s3", "s1"]
    assert await names(http, label=["parity=1", "n=1"]) == ["s1"]
    assert await names(http, name_prefix="s2") == ["s2"]
    assert await names(http, name_prefix="%") == []
    assert await names(http, name_contains="S1") == ["s1"]
    assert await names(http, name_contains="%") == []


async def test_studies_are_sorted_as_asked_and_counted_by_state(http: httpx.AsyncClient) -> None:
    for name in ("b", "c", "a"):
        await create(http, name)
    listed = (await http.get("/v1/studies")).json()["studies"]
    await http.post(f"/v1/studies/{listed[1]['id']}:pause")
    assert await names(http, order_by="name") == ["a", "b", "c"]
    assert await names(http, order_by="-name") == ["c", "b", "a"]
    assert await names(http, order_by="created_at") == ["b", "c", "a"]
    assert (await names(http, order_by="-updated_at"))[0] == "c"
    for order in ("name", "-updated_at", "created_at"):
        asked = {"order_by": order, "page_size": 2}
        page = (await http.get("/v1/studies", params=asked)).json()
        rest = await names(http, page_token=page["next_page_token"], **asked)
        assert [s["name"] for s in page["studies"]] + rest == await names(http, order_by=order)
    counted = (await http.get("/v1/studies", params={"state": "paused"})).json()
    assert (len(counted["studies"]), counted["state_counts"]) == (1, {"active": 2, "paused": 1})
    refused = await http.get("/v1/studies", params={"order_by": "best"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/order_by")


async def test_pages_hold_together_and_tokens_are_bound_to_filters(
    http: httpx.AsyncClient,
) -> None:
    for n in range(5):
        await create(http, f"s{n}")
    seen: list[str] = []
    asked: dict[str, Any] = {"page_size": 2, "state": "active"}
    while True:
        page = (await http.get("/v1/studies", params=asked)).json()
        seen += [study["name"] for study in page["studies"]]
        if page["next_page_token"] is None:
            break
        asked["page_token"] = page["next_page_token"]
    assert seen == ["s4", "s3", "s2", "s1", "s0"]
    wrong = await http.get("/v1/studies", params={**asked, "state": "paused"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/page_token"


async def test_a_page_too_large_is_cut_down(http: httpx.AsyncClient) -> None:
    await create(http)
    assert len(await names(http, page_size=100_000)) == 1


async def test_the_trend_is_that_of_feasible_trials(http: httpx.AsyncClient) -> None:
    size = {"name": "size", "direction": "minimize", "role": "constraint", "threshold": 5}
    metrics = [{"name": "value", "direction": "maximize"}, size]
    study = await create(http, metrics=metrics)
    ends = ((0.9, 9), (0.5, 1), (0.8, 6), (0.4, 1), (0.7, 2))
    trials = [
        {"params": {"x": 0.1 * k}, "values": {"value": value, "size": big}}
        for k, (value, big) in enumerate(ends)
    ]
    await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": trials})
    [item] = (await http.get("/v1/studies?view=summary")).json()["studies"]
    assert item["best"]["values"]["value"] == 0.7
    assert item["summary"]["trend"] == [[2, 0.5], [5, 0.7]]


async def test_the_summary_view_says_how_a_study_goes(http: httpx.AsyncClient) -> None:
    study = await create(http, limits={"max_trials": 9}, failure_policy={"max_attempts": 1})
    for value in (0.5, 0.7, 0.2):
        await tell(http, await ask(http, study["id"]), value)
    [item] = (await http.get("/v1/studies?view=summary")).json()["studies"]
    assert item["summary"]["trend"] == [[1, 0.5], [3, 0.2]]
    assert item["summary"]["last_failures"] == []
    assert item["summary"]["rate_per_h"] > 0
    assert 0 <= item["summary"]["eta_low_s"] <= item["summary"]["eta_high_s"]
    assert (item["summary"]["n_running"], item["summary"]["n_recent"]) == (0, 3)
    await ask(http, study["id"])
    broken = await ask(http, study["id"])
    body = {"lease_id": broken["lease_id"], "kind": "oom", "message": "too large"}
    await http.post(f"/v1/trials/{broken['id']}:fail", json=body)
    [item] = (await http.get("/v1/studies?view=summary")).json()["studies"]
    assert item["summary"]["n_running"] == 1
    assert item["summary"]["recent_failures"] == {"oom": 1}
    [plain] = (await http.get("/v1/studies")).json()["studies"]
    assert "summary" not in plain


async def test_best_is_sorted_by_direction(http: httpx.AsyncClient) -> None:
    metrics = [{"name": "value", "direction": "maximize"}]
    study = await create(http, metrics=metrics)
    for value in (0.5, 0.9, 0.7):
        await tell(http, await ask(http, study["id"]), value)
    answer = (await http.get(f"/v1/studies/{study['id']}/best", params={"k": 2})).json()
    assert [trial["values"]["value"] for trial in answer["trials"]] == [0.9, 0.7]
    shown = (await http.get(f"/v1/studies/{study['id']}")).json()
    assert shown["best"]["values"] == {"value": 0.9}


async def test_several_objectives_have_a_front(http: httpx.AsyncClient) -> None:
    metrics = [
        {"name": "value", "direction": "minimize"},
        {"name": "cost", "direction": "minimize"},
    ]
    study = await create(http, metrics=metrics)
    points = [(1.0, 3.0), (2.0, 2.0), (3.0, 1.0), (3.0, 3.0)]
    body = {
        "trials": [
            {"params": {"x": k / 10}, "values": {"value": v, "cost": c}}
            for k, (v, c) in enumerate(points)
        ]
    }
    assert (await http.post(f"/v1/studies/{study['id']}/trials", json=body)).status_code == 201
    front = (await http.get(f"/v1/studies/{study['id']}/pareto")).json()
    assert [trial["number"] for trial in front["trials"]] == [1, 2, 3]
    assert front["hypervolume"] is not None
    assert len(front["reference"]) == 2
    assert (await http.get(f"/v1/studies/{study['id']}")).json()["best"] is None


async def test_lists_are_compressed_for_those_who_ask(http: httpx.AsyncClient) -> None:
    for n in range(3):
        await create(http, f"s{n}")
    answer = await http.get("/v1/studies", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["studies"]) == 3
    plain = await http.get("/v1/studies", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_the_catalog_says_what_a_definition_can_name(http: httpx.AsyncClient) -> None:
    offer = {"name": "mine", "metrics": {"f1": "maximize"}}
    await http.post("/v1/workers", json={"name": "w", "boot_id": "1", "objectives": [offer]})
    catalog = (await http.get("/v1/catalog")).json()
    assert {"random", "gp", "auto"} <= {each["name"] for each in catalog["suggesters"]}
    rules = {each["name"]: each["options"] for each in catalog["early_stopping"]}
    assert rules["asha"]["eta"]["default"] == 3
    assert catalog["limits"]["max_trials"]["low"] == 1
    objectives = {each["name"]: each for each in catalog["objectives"]}
    assert objectives["mine"]["metrics"] == {"f1": "maximize"}
    assert (objectives["mine"]["is_built_in"], objectives["mine"]["is_offered"]) == (False, True)
    assert objectives["function"]["is_built_in"]


async def test_meta_says_what_is_compiled_in(http: httpx.AsyncClient) -> None:
    meta = (await http.get("/v1/meta")).json()
    assert {"random", "gp", "auto"} <= set(meta["suggesters"])
    assert (await http.get("/readyz")).json()["ready"] is True
    assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_the_best_are_ranked_by_observed_values_or_by_a_model(
    http: httpx.AsyncClient,
) -> None:
    study = await create(http)
    path = f"/v1/studies/{study['id']}/best"
    few = await http.get(path, params={"by": "posterior_mean"})
    assert (few.status_code, few.json()["errors"][0]["pointer"]) == (422, "/by")
    for k in range(5):
        await tell(http, await ask(http, study["id"]), (k - 2) ** 2 / 10)
    observed = (await http.get(path)).json()
    assert (observed["by"], observed["posterior"]) == ("observed", None)
    ranked = (await http.get(path, params={"by": "posterior_mean", "k": 5})).json()
    assert ranked["by"] == "posterior_mean"
    assert ranked["posterior"]["n_results"] == 5
    means = [trial["posterior_mean"] for trial in ranked["trials"]]
    assert means == sorted(means)
    assert all(trial["posterior_sd"] >= 0 for trial in ranked["trials"])
    assert (await http.get(path, params={"by": "luck"})).status_code == 422


async def test_a_replay_gives_a_verdict_on_every_suggested_trial(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trials = [await ask(http, study["id"]) for _ in range(3)]
    await tell(http, trials[0], 0.5)
    point = {"trials": [{"params": {"x": 0.5}}]}
    await http.post(f"/v1/studies/{study['id']}/trials", json=point)
    path = f"/v1/studies/{study['id']}/replay"
    page = (await http.get(path)).json()
    assert [(t["number"], t["outcome"]) for t in page["trials"]] == [
        (1, "equal"), (2, "equal"), (3, "equal"),
    ]  # fmt: skip
    assert (page["last_number"], page["n_trials"], page["next_after"]) == (4, 4, None)
    rest = (await http.get(path, params={"after": 2})).json()
    assert [t["number"] for t in rest["trials"]] == [3]
    assert (await http.get("/v1/studies/st_none/replay")).status_code == 404
