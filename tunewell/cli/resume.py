"""tunewell study resume: goes on with a study, with other limits if need be."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer

from ..lines import cell
from .arguments import StudyName
from .output import Json, TokenOption, Url, action_on, connect, print_json


def _limit(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, show_default=False)


def resume(
    study: StudyName,
    max_trials: Annotated[str | None, _limit("NUMBER", "Places for trials.")] = None,
    max_parallel: Annotated[str | None, _limit("NUMBER", "Trials at the same time.")] = None,
    max_duration_s: Annotated[
        str | None, _limit("NUMBER", "Seconds from the first trial on.")
    ] = None,
    max_trial_duration_s: Annotated[
        str | None, _limit("NUMBER", "Seconds that one attempt may run.")
    ] = None,
    target: Annotated[
        str | None, _limit("NUMBER", "The study ends when its best reaches this.")
    ] = None,
    no_progress: Annotated[
        str | None, _limit("JSON", 'Ends a study that stands still: {"trials": 50}.')
    ] = None,
    max_resource_total: Annotated[
        str | None, _limit("NUMBER", "Steps of all trials together.")
    ] = None,
    min_gain_per_h: Annotated[
        str | None, _limit("NUMBER", "Expected gain per hour below which the study ends.")
    ] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Go on with a paused study, or with one whose limit is raised.

    The options change limits first, as in --max-trials 60; `none` takes one away.
    """
    given = {
        "max_trials": max_trials,
        "max_parallel": max_parallel,
        "max_duration_s": max_duration_s,
        "max_trial_duration_s": max_trial_duration_s,
        "target": target,
        "no_progress": no_progress,
        "max_resource_total": max_resource_total,
        "min_gain_per_h": min_gain_per_h,
    }
    limits = {name: _value(name, text) for name, text in given.items() if text is not None}
    with connect(url, token) as client, action_on("resume"):
        found = client.studies.get(study)
        found.resume(**limits)
        if json:
            print_json(client.get_study(found.id))
        else:
            print(f"{cell(found.name)}  {cell(found.state)}")


def _value(name: str, text: str) -> Any:
    """A limit as JSON has it, and None for `none`; whether it may be so is the service's word."""
    if text.lower() == "none":
        return None
    try:
        return jsonlib.loads(text)
    except ValueError as error:
        option = f"--{name.replace('_', '-')}"
        raise typer.BadParameter(f"{option} takes a number or `none`, not {text!r}") from error
