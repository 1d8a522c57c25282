"""Which column becomes what, and how cells become values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunewell.history.files import read_csv, read_jsonl
from tunewell.history.mapping import is_active, mapped, value_of
from tunewell.history.records import BadHistory
from tunewell.history.sending import BATCH, batches

DEFINITION: dict[str, Any] = {
    "metrics": [{"name": "accuracy", "direction": "maximize"}],
    "space": [
        {"name": "lr", "type": "float", "low": 0.001, "high": 0.1},
        {"name": "width", "type": "int", "low": 1, "high": 512},
        {"name": "model", "type": "categorical", "choices": ["simple", "batchnorm", 3, True]},
        {"name": "momentum", "type": "float", "low": 0, "high": 1,
         "when": {"param": "model", "in": ["batchnorm"]}},
    ],
}  # fmt: skip


def plan(tmp_path: Path, text: str, kind: str = "csv", **renames: str) -> Any:
    path = tmp_path / f"history.{kind}"
    path.write_text(text)
    history = read_csv(str(path)) if kind == "csv" else read_jsonl(str(path))
    return mapped(history, DEFINITION, renames)


def test_columns_of_other_tools_are_known_by_their_names(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "number,value,datetime_start,params_lr,params_width,params_model,state\n"
        "0,0.91,2026-05-01 10:00:00,0.01,64,simple,COMPLETE\n"
        "1,,2026-05-01 10:05:00,0.02,32,simple,PRUNED\n"
        "2,,,0.02,32,simple,RUNNING\n"
        "3,nan,,0.02,32,simple,COMPLETE\n",
    )
    assert found.pairs == [
        ("value", "metric accuracy"),
        ("datetime_start", "started_at"),
        ("params_lr", "parameter lr"),
        ("params_width", "parameter width"),
        ("params_model", "parameter model"),
        ("state", "state"),
    ]
    assert found.left_out == ["number"]
    assert found.states == {"completed": 1, "stopped": 1, "failed": 1}
    assert (found.n_unfinished, found.n_without_value) == (1, 1)
    assert found.places == ["line 2", "line 3", "line 5"]
    first = found.items[0]
    assert first["params"] == {"lr": 0.01, "width": 64, "model": "simple"}
    assert first["values"] == {"accuracy": 0.91}


def test_a_column_is_renamed_and_a_wrong_name_is_said(tmp_path: Path) -> None:
    text = "learning-rate;acc;width;model\n0.01;0.9;8;simple\n"
    found = plan(tmp_path, text, **{"learning-rate": "lr", "acc": "accuracy"})
    assert found.items[0]["params"]["lr"] == 0.01
    with pytest.raises(BadHistory, match="no column for parameter lr, metric accuracy;"):
        plan(tmp_path, text)
    with pytest.raises(BadHistory, match="there is no such column"):
        plan(tmp_path, text, rate="lr")
    with pytest.raises(BadHistory, match="a column becomes one of lr, width"):
        plan(tmp_path, text, acc="acuracy")


def test_objects_in_json_lines_are_columns_and_inactive_values_are_left_out(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        '{"params": {"lr": 0.1, "width": 2, "model": "simple", "momentum": 0.5}, '
        '"values": {"accuracy": 0.5}, "curve": [[1, 0.4], [2, 0.5]]}\n\n'
        '{"params": {"lr": 0.1, "width": 2, "model": "batchnorm", "momentum": 0.5}, '
        '"metrics": {"accuracy": 1}, "state": "failed"}\n',
        kind="jsonl",
    )
    assert found.n_inactive == 1
    assert "momentum" not in found.items[0]["params"]
    assert found.items[0]["measurements"][1] == {"step": 2, "values": {"accuracy": 0.5}}
    assert found.items[1]["params"]["momentum"] == 0.5
    assert (found.items[1]["state"], found.items[1]["values"]) == ("failed", {})


@pytest.mark.parametrize(
    ("index", "raw", "value"),
    [
        (0, "1e-3", 0.001), (1, "64.0", 64), (1, "64", 64), (1, "6.5", 6.5), (1, "many", "many"),
        (2, "simple", "simple"), (2, "3", 3), (2, "3.0", 3), (2, "true", True), (2, "x", "x"),
    ],
)  # fmt: skip
def test_cells_become_values_or_stay_for_the_service_to_refuse(
    index: int, raw: str, value: Any
) -> None:
    found = value_of(DEFINITION["space"][index], raw)
    assert (found, type(found)) == (value, type(value))


def test_a_choice_with_blanks_around_it_comes_back_from_a_cell() -> None:
    parameter = {"type": "categorical", "choices": [" sharp", "flat "]}
    assert [value_of(parameter, raw) for raw in ("sharp", "flat")] == [" sharp", "flat "]


@pytest.mark.parametrize("curve", ['[["a", 1]]', "[[null, 1]]", "[[1.5, 1]]", "[[1, 2, 3]]", "[1]"])
def test_a_curve_of_something_else_is_named_with_its_line(tmp_path: Path, curve: str) -> None:
    with pytest.raises(BadHistory, match="line 1: curve is a list of pairs of a whole step"):
        plan(tmp_path, f'{{"curve": {curve}}}', kind="jsonl")


def test_a_numeric_condition_has_bounds() -> None:
    parameter = {"name": "b", "when": {"param": "a", "low": 1, "high": 2}}
    assert [is_active(parameter, {"a": a}) for a in (0, 1, 2, 3)] == [False, True, True, False]
    assert not is_active(parameter, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("a,b\n1,2,3\n", "line 2: 3 cells, but the header names 2"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
    ],
)
def test_a_faulty_table_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadHistory, match=said):
        plan(tmp_path, text)


@pytest.mark.parametrize("text", ["[1]\n", "{\n", "1"])
def test_a_faulty_line_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadHistory, match="line 1 is no JSON"):
        plan(tmp_path, text, kind="jsonl")


def test_a_byte_order_mark_and_our_own_apostrophes_are_taken_off(tmp_path: Path) -> None:
    found = plan(tmp_path, "\ufefflr,width,model,accuracy,'=x\r\n'-1,2,simple,0.5,1\r\n")
    assert found.items[0]["params"]["lr"] == -1
    assert found.left_out == ["=x"]


def test_batches_are_bounded_in_number_and_in_size() -> None:
    small = [("p", {"params": {"x": k}}) for k in range(BATCH + 1)]
    assert [len(batch) for batch in batches(small)] == [BATCH, 1]
    large = [("p", {"note": "x" * (3 << 20)})] * 3
    assert [len(batch) for batch in batches(large)] == [1, 1, 1]
