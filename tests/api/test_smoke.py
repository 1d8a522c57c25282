from __future__ import annotations

import httpx
import pytest

from .conftest import ask, create, tell

pytestmark = pytest.mark.anyio


async def test_ask_and_tell_goes_from_a_definition_to_a_best(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    ended = await tell(http, trial, 0.5)
    assert ended["state"] == "completed"
    shown = (await http.get(f"/v1/studies/{study['id']}")).json()
    assert shown["best"]["id"] == trial["id"]
