"""tunewell trial: list, show, cancel, retry."""

from __future__ import annotations

from typing import Annotated

import typer

from ..lines import number, trial_line
from .output import Json, TokenOption, Url, ago, connect, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Trials: look at them, cancel, retry.")

Id = Annotated[str, typer.Argument(metavar="TRIAL", help="The trial's id.")]


@app.command("list")
def list_trials(
    study: Annotated[str, typer.Argument(help="The study's id or name.")],
    state: Annotated[str | None, typer.Option(help="Only trials in this state.")] = None,
    order_by: Annotated[
        str, typer.Option(help="number, value, created_at, -value, ...")
    ] = "number",
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """List the trials of a study."""
    with connect(url, token) as client:
        found = client.find_study(study)
        trials = list(client.trials(found["id"], state=state, order_by=order_by))
    if json:
        print_json({"trials": trials})
        return
    definition = found["definition"]
    names = [p["name"] for p in definition["space"]]
    metrics = [m["name"] for m in definition["metrics"]]
    rows = [
        (
            t["number"],
            t["state"],
            *(number(t["params"].get(name)) for name in names),
            *(number(t["values"].get(name)) for name in metrics),
            t["source"],
            t["id"],
        )
        for t in trials
    ]
    columns = ("number", "state", *names, *metrics, "source", "id")
    print_table(columns, rows, empty="No trial yet.")


@app.command()
def show(trial: Id, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Show one trial with its attempts."""
    with connect(url, token) as client:
        found = client.get_trial(trial)
        study = client.get_study(found["study_id"])
    if json:
        print_json(found)
        return
    print(trial_line(found, study["definition"]))
    print(f"study      {study['name']}")
    print(f"state      {found['state']}")
    print(f"source     {found['source']}")
    if found["data"]:
        print(f"data       {found['data'].get('dataset')} ({found['data'].get('digest')})")
    for attempt in found["attempts"]:
        who = attempt["worker_id"] or attempt["client_id"] or "a client"
        how = attempt["end"] or "active"
        print(f"attempt    {ago(attempt['acquired_at'])} by {who}: {how}")
    if found["failure"]:
        print(f"failure    {found['failure']['kind']}: {found['failure']['message']}")
        if found["failure"]["traceback"]:
            print(found["failure"]["traceback"])
    if found["note"]:
        print(f"note       {found['note']}")


def _change(verb: str, trial: str, url: str | None, token: str | None, json: bool) -> None:
    with connect(url, token) as client:
        changed = client.trial_action(trial, verb)
    if json:
        print_json(changed)
    else:
        print(f"trial {changed['number']}  {changed['state']}")


@app.command()
def cancel(trial: Id, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Cancel a trial; a worker that runs it is told to abort."""
    _change("cancel", trial, url, token, json)


@app.command()
def retry(trial: Id, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Run a failed trial again."""
    _change("retry", trial, url, token, json)
