"""tunewell study best: the best trials, by what was observed or by what a model expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..lines import clean, number
from .arguments import StudyName
from .output import (
    Column,
    Json,
    TokenOption,
    Url,
    connect,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from ..models import Study


def best(
    study: StudyName,
    by: Annotated[
        Literal["observed", "posterior_mean"],
        typer.Option(help="posterior_mean: what a model expects; for noisy metrics."),
    ] = "observed",
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many.")] = 1,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Show the best trials of a study, best first."""
    from ..models import Study, read

    with connect(url, token) as client:
        raw = client.find_study(study)
        found = client.ranking(raw["id"], k, by)
    if json:
        print_json(found)
        return
    of = read(Study, raw)
    rows = [_row(of, trial) for trial in found["trials"]]
    print_table(_columns(of, by), rows, empty="No trial has ended well yet.", shown={"number": "#"})
    if by == "posterior_mean":
        _say_more(of, found)


def _columns(study: Study, by: str) -> list[Column]:
    """Where there is no room, what a model says goes first unless it was asked for."""
    unasked = 0 if by == "posterior_mean" else 2_000
    return [
        Column(name="number", is_number=True),
        *(Column(name=clean(name), is_number=True, rank=10 + k)
          for k, name in enumerate(study.params)),
        *(Column(name=clean(name), is_number=True) for name in study.metrics),
        Column(name="posterior mean", is_number=True, rank=unasked),
        Column(name="sd", is_number=True, rank=unasked),
        Column(name="source", rank=5),
        Column(name="id", rank=1_000),
    ]  # fmt: skip


def _row(study: Study, trial: Mapping[str, Any]) -> Sequence[Any]:
    return (
        trial["number"],
        *(trial["params"].get(name) for name in study.params),
        *(trial["values"].get(name) for name in study.metrics),
        trial.get("posterior_mean"),
        trial.get("posterior_sd"),
        trial["source"],
        trial["id"],
    )


def _say_more(study: Study, found: Mapping[str, Any]) -> None:
    """What the model saw, and which trial was best by observation."""
    model = found["posterior"]
    noise = "it sees noise" if model["is_noisy"] else "it sees no noise"
    say(f"by a Gaussian process of {model['n_results']} results; {noise}")
    if study.best is not None and study.best_value is not None:
        say(f"best observed: trial {study.best.number}  {number(study.best_value)}")
