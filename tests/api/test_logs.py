"""Output of trials over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.service.trial_logs import MAX_CHUNK_BYTES

from .conftest import ask, create

pytestmark = pytest.mark.anyio


async def put(http: httpx.AsyncClient, trial: dict[str, Any], **body: Any) -> httpx.Response:
    given = {"lease_id": trial["lease_id"], "offset": 0, "text": "words", **body}
    return await http.post(f"/v1/trials/{trial['id']}/logs", json=given)


async def test_output_is_sent_and_read_as_json_and_as_text(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    path = f"/v1/trials/{trial['id']}/logs"
    nothing = (await http.get(path)).json()
    assert nothing == {
        "trial_id": trial["id"], "lease_id": None, "size_bytes": 0, "omitted_bytes": 0, "parts": [],
    }  # fmt: skip
    assert (await put(http, trial)).json() == {"size_bytes": 5}
    assert (await put(http, trial, offset=1_000, text="end\n")).json() == {"size_bytes": 1_004}
    found = (await http.get(path)).json()
    assert found["lease_id"] == trial["lease_id"]
    assert found["omitted_bytes"] == 995
    assert found["parts"] == [{"offset": 0, "text": "words"}, {"offset": 1_000, "text": "end\n"}]
    tail = (await http.get(f"{path}?tail_bytes=2")).json()
    assert tail["parts"] == [{"offset": 1_000, "text": "end\n"}]
    assert (tail["size_bytes"], tail["omitted_bytes"]) == (1_004, 1_000)
    text = await http.get(f"{path}?format=text")
    assert text.headers["content-type"].startswith("text/plain")
    assert text.text == "words\n... 995 bytes left out ...\nend\n"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"offset": -1}, "/offset"),
        ({"offset": "0"}, "/offset"),
        ({"text": 7}, "/text"),
        ({"text": "x" * (MAX_CHUNK_BYTES + 1)}, "/text"),
        ({"text": "é" * (MAX_CHUNK_BYTES // 2 + 1)}, "/text"),
        ({"lease_id": ""}, "/lease_id"),
        ({"more": 1}, "/more"),
    ],
)
async def test_what_is_wrong_is_named(
    http: httpx.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    trial = await ask(http, (await create(http))["id"])
    refused = await put(http, trial, **body)
    assert refused.status_code in (413, 422), refused.text
    if refused.status_code == 422:
        assert [fault["pointer"] for fault in refused.json()["errors"]] == [pointer]
    found = (await http.get(f"/v1/trials/{trial['id']}/logs")).json()
    assert found["parts"] == []


async def test_a_form_that_is_none_is_refused(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    refused = await http.get(f"/v1/trials/{trial['id']}/logs?format=xml")
    assert refused.status_code == 422


async def test_a_log_that_did_not_grow_is_not_sent_again(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    path = f"/v1/trials/{trial['id']}/logs?tail_bytes=100"
    await put(http, trial)
    known = {"If-None-Match": (await http.get(path)).headers["etag"]}
    same = await http.get(path, headers=known)
    assert (same.status_code, same.content) == (304, b"")
    await put(http, trial, offset=5, text=" more")
    assert (await http.get(path, headers=known)).json()["size_bytes"] == 10
