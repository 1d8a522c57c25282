"""One line a request, with the ids that are known and without any secret."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from app.api import build
from app.domain.token import Role
from app.logs import JsonFormatter
from app.service.services import Services
from app.settings import Settings

from .conftest import BASE, ask, create, tell

pytestmark = pytest.mark.anyio


class Kept(logging.Handler):
    """Keeps lines as they would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        import json

        line = self.format(record)
        self.text += line
        self.lines.append(json.loads(line))


@pytest.fixture
def kept() -> Any:
    handler = Kept()
    logger = logging.getLogger("tunewell")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


async def test_a_request_is_one_line(http: httpx.AsyncClient, kept: Kept) -> None:
    study = await create(http)
    answer = await http.get(f"/v1/studies/{study['id']}", headers={"X-Request-ID": "mine"})
    assert answer.status_code == 200
    line = kept.lines[-1]
    assert len(kept.lines) == 2
    assert (line["event"], line["method"], line["status"]) == ("request", "GET", 200)
    assert line["route"] == "/v1/studies/{study_id}"
    assert (line["request_id"], line["study_id"]) == ("mine", study["id"])
    assert 0 < line["duration_ms"] < 60_000


async def test_the_lines_of_a_trial_name_study_trial_and_lease(
    http: httpx.AsyncClient, kept: Kept
) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    asked = kept.lines[-1]
    await tell(http, trial, 1.0)
    told = kept.lines[-1]
    for line in (asked, told):
        assert line["study_id"] == study["id"]
        assert line["trial_id"] == trial["id"]
        assert line["lease_id"] == trial["lease_id"]


async def test_a_claim_names_its_worker(http: httpx.AsyncClient, kept: Kept) -> None:
    body = {"name": "w", "boot_id": "1", "objectives": ["function"]}
    worker_id = (await http.post("/v1/workers", json=body)).json()["id"]
    await http.post("/v1/leases:claim", json={"worker_id": worker_id})
    assert kept.lines[-1]["worker_id"] == worker_id


async def test_a_line_names_the_token_and_never_a_secret(
    http: httpx.AsyncClient, services: Services, kept: Kept
) -> None:
    token, secret = services.tokens.create("me", Role.ADMIN, None)
    granted = {"Authorization": f"Bearer {secret}"}
    await http.get("/v1/studies?name_prefix=private", headers=granted)
    assert kept.lines[-1]["token_id"] == token.id
    made = await http.post("/v1/tokens", json={"name": "x", "role": "reader"}, headers=granted)
    assert made.status_code == 201
    await http.get("/v1/studies", headers={"Authorization": "Bearer tw_wrong-secret"})
    assert kept.lines[-1]["status"] == 401
    for hidden in (secret, made.json()["secret"], "tw_wrong-secret", "private", "Bearer"):
        assert hidden not in kept.text


async def test_a_hostile_path_is_not_in_the_line(http: httpx.AsyncClient, kept: Kept) -> None:
    await http.get("/v1/" + "%0a" * 100 + "<script>")
    assert kept.lines[-1]["route"] == ""
    assert "script" not in kept.text


async def test_the_lines_can_be_turned_off(services: Services, kept: Kept) -> None:
    app = build(Settings(access_log=False))
    app.state.services = services
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        assert (await client.get("/healthz")).status_code == 200
    assert kept.lines == []
