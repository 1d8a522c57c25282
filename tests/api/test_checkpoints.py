"""Checkpoints over HTTP: chunks, ranges, refusals; contents are bound by their announced size."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.token import Role
from app.store.engine import Store

from .conftest import ask, create

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 2000
"""More than the tests' limit of a body, which does not bind checkpoints."""
SHA256 = hashlib.sha256(CONTENT).hexdigest()


async def announced(http: httpx.AsyncClient, trial: dict[str, Any], **more: Any) -> Any:
    body = {
        "lease_id": trial["lease_id"],
        "step": 3,
        "size_bytes": len(CONTENT),
        "sha256": SHA256,
        **more,
    }
    return await http.post(f"/v1/trials/{trial['id']}/checkpoints", json=body)


async def put(
    http: httpx.AsyncClient, checkpoint_id: str, content: bytes, content_range: str | None = None
) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream"}
    if content_range is not None:
        headers["Content-Range"] = content_range
    path = f"/v1/checkpoints/{checkpoint_id}/content"
    return await http.put(path, content=content, headers=headers)


async def test_an_upload_in_chunks_is_read_back_whole_and_in_parts(
    http: httpx.AsyncClient,
) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    made = await announced(http, trial)
    assert made.status_code == 201, made.text
    checkpoint_id = made.json()["id"]
    assert made.headers["location"] == f"/v1/checkpoints/{checkpoint_id}"
    size = len(CONTENT)
    first = await put(http, checkpoint_id, CONTENT[:300_000], f"bytes 0-299999/{size}")
    assert first.json()["received_bytes"] == 300_000
    there = await put(http, checkpoint_id, b"", f"bytes */{size}")
    assert there.json()["received_bytes"] == 300_000
    rest = await put(http, checkpoint_id, CONTENT[300_000:], f"bytes 300000-{size - 1}/{size}")
    assert (rest.json()["received_bytes"], rest.json()["state"]) == (size, "uploading")
    commit = {"lease_id": trial["lease_id"]}
    done = await http.post(f"/v1/checkpoints/{checkpoint_id}:commit", json=commit)
    assert done.json()["state"] == "committed"
    path = f"/v1/checkpoints/{checkpoint_id}/content"
    whole = await http.get(path)
    assert (whole.status_code, whole.content, whole.headers["etag"]) == (
        200,
        CONTENT,
        f'"{SHA256}"',
    )
    for given, start, stop in (
        ("bytes=10-19", 10, 20),
        ("bytes=511990-", 511_990, size),
        ("bytes=-7", size - 7, size),
        ("bytes=5-9999999", 5, size),
    ):
        part = await http.get(path, headers={"Range": given})
        assert (part.status_code, part.content) == (206, CONTENT[start:stop])
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    for passed_over in ("items=1-2", "bytes=1-2,4-5", "bytes=-", "bytes=9-2,1"):
        assert (await http.get(path, headers={"Range": passed_over})).status_code == 200
    beyond = await http.get(path, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range-not-satisfiable")
    tag = (await http.get(path)).headers["etag"]
    asked = {"Range": "bytes=0-9"}
    assert (await http.get(path, headers={**asked, "If-Range": tag})).status_code == 206
    for other in ('"another"', f"W/{tag}", "Sat, 28 Nov 2026 10:00:00 GMT", ""):
        whole = await http.get(path, headers={**asked, "If-Range": other})
        assert (whole.status_code, whole.content) == (200, CONTENT)
    beyond = await http.get(path, headers={"Range": f"bytes={size}-", "If-Range": '"another"'})
    assert beyond.status_code == 200
    head = await http.head(path, headers=asked)  # a range is of a GET
    assert (head.status_code, head.headers["content-length"]) == (200, str(size))


async def test_the_next_attempt_is_told_where_to_go_on(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    assert trial["checkpoint"] is None
    checkpoint_id = (await announced(http, trial)).json()["id"]
    await put(http, checkpoint_id, CONTENT)
    commit = {"lease_id": trial["lease_id"]}
    await http.post(f"/v1/checkpoints/{checkpoint_id}:commit", json=commit)
    released = {"checkpoint_id": checkpoint_id}
    answer = await http.post(f"/v1/leases/{trial['lease_id']}:release", json=released)
    assert answer.status_code == 200, answer.text
    resumed = await ask(http, study["id"])
    assert resumed["id"] == trial["id"]
    assert resumed["budget"] == {"from_step": 3, "to_step": None}
    assert resumed["checkpoint"] == {
        "id": checkpoint_id,
        "url": f"/v1/checkpoints/{checkpoint_id}/content",
        "step": 3,
        "size_bytes": len(CONTENT),
        "sha256": SHA256,
    }


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"step": 0}, "/step"),
        ({"size_bytes": -1}, "/size_bytes"),
        ({"sha256": "AB" * 32}, "/sha256"),
        ({"sha256": "ab"}, "/sha256"),
        ({"more": 1}, "/more"),
    ],
)
async def test_an_announcement_that_is_wrong_names_its_field(
    http: httpx.AsyncClient, change: dict[str, Any], pointer: str
) -> None:
    study = await create(http)
    answer = await announced(http, await ask(http, study["id"]), **change)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("content", "content_range", "status", "code"),
    [
        (CONTENT, "bytes 0-5", 422, "invalid-value"),
        (CONTENT, "bytes 9-5/10", 422, "invalid-value"),
        (b"abc", "bytes 7-9/512000", 422, "invalid-value"),
        (b"abc", "bytes 0-3/512000", 400, "malformed-request"),
        (CONTENT + b"x", None, 413, "too-large"),
    ],
)
async def test_a_chunk_that_is_wrong_is_refused(
    http: httpx.AsyncClient, content: bytes, content_range: str | None, status: int, code: str
) -> None:
    study = await create(http)
    checkpoint_id = (await announced(http, await ask(http, study["id"]))).json()["id"]
    answer = await put(http, checkpoint_id, content, content_range)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if content_range is not None:
        assert answer.json()["errors"][0]["pointer"] == "/Content-Range"


