"""tunewell study best: the best trials, by what was observed or by what a model expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..lines import clean, number
from .arguments import StudyName
from .output import Json, TokenOption, Url, connect, find_study, print_json, print_table, say

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
        raw = find_study(client, study)
        found = client.ranking(raw["id"], k, by)
    if json:
        print_json(found)
        return
    of = read(Study, raw)
    rows = [_row(of, trial) for trial in found["trials"]]
    heads = ("number", *of.params, *of.metrics, "posterior mean", "sd", "source", "id")
    print_table([clean(head) for head in heads], rows, empty="No trial has ended well yet.")
    if by == "posterior_mean":
        _say_more(of, found)


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
