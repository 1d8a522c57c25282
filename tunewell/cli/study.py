"""tunewell study: submit, run, plan, list, show, watch, pause, resume, stop, cancel, delete,
undelete, export.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ApiError
from ..lines import cell, clean
from ..studies import StudyFile, load_study
from ..terminal import WISHES, clear_note, is_screen
from .app import App
from .arguments import StudyName, StudySource
from .best import best
from .output import (
    Json,
    TokenOption,
    Url,
    Yes,
    action_on,
    complain,
    connect,
    go_on_or_leave,
    load,
    print_json,
    say,
)
from .replay import replay
from .resume import resume
from .study_lists import export, list_studies, show

if TYPE_CHECKING:
    from ..client import Client

app = App("Studies: submit, follow, steer, export.")

NewName = Annotated[
    str | None,
    typer.Option("--name", help="Name the study so, not as the file does.", show_default=False),
]


def _file(source: str, name: str | None) -> StudyFile:
    file = load_study(source)
    return file if name is None else file.named(name)


@contextmanager
def _refusals_of(source: str) -> Iterator[None]:
    """What the service refuses in the block is at fault in that file."""
    try:
        yield
    except ApiError as error:
        if error.errors:
            error.problem["file"] = "standard input" if source == "-" else source
        raise


@app.command()
def submit(
    file: StudySource,
    name: NewName = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Submit a study and return at once."""
    from ..studies import submit as submit_file

    found = _file(file, name)
    with connect(url, token) as client, _refusals_of(file):
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
    file: StudySource,
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
    with connect(url, token) as client, _refusals_of(file):
        raise typer.Exit(following.run(client, found, as_json=json))


@app.command()
def watch(
    study: StudyName,
    until: Annotated[
        str,
        typer.Option(
            metavar="GOAL", help="Watch until it is done, or until a best value: best=0.985."
        ),
    ] = "done",
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Watch a study live to its end, print the best.

    Piped, or with --quiet, it is no screen but a line for all that happens.
    """
    from ..following import Goal
    from ..following import watch as follow

    goal = Goal.parsed(until)
    with connect(url, token) as client:
        found = client.find_study(study)["id"]
        if json or WISHES.is_quiet or not is_screen(sys.stdout):
            raise typer.Exit(follow(client, found, as_json=json, goal=goal))
        from ..watching import watch_live

        clear_note()
        raise typer.Exit(watch_live(client, found, goal))


@app.command()
def plan(file: StudySource, json: Json = False) -> None:
    """Check a study and show what it will spend.

    Nothing is created; it needs no service.
    """
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
        complain(f"error: {len(faults)} faults; the study would be refused")
    for fault in faults:
        complain(f"  {clean(fault['pointer'] or '/')}: {clean(fault['detail'])}")
    raise typer.Exit(2 if faults else 0)


app.command("list")(list_studies)
app.command()(show)


def _steer(verb: str, study: str, url: str | None, token: str | None, json: bool) -> None:
    with connect(url, token) as client:
        _act(client, client.find_study(study), verb, json=json)


def _act(client: Client, found: Mapping[str, Any], verb: str, *, json: bool) -> None:
    with action_on(verb):
        changed = client.study_action(found["id"], verb)
    if json:
        print_json(changed)
    else:
        print(f"{cell(changed['name'])}  {cell(changed['state'])}")


def _verb(name: str, text: str) -> Callable[..., None]:
    def command(
        study: StudyName, url: Url = None, token: TokenOption = None, json: Json = False
    ) -> None:
        _steer(name, study, url, token, json)

    command.__doc__ = text
    return command


app.command("pause")(_verb("pause", "Hand out no more trials; running ones go on to their end."))
app.command()(resume)
app.command("stop")(_verb("stop", "End a study once its running trials have ended."))


@app.command()
def cancel(
    study: StudyName,
    yes: Yes = False,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """End a study at once; running trials are aborted."""
    with connect(url, token) as client:
        found = client.find_study(study)
        n_running = (found.get("trial_counts") or {}).get("running", 0)
        if n_running:
            what = f"{n_running} running trials of {cell(found['name'])} are aborted"
            go_on_or_leave(f"{what} and their work is lost. Cancel it?", yes=yes)
        _act(client, found, "cancel", json=json)


@app.command()
def delete(
    study: StudyName,
    yes: Yes = False,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Delete a study; it can be restored for a time."""
    with connect(url, token) as client:
        found = client.find_study(study)
        go_on_or_leave(f"Delete {cell(found['name'])} with its trials?", yes=yes)
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
    if not study.startswith("st_"):
        raise typer.BadParameter(
            f"{study!r} is no study's id; a deleted one is named by its id, which "
            "`tunewell study delete` has told"
        )
    with connect(url, token) as client:
        restored = client.study_action(study, "undelete")
    if json:
        print_json(restored)
    else:
        print(f"{cell(restored['name'])}  {cell(restored['state'])}")


app.command()(export)
app.command()(best)
app.command()(replay)
