"""Importance against Optuna's fANOVA, recorded by `benchmarks/record_importance.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from app.analysis.axes import places
from app.analysis.importance import importance
from app.domain.space import CategoricalParameter, FloatParameter, IntParameter, Parameter, Space

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "optuna_fanova.json").read_text()
)["cases"]


def parameter(raw: dict[str, Any]) -> Parameter:
    if raw.get("type") == "categorical":
        return CategoricalParameter(name=raw["name"], choices=tuple(raw["choices"]))
    if raw.get("type") == "int":
        return IntParameter(name=raw["name"], low=raw["low"], high=raw["high"])
    return FloatParameter(name=raw["name"], low=0.0, high=1.0)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_parameters_rank_as_the_original_has_them(name: str) -> None:
    case = RECORDED[name]
    space = Space(parameters=tuple(parameter(raw) for raw in case["space"]))
    points = [dict(zip(space.names, point, strict=True)) for point in case["points"]]
    (block,) = importance(
        space,
        places(space, points),
        np.array(case["values"]),
        is_maximized=False,
        clip=1.0,
    )
    ours = {share.param: share.share for share in block.shares if share.pair is None}
    theirs = case["shares"]
    assert set(ours) == set(theirs)
    found = spearmanr([ours[each] for each in theirs], list(theirs.values())).statistic
    assert found >= 0.8
    assert max(ours, key=ours.__getitem__) == max(theirs, key=theirs.__getitem__)
