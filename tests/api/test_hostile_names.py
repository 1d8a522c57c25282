"""What users call things does no harm: in pages, files, file names and logs."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from email.message import Message
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api.export import csv_lines, file_name
from app.domain.token import Role
from app.errors import InvalidInput
from app.logs import JsonFormatter
from app.service.services import Services

from .conftest import ask, client_of, create, tell
from .contract import Contract
from .hostile import ALLOWED, FREE_TEXT, REFUSED
from .problems import is_problem

pytestmark = pytest.mark.anyio

PAGES = ("/", "/docs", "/studies/{id}")
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@pytest.mark.parametrize("name", ALLOWED.values(), ids=ALLOWED.keys())
async def test_a_name_comes_back_as_it_was_and_reaches_no_page(
    http: httpx.AsyncClient, name: str
) -> None:
    study = await create(http, name, labels={"team": name}, description=FREE_TEXT)
    assert study["name"] == name
    assert (await http.get(f"/v1/studies/{study['id']}")).json()["description"] == FREE_TEXT
    for path in PAGES:
        page = await http.get(path.format(id=study["id"]))
        assert name not in page.text
        assert "unsafe" not in page.headers["content-security-policy"]
    for answer in (await http.get("/v1/studies"), await http.get(f"/v1/studies/{study['id']}")):
        # A browser that is shown the JSON must not take it for a page.
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED.keys())
async def test_a_name_that_would_be_obeyed_is_refused_and_not_repeated(
    http: httpx.AsyncClient, name: str
) -> None:
    body = {
        "name": name,
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
    }
    answer = await http.post("/v1/studies", json=body)
    problem = is_problem(answer, 422, "invalid-study")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/name"]
    assert all(c.isprintable() for c in problem["detail"])
    assert len(answer.content) < 2_000
    assert (await http.get("/v1/studies")).json()["studies"] == []


@pytest.mark.parametrize("name", ALLOWED.values(), ids=ALLOWED.keys())
async def test_no_cell_of_an_export_is_a_formula(http: httpx.AsyncClient, name: str) -> None:
    space = [
        {"name": name, "type": "categorical", "choices": [name, "plain"]},
        {"name": "x", "type": "float", "low": -1, "high": -0.5},
    ]
    metrics = [{"name": f"{name} m"[-200:], "direction": "minimize"}]
    study = await create(http, "study", space=space, metrics=metrics)
    points = [{"params": {name: name, "x": -0.75}}]
    path = f"/v1/studies/{study['id']}/trials"
    assert (await http.post(path, json={"trials": points})).is_success
    trial = await ask(http, study["id"])
    done = {"lease_id": trial["lease_id"], "values": {metrics[0]["name"]: -1.5}}
    assert (await http.post(f"/v1/trials/{trial['id']}:complete", json=done)).is_success
    text = (await http.get(f"/v1/studies/{study['id']}/export")).text
    rows = list(csv.reader(io.StringIO(text, newline="")))
    cells = [cell for row in rows for cell in row]
    assert all(_is_number(cell) for cell in cells if cell.startswith(FORMULA)), cells
    assert "-0.75" in cells
    assert "-1.5" in cells
    assert name in {cell[1:] if cell.startswith("'") else cell for cell in cells}
    lines = (await http.get(f"/v1/studies/{study['id']}/export?format=jsonl")).text.splitlines()
    assert name in json.loads(lines[0]).values()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_numbers_stay_numbers_and_text_can_be_had_back() -> None:
    row = {
        "a": -1, "b": -1.5, "c": float("-inf"), "d": float("nan"), "e": "-1", "f": "'=x",
        "g": "\n=1", "h": "plain's", "i": False, "j": 1e-300,
    }  # fmt: skip
    text = "".join(csv_lines(list(row), iter([row])))
    _, cells = csv.reader(io.StringIO(text, newline=""))
    assert cells == [
        "-1", "-1.5", "-Infinity", "NaN", "'-1", "''=x", "'\n=1", "plain's", "false", "1e-300",
    ]  # fmt: skip
    texts = [cell[1:] if cell.startswith("'") else cell for cell in cells]
    assert [texts[k] for k in (4, 5, 6, 7)] == [row[k] for k in "efgh"]


@pytest.mark.parametrize("name", ALLOWED.values(), ids=ALLOWED.keys())
async def test_an_export_is_saved_under_a_harmless_name(http: httpx.AsyncClient, name: str) -> None:
    study = await create(http, name)
    answer = await http.get(f"/v1/studies/{study['id']}/export")
    header = answer.headers["content-disposition"]
    assert header.isascii()
    assert "set-cookie" not in answer.headers
    assert header.startswith(f'attachment; filename="{study["id"]}.csv"')
    parsed = Message()
    parsed["content-disposition"] = header
    saved = parsed.get_filename() or ""
    assert saved.endswith(".csv")
    assert not re.search(r'[\x00-\x1f/\\:*?"<>|]', saved)
    assert not saved.startswith(".")
    assert len(saved) <= 84


def test_a_file_name_has_no_marks_that_turn_text() -> None:
    assert file_name("abc\u202egpj.exe") == "abc_gpj.exe"
    assert file_name("...") == ""
    assert file_name("a\r\nb") == "a__b"
    assert file_name("\u062f\u0631") == "\u062f\u0631"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """All log records so far, as the lines that the service writes."""
    caplog.set_level(logging.DEBUG)
    formatter = JsonFormatter()
    return lambda: [formatter.format(record) for record in caplog.records]


async def test_no_text_of_a_user_makes_a_log_line_of_its_own(
    app: FastAPI, http: httpx.AsyncClient, services: Services, lines: Any
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(FREE_TEXT)

    services.studies.get = fail  # type: ignore[method-assign]
    nasty = "/v1/studies/st_%0A%7B%22event%22,%22forged%22%7D%1B%5B2J"
    answer = await http.get(nasty, headers={"X-Request-ID": "a\tb"})
    assert answer.status_code == 500
    written = lines()
    assert any("request_failed" in line for line in written)
    for line in written:
        assert line.isascii()
        assert line.isprintable(), line
        assert json.loads(line)["event"] != "forged"


async def test_no_secret_is_in_a_log_an_error_an_event_or_what_is_kept(
    app: FastAPI,
    contract: Contract,
    services: Services,
    tokens: dict[Role, str],
    lines: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = list(tokens.values())
    said: list[str] = []

    async def note(answer: httpx.Response) -> None:
        await answer.aread()
        said.append(answer.text)

    async with client_of(app, contract) as http:
        http.event_hooks["response"].append(note)
        session = await http.put("/v1/session", json={"token": tokens[Role.ADMIN]})
        secrets += [http.cookies["tunewell_session"]]
        csrf = session.json()["csrf_token"]
        http.headers.update({"X-CSRF-Token": csrf, "Idempotency-Key": "k"})
        study = await create(http)
        await tell(http, await ask(http, study["id"]), 1.0)
        made = await http.post("/v1/tokens", json={"name": "x", "role": "reader"})
        secret = made.json()["secret"]
        said.remove(made.text)
        said.remove(session.text)
        secrets += [secret, csrf]
        http.cookies.clear()
        for wrong in (f"{secret}x", secret[:-1], f"Basic {secret}"):
            await http.get("/v1/studies", headers={"Authorization": f"Bearer {wrong}"})
            await http.put("/v1/session", json={"token": wrong})
            await http.put("/v1/session", json={"token": wrong, "more": wrong})
            await http.put("/v1/session", json={"token": [wrong]})

        def fail(*args: Any) -> Any:
            raise RuntimeError("broken")

        monkeypatch.setattr(services.studies, "get", fail)
        bearer = {"Authorization": f"Bearer {secret}"}
        assert (await http.get("/v1/studies/st_1", headers=bearer)).status_code == 500
    key = services.sessions._signing_key()
    assert key is not None
    secrets.append(key.hex())
    kept = _all_rows(services)
    for each in secrets:
        assert not [line for line in lines() if each in line]
        assert not [text for text in said if each in text]
        assert {table for table, text in kept if each in text} <= {"signing_keys"}


def _all_rows(services: Services) -> list[tuple[str, str]]:
    from app.store.tables import metadata

    return services.store.read(
        lambda conn: [
            (table.name, str(tuple(row)))
            for table in metadata.sorted_tables
            for row in conn.execute(table.select())
        ]
    )


@pytest.mark.parametrize(
    "name", [REFUSED[n] for n in REFUSED if n != "10,000 characters"], ids=lambda name: repr(name)
)
async def test_no_name_of_anything_has_control_characters(
    http: httpx.AsyncClient, name: str
) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    lease, path = {"lease_id": trial["lease_id"]}, f"/v1/trials/{trial['id']}"
    point = {"step": 1, "values": {name: 1}}
    worker: dict[str, Any] = {"name": "w", "boot_id": "1"}
    calls: list[tuple[str, dict[str, Any], str]] = [
        (f"{path}/measurements", {**lease, "seq": 0, "points": [point]}, "/points/0/values"),
        (f"{path}:complete", {**lease, "values": {"value": 1, name: 2}}, "/values"),
        (f"/v1/studies/{study['id']}/trials",
         {"trials": [{"params": {"x": 0.5}, "values": {"value": 1, name: 2}}]},
         "/trials/0/values"),
        (f"/v1/studies/{study['id']}:suggest", {"client_id": name}, "/client_id"),
        ("/v1/workers", {**worker, "name": name}, "/name"),
        ("/v1/workers", {**worker, "boot_id": name}, "/boot_id"),
        ("/v1/workers", {**worker, "labels": {name: "a"}}, "/labels"),
        ("/v1/workers", {**worker, "labels": {"rack": name}}, "/labels/rack"),
        ("/v1/workers", {**worker, "objectives": [name]}, "/objectives/0/name"),
        ("/v1/workers", {**worker, "objectives": [{"name": "f", "metrics": {name: "minimize"}}]},
         "/objectives/0/metrics"),
        ("/v1/workers", {**worker, "devices": [{"index": 0, "kind": "cpu", "model": name}]},
         "/devices/0/model"),
        ("/v1/tokens", {"name": name, "role": "reader"}, "/name"),
    ]  # fmt: skip
    for where, body, pointer in calls:
        problem = is_problem(await http.post(where, json=body), 422, "invalid-value")
        faults = [(fault["pointer"], fault["code"]) for fault in problem["errors"]]
        assert faults == [(pointer, "control-character")], where
        assert problem["detail"].isprintable()


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
async def test_a_token_made_beside_the_service_has_a_name_too(
    services: Services, name: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        services.tokens.create(name, Role.ADMIN, None)
    assert refused.value.faults[0].pointer == "/name"
    assert not services.tokens.auth_required()
