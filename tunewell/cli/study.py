"""tunewell study: submit, run, plan, list, show, watch, pause, resume, stop, cancel, delete,
undelete, export.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..lines import ago, cell, clean, saved_line, trial_line
from ..studies import StudyFile, load_study
from .output import (
    Json,
    TokenOption,
    Url,
    connect,
    load,
    print_facts,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from ..models import Study

app = typer.Typer(
    no_args_is_help=True, help="Studies: submit, follow, steer, export.", rich_markup_mode=None
)

File = Annotated[
    str, typer.Argument(help="A JSON file, - for standard input, or the name of an example.")
]
Name = Annotated[str, typer.Argument(metavar="STUDY", help="The study's id or name.")]
NewName = Annotated[
    str | None,
    typer.Option("--name", help="Name the study so, not as the file does.", show_default=False),
]


def _file(source: str, name: str | None) -> StudyFile:
    file = load_study(source)
    return file if name is None else file.named(name)


@app.command()
def submit(
    file: File,
    name: NewName = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Submit a study and return at once."""
    from ..studies import submit as submit_file

    found = _file(file, name)
    with connect(url, token) as client:
        study = submit_file(client, found)
        if json:
            print_json(client.get_study(study.id))
            return
    print(f"{study.id}  {clean(study.name)}")
    for warning in study.warnings:
        say(f"warning: {clean(warning)}")
    say(f"follow it with `tunewell study watch {study.id}`")


@app.command()
def run(
    file: File,
    name: NewName = None,
    local: Annotated[
        bool, typer.Option("--local", help="Start a private service and a worker for it.")
    ] = False,
    slots: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="With --local: trials at once.", show_default=False),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help="With --local: an objective of your own, as module:name."),
    ] = None,
    command_objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE", help="With --local: a command that is one, as name=spec.toml."
        ),
    ] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Submit a study, follow it to its end, print the best."""
    from .. import following

    found = _file(file, name)
    if local:
        status = following.run_local(
            found,
            slots=slots,
            objectives=objective or (),
            commands=command_objective or (),
            as_json=json,
        )
        raise typer.Exit(status)
    if slots is not None or objective or command_objective:
        raise typer.BadParameter("--slots, --objective, --command-objective go with --local")
    with connect(url, token) as client:
        raise typer.Exit(following.run(client, found, as_json=json))


@app.command()
def watch(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Follow a study to its end, print the best."""
    from .. import following

    with connect(url, token) as client:
        found = client.find_study(study)
        raise typer.Exit(following.watch(client, found["id"], as_json=json))


@app.command()
def plan(file: File, json: Json = False) -> None:
    """Check a study and show what it will spend; nothing is created. Needs no service."""
    from ..plan import plan_lines, plan_of

    found = load_study(file)
    load("app", "domain.definition", extra="server")
    planned = plan_of(found.definition, len(found.trials))
    faults = planned["faults"]
    if json:
        print_json(planned)
    elif not faults:
        for line in plan_lines(planned):
            print(clean(line))
    for warning in planned["warnings"]:
        say(f"warning: {clean(warning)}")
    if faults:
        say(f"tunewell: {len(faults)} faults; the study would be refused")
    for fault in faults:
        say(f"  {clean(fault['pointer'] or '/')}: {clean(fault['detail'])}")
    raise typer.Exit(2 if faults else 0)


@app.command("list")
def list_studies(
    state: Annotated[
        str | None, typer.Option(help="Only in these states, separated by commas.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Only with this label, as k=v.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only names that begin so.")] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """List studies, newest first."""
    from ..models import Study, read

    with connect(url, token) as client:
        found = list(client.list_studies(state=state, label=label, name_prefix=prefix))
    if json:
        print_json({"studies": found})
        return
    studies = [read(Study, each) for each in found]
    rows = [(s.name, s.state, _trials(s), s.best_value, ago(s.created_at), s.id) for s in studies]
    columns = ("name", "state", "trials", "best", "created", "id")
    print_table(columns, rows, empty="No study. Submit one: tunewell study run FILE.json")


def _trials(study: Study) -> str:
    """Trials that have ended of the budget."""
    return str(study.n_finished) + (f"/{study.max_trials}" if study.max_trials else "")


@app.command()
def show(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Show one study."""
    from ..models import Study, read

    with connect(url, token) as client:
        raw = client.find_study(study)
    if json:
        print_json(raw)
        return
    found = read(Study, raw)
    print_facts(_facts(found))
    for warning in found.warnings:
        say(f"warning: {clean(warning)}")


def _facts(study: Study) -> Iterator[tuple[str, Any]]:
    suggester, metrics = study.definition["suggester"], study.definition["metrics"]
    counts = ", ".join(f"{n} {state}" for state, n in sorted(study.trial_counts.items()))
    yield "name", study.name
    yield "id", study.id
    yield "state", f"{study.state} ({study.reason})" if study.reason else study.state
    yield "objective", study.objective or "none: its clients evaluate the trials"
    yield "metrics", ", ".join(f"{m['direction']} {m['name']}" for m in metrics)
    yield "parameters", ", ".join(study.params)
    yield "suggester", f"{suggester['name']}, seed {suggester['seed']}"
    yield "budget", f"{study.max_trials} trials" if study.max_trials else None
    yield "trials", counts or "none yet"
    yield "resource", saved_line(study)
    yield "created", study.created_at
    yield "ended", study.ended_at
    yield "best", trial_line(study.best, study) if study.best else None


def _steer(verb: str, study: str, url: str | None, token: str | None, json: bool) -> None:
    with connect(url, token) as client:
        found = client.find_study(study)
        changed = client.study_action(found["id"], verb)
    if json:
        print_json(changed)
    else:
        print(f"{cell(changed['name'])}  {cell(changed['state'])}")


def _verb(name: str, text: str) -> Callable[..., None]:
    def command(
        study: Name, url: Url = None, token: TokenOption = None, json: Json = False
    ) -> None:
        _steer(name, study, url, token, json)

    command.__doc__ = text
    return command


for _name, _text in (
    ("pause", "Hand out no more trials; running ones go on to their end."),
    ("resume", "Go on with a paused study, or with one whose limit was raised."),
    ("stop", "End a study once its running trials have ended."),
    ("cancel", "End a study at once; running trials are aborted."),
):
    app.command(_name)(_verb(_name, _text))


@app.command()
def delete(study: Name, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """Delete a study; it can be restored for a time."""
    with connect(url, token) as client:
        found = client.find_study(study)
        deleted = client.delete_study(found["id"])
    if json:
        print_json(deleted)
        return
    print(f"{cell(found['name'])}  deleted")
    say(f"restore it with `tunewell study undelete {found['id']}`")


@app.command()
def undelete(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The deleted study's id.")],
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Restore a deleted study."""
    with connect(url, token) as client:
        restored = client.study_action(study, "undelete")
    if json:
        print_json(restored)
    else:
        print(f"{cell(restored['name'])}  {cell(restored['state'])}")


@app.command()
def export(
    study: Name,
    file_format: Annotated[
        str | None, typer.Option("--format", help="csv (the default) or jsonl.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.", show_default=False)
    ] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Write all trials of a study as CSV, or as JSON lines (--json means these)."""
    with connect(url, token) as client:
        found = client.find_study(study)
        chunks = client.export(found["id"], file_format or ("jsonl" if json else "csv"))
        if output is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            return
        _write(output, chunks)
    say(f"written to {output}")


def _write(output: Path, chunks: Iterator[bytes]) -> None:
    """Writes the whole export, or leaves what was there."""
    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("wb") as target:
            target.writelines(chunks)
        partial.replace(output)
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
