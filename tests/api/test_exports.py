"""Exports as files with types, read back with the library that people read them with."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyarrow
import pyarrow.parquet
import pytest
from fastapi import FastAPI

from app.api import parquet
from app.api.parquet import parquet_pieces
from app.service.exports import Column, Kind

from .asgi import Call
from .conftest import ask, create
from .problems import is_problem
from .test_trials import enqueue

pytestmark = pytest.mark.anyio

SPACE = [
    {"name": "x", "type": "float", "low": 0, "high": 1},
    {"name": "n", "type": "int", "low": 1, "high": 9},
    {"name": "kind", "type": "categorical", "choices": ["a", "b"]},
    {"name": "on", "type": "categorical", "choices": [True, False]},
    {"name": "size", "type": "categorical", "choices": [16, 32]},
    {"name": "rate", "type": "categorical", "choices": [1, 2.5]},
    {"name": "mixed", "type": "categorical", "choices": ["auto", 1, 0.5, True]},
    {"name": "late", "type": "float", "low": 0, "high": 1,
     "when": {"param": "kind", "in": ["b"]}},
]  # fmt: skip
POINT = {"x": 0.5, "n": 3, "kind": "a", "on": True, "size": 16, "rate": 1, "mixed": "auto"}


async def exported(http: httpx.AsyncClient, study: dict[str, Any], **asked: str) -> pyarrow.Table:
    answer = await http.get(
        f"/v1/studies/{study['id']}/export", params={"format": "parquet", **asked}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert "content-encoding" not in answer.headers
    assert f'filename="{study["id"]}.parquet"' in answer.headers["content-disposition"]
    return pyarrow.parquet.read_table(io.BytesIO(answer.content))


async def test_columns_of_a_parquet_export_have_types(http: httpx.AsyncClient) -> None:
    study = await create(http, space=SPACE)
    other = {**POINT, "kind": "b", "late": 0.25, "on": False, "rate": 2.5}
    await enqueue(
        http,
        study,
        {"params": POINT, "values": {"value": 1}},
        {"params": {**other, "mixed": 1}, "state": "cancelled"},
        {"params": {**other, "mixed": 0.5}, "values": {"value": 2}},
        {"params": {**other, "mixed": True}, "values": {"value": 3}},
    )
    table = await exported(http, study)
    instant = pyarrow.timestamp("us", tz="UTC")
    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "number": whole, "id": text, "state": text, "source": text, "params.x": real,
        "params.n": whole, "params.kind": text, "params.on": pyarrow.bool_(), "params.size": whole,
        "params.rate": real, "params.mixed": text, "params.late": real, "values.value": real,
        "step": whole, "attempts": whole, "losses": whole, "failure_kind": text,
        "failure_message": text, "note": text, "created_at": instant, "started_at": instant,
        "ended_at": instant,
    }  # fmt: skip
    columns = table.to_pydict()
    assert columns["number"] == [1, 2, 3, 4]
    assert columns["params.on"] == [True, False, False, False]
    assert columns["params.rate"] == [1.0, 2.5, 2.5, 2.5]
    assert columns["params.mixed"] == ["auto", "1", "0.5", "true"]
    assert columns["params.late"] == [None, 0.25, 0.25, 0.25]
    assert columns["values.value"] == [1.0, None, 2.0, 3.0]
    assert columns["note"] == [None] * 4
    ended = columns["ended_at"][0]
    assert abs(ended - datetime.now(UTC)) < timedelta(hours=1)


async def test_a_study_without_trials_is_a_parquet_file_too(http: httpx.AsyncClient) -> None:
    table = await exported(http, await create(http))
    assert (table.num_rows, table.schema.names[:2]) == (0, ["number", "id"])


async def test_a_selection_comes_as_parquet_in_its_order(http: httpx.AsyncClient) -> None:
    study = await create(http)
    items = [{"params": {"x": k / 1200}, "values": {"value": k}} for k in range(1200)]
    await enqueue(http, study, *items)
    table = await exported(http, study, order_by="-value", where="x:0.25..")
    assert table.column("number").to_pylist() == list(range(1200, 300, -1))


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_parquet_which_is_compressed_is_not_compressed_again(
    app: FastAPI, http: httpx.AsyncClient, accepted: str
) -> None:
    study = await create(http)
    target = f"/v1/studies/{study['id']}/export?format=parquet"
    async with Call(app, "GET", target, {"accept-encoding": accepted}) as call:
        status, headers = await call.start()
    assert status == 200
    assert "content-encoding" not in headers


async def test_without_its_extra_parquet_is_refused_with_what_to_do(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = await create(http)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = await http.get(f"/v1/studies/{study['id']}/export?format=parquet")
    problem = is_problem(answer, 422, "invalid-value")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/format"]
    assert "pip install 'tunewell[parquet]'" in problem["detail"]
    assert "csv, jsonl" in problem["detail"]


async def test_metrics_that_are_only_reported_are_columns_after_the_declared_ones(
    http: httpx.AsyncClient,
) -> None:
    study = await create(http)
    await enqueue(http, study, {"params": {"x": 0.5}, "values": {"value": 1}})
    trial = await ask(http, study["id"])
    body = {"lease_id": trial["lease_id"], "values": {"zeta": 1, "value": 2, "a b": 0.5}}
    assert (await http.post(f"/v1/trials/{trial['id']}:complete", json=body)).is_success
    path = f"/v1/studies/{study['id']}/export"
    header, first, second = (await http.get(path)).text.splitlines()
    names = header.split(",")
    assert [n for n in names if n.startswith("values.")] == [
        "values.value", "values.a b", "values.zeta",
    ]  # fmt: skip
    k = names.index("values.value")
    assert first.split(",")[k : k + 3] == ["1.0", "", ""]
    assert second.split(",")[k : k + 3] == ["2.0", "0.5", "1.0"]
    # The columns are the study's, whichever trials are picked.
    picked = (await http.get(path, params={"where": "number:1"})).text.splitlines()
    assert picked == [header, first]
    assert (await exported(http, study)).column("values.zeta").to_pylist() == [None, 1.0]


COLUMNS = [Column(name="number", kind=Kind.INTEGER), Column(name="v", kind=Kind.NUMBER)]


def file_of(pieces: Iterator[bytes]) -> pyarrow.parquet.ParquetFile:
    return pyarrow.parquet.ParquetFile(io.BytesIO(b"".join(pieces)))


def test_row_groups_leave_as_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 1_000)
    taken = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for taken in range(1, 2_601):
            yield {"number": taken, "v": taken / 7}

    pieces = parquet_pieces(COLUMNS, rows())
    first = [next(pieces), next(pieces)]
    assert taken == 1_000
    assert len(first[1]) > 8_000  # the first group has left, before any row of the second is read
    whole = file_of(iter([*first, *pieces]))
    groups = [whole.metadata.row_group(k).num_rows for k in range(whole.num_row_groups)]
    assert groups == [1_000, 1_000, 600]
    assert whole.read().column("number").to_pylist() == list(range(1, 2_601))


def test_long_texts_fill_a_row_group_before_its_rows_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100_000)
    rows = ({"number": k, "t": "x" * 1_000} for k in range(1_200))
    columns = [COLUMNS[0], Column(name="t", kind=Kind.TEXT)]
    assert file_of(parquet_pieces(columns, rows)).num_row_groups == 3


def test_values_that_are_not_finite_stay_what_they_are() -> None:
    given = [1, math.inf, -math.inf, math.nan, None]
    rows = ({"number": k, "v": value} for k, value in enumerate(given))
    found = file_of(parquet_pieces(COLUMNS, rows)).read().column("v").to_pylist()
    assert found[:3] == [1.0, math.inf, -math.inf]
    assert math.isnan(found[3])
    assert found[4] is None
