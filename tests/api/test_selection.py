"""The line that picks trials, as a page's address holds it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from app.api.selection import read_selection
from app.domain.selection import ChoicesFilter, RangeFilter, Selection
from app.domain.trial import TrialState
from app.errors import InvalidInput

from .conftest import create
from .problems import is_problem


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, Selection()),
        ("", Selection()),
        ("lr:1e-3..6e-3", Selection(params={"lr": RangeFilter(low=0.001, high=0.006)})),
        ("lr:..6e-3", Selection(params={"lr": RangeFilter(high=0.006)})),
        ("lr:-2..", Selection(params={"lr": RangeFilter(low=-2)})),
        ("value:..0.5", Selection(value=RangeFilter(high=0.5))),
        ("number:7", Selection(number=RangeFilter(low=7, high=7))),
        (
            "state:completed,state:failed",
            Selection(states=(TrialState.COMPLETED, TrialState.FAILED)),
        ),
        ("model:a,model:b", Selection(params={"model": ChoicesFilter(choices=("a", "b"))})),
        ("size:32", Selection(params={"size": ChoicesFilter(choices=("32", 32.0))})),
        ("on:true", Selection(params={"on": ChoicesFilter(choices=("true", True))})),
        ('size:"32"', Selection(params={"size": ChoicesFilter(choices=("32",))})),
        ("a%2Cb%3Ac:x%2E%2Ey", Selection(params={"a,b:c": ChoicesFilter(choices=("x..y",))})),
        ("param%3Avalue:0..1", Selection(params={"value": RangeFilter(low=0, high=1)})),
        ('{"x": {"low": 1}}', Selection(params={"x": RangeFilter(low=1)})),
    ],
)
def test_a_line_is_read(text: str | None, wanted: Selection) -> None:
    assert read_selection(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr", "'lr' is no name:low..high"),
        (":1..2", "no name:low..high"),
        ("lr:", "no name:low..high"),
        ("lr:a..b", "'lr' needs numbers, found 'a'"),
        ("lr:0..inf", "finite numbers, found 'inf'"),
        ("lr:0..1,lr:2..3", "'lr' has a range beside"),
        ("lr:0..1,lr:a", "'lr' has a range beside"),
        ("state:0..1", "'state' has no range"),
        ("state:done", "'done' is no state"),
        ("value:good", "'value' needs numbers"),
        ("number:1,number:2", "'number' is named twice"),
        (",".join(f"p{k}:1" for k in range(65)), "at most 64 names"),
        (",".join(f"p:{k}" for k in range(1001)), "at most 1000 terms"),
    ],
)
def test_a_wrong_line_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_selection(text)
    assert said in refused.value.detail


SPACE = [
    {"name": "x", "type": "float", "low": 0, "high": 1},
    {"name": "a,b", "type": "categorical", "choices": ["p:q", "r"]},
]


@pytest.mark.anyio
async def test_lists_and_files_hold_the_selection_in_its_order(http: httpx.AsyncClient) -> None:
    study = await create(http, space=SPACE)
    trials = [
        {"params": {"x": k / 10, "a,b": ["p:q", "r"][k % 2]}, "values": {"value": (k - 4) ** 2}}
        for k in range(8)
    ]
    path = f"/v1/studies/{study['id']}"
    assert (await http.post(f"{path}/trials", json={"trials": trials})).status_code == 201
    asked: dict[str, Any] = {"where": "x:0.1..0.65,a%2Cb:p%3Aq", "order_by": "-param:x"}
    listed = (await http.get(f"{path}/trials", params={**asked, "page_size": 2})).json()
    assert [trial["number"] for trial in listed["trials"]] == [7, 5]
    token = listed["next_page_token"]
    rest = (await http.get(f"{path}/trials", params={**asked, "page_token": token})).json()
    assert [trial["number"] for trial in rest["trials"]] == [3]
    for form in ("csv", "jsonl"):
        answer = await http.get(f"{path}/export", params={**asked, "format": form})
        lines = answer.text.splitlines()
        if form == "csv":
            assert [line.split(",")[0] for line in lines[1:]] == ["7", "5", "3"]
        else:
            assert [json.loads(line)["number"] for line in lines] == [7, 5, 3]
    picked = (await http.get(f"{path}/analysis/selected", params={"where": asked["where"]})).json()
    assert (picked["columns"], picked["n_total"]) == ({"number": [3, 5, 7]}, 8)
    refused = await http.get(f"{path}/export", params={"where": "x"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/where")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "pointer", "said"),
    [
        ({"where": "learning_rat:0..1"}, "/where", 'did you mean "learning_rate"?'),
        ({"where": '{"learning_rat": {"low": 0}}'}, "/where", '"learning_rat"'),
        ({"where": "stat:completed"}, "/where", 'did you mean "state"?'),
        ({"where": "param%3Anumber:1"}, "/where", '"number"'),
        ({"order_by": "-param:learning_rat"}, "/order_by", 'did you mean "learning_rate"?'),
    ],
)
async def test_a_parameter_that_is_not_there_is_named(
    http: httpx.AsyncClient, asked: dict[str, str], pointer: str, said: str
) -> None:
    space = [{"name": "learning_rate", "type": "float", "low": 0, "high": 1}]
    path = f"/v1/studies/{(await create(http, space=space))['id']}"
    paths = [f"{path}/trials", f"{path}/export"]
    if "where" in asked:
        paths.append(f"{path}/analysis/selected")
    for each in paths:
        problem = is_problem(await http.get(each, params=asked), 422, "invalid-value")
        [fault] = problem["errors"]
        assert (fault["pointer"], fault["code"]) == (pointer, "unknown-parameter")
        assert said in fault["detail"]
