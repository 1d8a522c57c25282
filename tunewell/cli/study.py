"""tunewell study: submit, run, plan, list, show, watch, pause, resume, stop, cancel, delete,
export.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..client import Client
from ..lines import trial_line
from ..studies import load_study
from .output import (
    Json,
    TokenOption,
    Url,
    ago,
    best_of,
    connect,
    print_json,
    print_table,
    progress_of,
    say,
)

app = typer.Typer(no_args_is_help=True, help="Studies: submit, follow, steer, export.")

File = Annotated[
    str, typer.Argument(help="A JSON file, - for standard input, or the name of an example.")
]
Name = Annotated[str, typer.Argument(metavar="STUDY", help="The study's id or name.")]


@app.command()
def submit(file: File, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Submit a study and return at once."""
    with connect(url, token) as client:
        study = send(client, file)
        if json:
            print_json(study)
        else:
            print(f"{study['id']}  {study['name']}")
            say(f"Follow it with: tunewell study watch {study['name']}")


@app.command()
def run(
    file: File,
    local: Annotated[
        bool, typer.Option("--local", help="Start a private service and a worker for it.")
    ] = False,
    slots: Annotated[int, typer.Option(min=1, help="With --local: trials at once.")] = 1,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Submit a study, follow it to its end, print the best."""
    from ..follow import follow

    if not local:
        with connect(url, token) as client:
            study = send(client, file)
            raise typer.Exit(follow(client, study["id"], as_json=json))
    from ..local import Local, wait_for_interrupt

    with Local(slots=slots) as service, service.client() as client:
        study = send(client, file)
        is_own = study["definition"].get("objective") is None
        if is_own:
            say("This study has no objective: nothing here evaluates its trials.")
        status = follow(client, study["id"], as_json=json, is_local=True)
        if status == 130:
            say(f"Still serving at {service.url}; Ctrl-C again ends it.")
            wait_for_interrupt()
            status = 0
    raise typer.Exit(status)


@app.command()
def plan(file: File, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Check a study and show what it will spend; nothing is created. Needs no service."""
    from ..plan import plan_of

    definition, trials = load_study(file)
    found = plan_of(definition, len(trials), url=url, token=token)
    if json:
        print_json(found)
    else:
        for line in found["lines"]:
            print(line)
        for warning in found["warnings"]:
            say(f"warning: {warning}")
        for fault in found["faults"]:
            say(f"  {fault['pointer'] or '/'}: {fault['detail']}")
    raise typer.Exit(2 if found["faults"] else 0)


@app.command("list")
def list_studies(
    state: Annotated[str | None, typer.Option(help="Only studies in this state.")] = None,
    label: Annotated[str | None, typer.Option(help="Only with this label, as k=v.")] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """List studies, newest first."""
    with connect(url, token) as client:
        studies = list(client.list_studies(state=state, label=label))
    if json:
        print_json({"studies": studies})
        return
    rows = [
        (s["name"], s["state"], progress_of(s), best_of(s), ago(s["created_at"]), s["id"])
        for s in studies
    ]
    columns = ("name", "state", "trials", "best", "created", "id")
    print_table(columns, rows, empty="No study yet. Submit one: tunewell study run FILE.json")


@app.command()
def show(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Show one study."""
    with connect(url, token) as client:
        found = client.find_study(study)
    if json:
        print_json(found)
        return
    definition = found["definition"]
    suggester = definition["suggester"]
    objective = definition.get("objective")
    reason = found["stop_reason"]
    state = f"{found['state']} ({reason})" if reason else found["state"]
    facts: list[tuple[str, Any]] = [
        ("name", found["name"]),
        ("id", found["id"]),
        ("state", state),
        ("objective", objective["name"] if objective else "evaluated by its clients"),
        ("metrics", ", ".join(f"{m['direction']} {m['name']}" for m in definition["metrics"])),
        ("suggester", f"{suggester['name']}, seed {suggester['seed']}"),
        ("trials", progress_of(found)),
        ("parameters", ", ".join(p["name"] for p in definition["space"])),
        ("created", ago(found["created_at"])),
    ]
    for name, value in facts:
        print(f"{name:<11} {value}")
    if found["best"]:
        print(f"{'best':<11} {trial_line(found['best'], definition)}")
    for warning in found["warnings"]:
        say(f"warning: {warning}")


@app.command()
def watch(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Follow a study to its end."""
    from ..follow import follow

    with connect(url, token) as client:
        found = client.find_study(study)
        raise typer.Exit(follow(client, found["id"], as_json=json))


def _steer(verb: str, study: str, url: str | None, token: str | None, json: bool) -> None:
    with connect(url, token) as client:
        found = client.find_study(study)
        changed = client.study_action(found["id"], verb)
    if json:
        print_json(changed)
    else:
        print(f"{changed['name']}  {changed['state']}")


@app.command()
def pause(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Hand out no more trials; running ones go on."""
    _steer("pause", study, url, token, json)


@app.command()
def resume(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Go on with a paused study, or one whose limit was raised."""
    _steer("resume", study, url, token, json)


@app.command()
def stop(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """End a study once its running trials have ended."""
    _steer("stop", study, url, token, json)


@app.command()
def cancel(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """End a study at once; running trials are aborted."""
    _steer("cancel", study, url, token, json)


@app.command()
def delete(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Delete a study; it can be restored for a time."""
    with connect(url, token) as client:
        found = client.find_study(study)
        client.delete_study(found["id"])
    if json:
        print_json({"id": found["id"], "deleted": True})
    else:
        print(f"{found['name']}  deleted")
        say(f"Restore it with: POST /v1/studies/{found['id']}:undelete")


@app.command()
def export(
    study: Name,
    format: Annotated[str, typer.Option(help="csv or jsonl.")] = "csv",
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Write all trials of a study as CSV or JSON lines."""
    with connect(url, token) as client:
        found = client.find_study(study)
        chunks = client.export(found["id"], "jsonl" if json else format)
        if output is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            return
        with output.open("wb") as target:
            for chunk in chunks:
                target.write(chunk)
    say(f"written to {output}")


def send(client: Client, file: str) -> Any:
    """Submits the study of a file, with the trials that it may hold."""
    definition, trials = load_study(file)
    study = client.create_study(definition)
    if trials:
        client.enqueue(study["id"], trials)
    for warning in study["warnings"]:
        say(f"warning: {warning}")
    return study