async def test_a_gap_says_where_to_go_on(http: httpx.AsyncClient) -> None:
    study = await create(http)
    checkpoint_id = (await announced(http, await ask(http, study["id"]))).json()["id"]
    await put(http, checkpoint_id, CONTENT[:40], "bytes 0-39/512000")
    gap = await put(http, checkpoint_id, CONTENT[41:50], "bytes 41-49/512000")
    assert (gap.status_code, gap.json()["received_bytes"]) == (422, 40)


async def test_an_incomplete_upload_and_another_content_are_refused(
    http: httpx.AsyncClient,
) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    checkpoint_id = (await announced(http, trial)).json()["id"]
    commit, body = f"/v1/checkpoints/{checkpoint_id}:commit", {"lease_id": trial["lease_id"]}
    await put(http, checkpoint_id, CONTENT[:-1])
    missing = await http.post(commit, json=body)
    assert (missing.status_code, missing.json()["code"]) == (409, "upload-incomplete")
    await put(http, checkpoint_id, b"?", f"bytes {len(CONTENT) - 1}-{len(CONTENT) - 1}/*")
    other = await http.post(commit, json=body)
    assert (other.status_code, other.json()["errors"][0]["code"]) == (422, "content-differs")
    read = await http.get(f"/v1/checkpoints/{checkpoint_id}/content")
    assert read.status_code == 404


async def test_an_idempotency_key_makes_one_checkpoint(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    body = {"lease_id": trial["lease_id"], "step": 1, "size_bytes": 3, "sha256": "0" * 64}
    path, headers = f"/v1/trials/{trial['id']}/checkpoints", {"Idempotency-Key": "k"}
    first = await http.post(path, json=body, headers=headers)
    second = await http.post(path, json=body, headers=headers)
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"


async def test_a_worker_reads_no_other_workers_checkpoint(
    http: httpx.AsyncClient, tokens: dict[Role, str]
) -> None:
    def as_role(role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens[role]}"}

    http.headers.update(as_role(Role.SUBMITTER))
    study = await create(http)
    checkpoint_id = (await announced(http, await ask(http, study["id"]))).json()["id"]
    for path in (f"/v1/checkpoints/{checkpoint_id}", f"/v1/checkpoints/{checkpoint_id}/content"):
        assert (await http.get(path, headers=as_role(Role.WORKER))).status_code == 403
    assert (
        await http.get(f"/v1/checkpoints/{checkpoint_id}", headers=as_role(Role.READER))
    ).status_code == 200


async def test_a_full_disk_is_told_and_the_upload_goes_on_later(
    http: httpx.AsyncClient, store: Store
) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    checkpoint_id = (await announced(http, trial)).json()["id"]
    uploads = Path(store.url.removeprefix("sqlite:///") + ".checkpoints") / "uploads"
    uploads.mkdir(parents=True)
    (uploads / checkpoint_id).symlink_to("/dev/full")
    full = await put(http, checkpoint_id, CONTENT)
    assert (full.status_code, full.json()["code"]) == (503, "storage-busy")
    assert "No space left" in full.json()["detail"]
    assert full.json()["retry_after_s"] == 5
    (uploads / checkpoint_id).unlink()
    assert (await put(http, checkpoint_id, CONTENT)).json()["received_bytes"] == len(CONTENT)


@pytest.mark.parametrize(
    ("content_range", "status"), [("bytes 10-20/30", 400), ("bytes 10-14/99", 422)]
)
async def test_a_chunk_that_is_refused_has_written_nothing(
    http: httpx.AsyncClient, content_range: str, status: int
) -> None:
    trial = await ask(http, (await create(http))["id"])
    content = CONTENT[:30]
    sha256 = hashlib.sha256(content).hexdigest()
    checkpoint_id = (await announced(http, trial, size_bytes=30, sha256=sha256)).json()["id"]
    await put(http, checkpoint_id, content[:10], "bytes 0-9/30")
    assert (await put(http, checkpoint_id, b"xxxxx", content_range)).status_code == status
    rest = await put(http, checkpoint_id, content[10:], "bytes 10-29/30")
    assert rest.json()["received_bytes"] == 30
    body = {"lease_id": trial["lease_id"]}
    committed = await http.post(f"/v1/checkpoints/{checkpoint_id}:commit", json=body)
    assert committed.status_code == 200
