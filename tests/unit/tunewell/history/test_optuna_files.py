"""Optuna's storages, as versions 3, 4 and 5 wrote them (see make_storages.py)."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from tunewell.cli.history import definition_of
from tunewell.history.mapping import mapped
from tunewell.history.optuna_files import read_optuna
from tunewell.history.records import BadHistory, History
from tunewell.history.spaces import merged_space

STORAGES = Path(__file__).parent / "storages"
FILES = sorted(path.name for path in STORAGES.glob("optuna-*"))


def net(name: str) -> History:
    return read_optuna(str(STORAGES / name), "net")


def test_each_kind_of_storage_of_each_version_is_there() -> None:
    assert [f"optuna-{v}.{kind}" for v in (3, 4, 5) for kind in ("db", "log")] == FILES


@pytest.mark.parametrize("name", FILES)
def test_every_trial_is_read_with_all_that_it_has(name: str) -> None:
    history = net(name)
    assert Counter(row.columns["state"] for row in history.rows) == {
        "COMPLETE": 10, "PRUNED": 1, "FAIL": 1, "RUNNING": 1,
    }  # fmt: skip
    for row in history.rows[:12]:
        params = {n: v for n, v in row.columns.items() if n.startswith("params_")}
        assert set(params) == {"params_lr", "params_width", "params_drop", "params_model"}
        assert 1e-5 <= params["params_lr"] <= 0.1
        assert isinstance(params["params_width"], int)
        assert params["params_model"] in ("simple", "batchnorm", "None")
        assert row.columns["user_attrs_host"] == "lab"
        lr, drop = params["params_lr"], params["params_drop"]
        assert row.curve == [(k, pytest.approx(1 / k + lr + drop)) for k in (1, 2, 3)]
    first, infinite = history.rows[0].columns, history.rows[6].columns
    expected = abs(first["params_lr"] - 0.01) + first["params_width"] / 1000
    expected += first["params_drop"] + (first["params_model"] == "None")
    assert first["value"] == pytest.approx(expected, abs=1e-12)
    assert infinite["value"] == math.inf


def test_all_versions_and_kinds_tell_the_same() -> None:
    """The studies are seeded: only times differ, and which columns a trial without a value has."""
    seen = set()
    for name in FILES:
        plain = [
            {k: v for k, v in row.columns.items() if not k.startswith("datetime")}
            for row in net(name).rows
        ]
        seen.add(json.dumps(plain, sort_keys=True, default=str))
    assert len(seen) == 1


@pytest.mark.parametrize("name", FILES)
def test_times_have_an_offset_and_lie_in_order(name: str) -> None:
    history = net(name)
    for row in history.rows[:12]:
        start = datetime.fromisoformat(row.columns["datetime_start"])
        end = datetime.fromisoformat(row.columns["datetime_complete"])
        assert start.tzinfo is not None
        assert start <= end
    is_local = not name.startswith("optuna-5")
    assert any("times are taken as local" in text for text in history.notes) is is_local


@pytest.mark.parametrize("name", FILES)
def test_the_space_of_the_file_is_one_of_ours(name: str) -> None:
    made = definition_of(net(name), "mine")
    by_name = {parameter["name"]: parameter for parameter in made["space"]}
    assert made["metrics"] == [{"name": "value", "direction": "minimize"}]
    assert by_name == {
        "lr": {"name": "lr", "type": "float", "low": 1e-5, "high": 0.1, "log": True},
        "width": {"name": "width", "type": "int", "low": 16, "high": 512, "log": True},
        "drop": {"name": "drop", "type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
        "model": {
            "name": "model",
            "type": "categorical",
            "choices": ["simple", "batchnorm", "None"],
        },
    }


def test_trials_become_ours_in_their_states() -> None:
    history = net("optuna-5.db")
    plan = mapped(history, definition_of(history, "mine"), {})
    assert plan.states == {"completed": 9, "stopped": 1, "failed": 2}
    assert (plan.n_unfinished, plan.n_without_value) == (1, 1)
    assert plan.left_out == ["number", "user_attrs_host"]
    stopped = plan.items[4]
    assert stopped["state"] == "stopped"
    assert stopped["measurements"][-1] == {"step": 3, "values": stopped["values"]}
    assert plan.items[6]["failure"] == {
        "kind": "nan",
        "message": "imported: its value is not finite",
    }


@pytest.mark.parametrize("name", FILES)
def test_several_objectives_are_told_apart_by_their_place(name: str) -> None:
    history = read_optuna(str(STORAGES / name), "front")
    assert history.directions == ["minimize", "maximize"]
    plan = mapped(history, definition_of(history, "mine"), {})
    x, values = plan.items[0]["params"]["x"], plan.items[0]["values"]
    assert values == pytest.approx({"values_0": x * x, "values_1": (x - 1) ** 2})


def test_a_study_of_several_has_to_be_named() -> None:
    path = str(STORAGES / "optuna-5.db")
    with pytest.raises(BadHistory, match="holds 2 studies: net, front; choose one with --from"):
        read_optuna(path)
    with pytest.raises(BadHistory, match="no study 'fron', did you mean 'front'"):
        read_optuna(path, "fron")


def test_a_journal_is_read_up_to_a_line_that_is_still_being_written(tmp_path: Path) -> None:
    text = (STORAGES / "optuna-5.log").read_text()
    path = tmp_path / "half.log"
    path.write_text(text + '{"op_code": 4, "study')
    assert len(read_optuna(str(path), "net").rows) == 13
    path.write_text('{"op_code": 4, "study\n' + text)
    with pytest.raises(BadHistory, match=r"half\.log, line 1 is no entry of an Optuna journal"):
        read_optuna(str(path), "net")


def test_a_study_that_was_deleted_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "deleted.log"
    shutil.copy(STORAGES / "optuna-4.log", path)
    with path.open("a") as file:
        file.write('{"op_code": 1, "worker_id": "w", "study_id": 0}\n')
    assert read_optuna(str(path)).name.startswith("study 'front'")


def test_another_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"SQLite format 3\x00" + bytes(100))
    with pytest.raises(BadHistory, match="no storage of Optuna 3, 4 or 5"):
        read_optuna(str(path))
    with pytest.raises(BadHistory, match="cannot be read"):
        read_optuna(str(tmp_path / "none"))


def test_a_range_of_one_value_becomes_a_choice_until_another_trial_widens_it() -> None:
    fixed = {
        "x": {"name": "FloatDistribution", "attributes": {"low": 1.0, "high": 1.0}},
        "k": {"name": "IntDistribution", "attributes": {"low": 3, "high": 3}},
    }
    space, _ = merged_space([fixed])
    assert space == [
        {"name": "x", "type": "categorical", "choices": [1.0]},
        {"name": "k", "type": "categorical", "choices": [3]},
    ]
    wider = {"x": {"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 1.0}}}
    assert merged_space([fixed, wider])[0][0]["type"] == "float"
