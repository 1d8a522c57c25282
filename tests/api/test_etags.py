"""Conditional requests: tags, 304, 412, 428."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from .conftest import ask, create, tell

pytestmark = pytest.mark.anyio


def parts(tag: str) -> tuple[int, int]:
    revision, _, seq = tag.strip('"').partition(".")
    return int(revision), int(seq)


async def test_a_study_has_the_tag_of_its_revision_and_changes(http: httpx.AsyncClient) -> None:
    made = await create(http)
    answer = await http.get(f"/v1/studies/{made['id']}")
    study = answer.json()
    assert parts(answer.headers["etag"]) == (study["revision"], study["change_seq"])


@pytest.mark.parametrize("form", ["{}", "W/{}", '"0.0", {}', "*"])
async def test_what_is_unchanged_is_304_without_a_body(http: httpx.AsyncClient, form: str) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    tag = (await http.get(path)).headers["etag"]
    answer = await http.get(path, headers={"If-None-Match": form.format(tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag


async def test_any_change_ends_304(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    before = (await http.get(path)).headers["etag"]
    await ask(http, path.rpartition("/")[2])
    after = await http.get(path, headers={"If-None-Match": before})
    assert after.status_code == 200
    assert parts(after.headers["etag"])[0] == parts(before)[0]
    assert parts(after.headers["etag"])[1] > parts(before)[1]


async def test_a_patch_needs_if_match(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    answer = await http.patch(path, json={"priority": 3})
    assert (answer.status_code, answer.json()["code"]) == (428, "etag-required")
    assert (await http.get(path)).json()["priority"] == 0


async def test_a_patch_holds_against_the_revision_alone(http: httpx.AsyncClient) -> None:
    study = await create(http)
    path = f"/v1/studies/{study['id']}"
    tag = (await http.get(path)).headers["etag"]
    await ask(http, study["id"])  # changes the study, not its definition
    answer = await http.patch(path, json={"priority": 3}, headers={"If-Match": tag})
    assert answer.status_code == 200
    assert answer.json()["priority"] == 3
    assert parts(answer.headers["etag"])[0] == parts(tag)[0] + 1


async def test_a_stale_patch_is_412(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    tag = (await http.get(path)).headers["etag"]
    await http.patch(path, json={"priority": 1}, headers={"If-Match": tag})
    answer = await http.patch(path, json={"priority": 2}, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["code"]) == (412, "etag-mismatch")
    assert (await http.get(path)).json()["priority"] == 1


@pytest.mark.parametrize("form", ["*", '"99.1", {}', "{},{}"])
async def test_if_match_may_leave_a_choice(http: httpx.AsyncClient, form: str) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    tag = (await http.get(path)).headers["etag"]
    headers = {"If-Match": form.format(tag, tag)}
    assert (await http.patch(path, json={"priority": 1}, headers=headers)).status_code == 200


@pytest.mark.parametrize("header", ["1.1", '"nonsense"', 'W/"1.1"', '"1"', '"99.1", "98.1"', '""'])
async def test_a_tag_that_is_none_of_ours_is_412(http: httpx.AsyncClient, header: str) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    for call in (
        http.patch(path, json={"priority": 1}, headers={"If-Match": header}),
        http.post(f"{path}:pause", headers={"If-Match": header}),
        http.delete(path, headers={"If-Match": header}),
    ):
        assert (await call).status_code == 412
    assert (await http.get(path)).json()["state"] == "active"


async def test_verbs_and_delete_heed_if_match_when_it_is_there(http: httpx.AsyncClient) -> None:
    path = f"/v1/studies/{(await create(http))['id']}"
    old = (await http.get(path)).headers["etag"]
    paused = await http.post(f"{path}:pause", headers={"If-Match": old})
    assert paused.status_code == 200
    assert (await http.post(f"{path}:resume", headers={"If-Match": old})).status_code == 412
    assert (await http.delete(path, headers={"If-Match": old})).status_code == 412
    now = paused.headers["etag"]
    assert (await http.delete(path, headers={"If-Match": now})).status_code == 200


async def test_a_trial_has_a_tag_and_a_note_needs_it(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await tell(http, await ask(http, study["id"]), 0.5)
    path = f"/v1/trials/{trial['id']}"
    tag = (await http.get(path)).headers["etag"]
    assert parts(tag) == (trial["revision"], trial["change_seq"])
    assert (await http.get(path, headers={"If-None-Match": tag})).status_code == 304
    assert (await http.patch(path, json={"note": "odd"})).status_code == 428
    noted = await http.patch(path, json={"note": "odd"}, headers={"If-Match": tag})
    assert noted.json()["note"] == "odd"
    assert (
        await http.patch(path, json={"note": "x"}, headers={"If-Match": tag})
    ).status_code == 412
    assert (await http.get(path)).json()["note"] == "odd"


async def test_a_stale_verb_on_a_trial_is_412(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    path = f"/v1/trials/{trial['id']}"
    stale = {"If-Match": '"999.1"'}
    assert (await http.post(f"{path}:cancel", headers=stale)).status_code == 412
    assert (await http.get(path)).json()["state"] == "running"
    assert (await http.post(f"{path}:cancel")).json()["state"] == "cancelled"


async def test_cancelling_a_trial_and_a_note_do_not_both_hold_against_one_revision(
    http: httpx.AsyncClient,
) -> None:
    """Whichever comes second is refused, with the revision that there is."""
    study = await create(http)
    for _ in range(5):
        trial = await ask(http, study["id"])
        path = f"/v1/trials/{trial['id']}"
        headers = {"If-Match": (await http.get(path)).headers["etag"]}
        noted, done = await asyncio.gather(
            http.patch(path, json={"note": "n"}, headers=headers),
            http.post(f"{path}:cancel", headers=headers),
        )
        assert sorted((noted.status_code, done.status_code)) == [200, 412]
        refused = noted if noted.status_code == 412 else done
        assert refused.json()["current_revision"] >= 2
