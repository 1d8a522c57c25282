"""tunewell import: optuna, csv, jsonl: trials that other tools have run, into a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ApiError
from ..lines import clean
from ..terminal import clear_note, note
from .app import App
from .completion import study_names
from .output import (
    Json,
    TokenOption,
    Url,
    Yes,
    complain,
    connect,
    go_on_or_leave,
    print_json,
    say,
)

if TYPE_CHECKING:
    from ..client import Client
    from ..history.mapping import Mapped
    from ..history.records import History
    from ..history.sending import Outcome, Placed

app = App("Bring trials that you have run already: from Optuna, CSV, JSON lines.")

FileName = Annotated[str, typer.Argument(metavar="FILE", help="The file; - for standard input.")]
Into = Annotated[
    str,
    typer.Option(
        "--study", metavar="STUDY", help="Import into this study, by id or name.",
        autocompletion=study_names,
    ),
]  # fmt: skip
Renames = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="COLUMN=NAME",
        help="A column is this parameter or metric, or state, step, started_at, ended_at. May be "
        "repeated.",
    ),
]  # fmt: skip
SkipRefused = Annotated[
    bool,
    typer.Option("--skip-refused", help="Leave out rows that the study cannot take, not more."),
]

_MOST_SHOWN = 20
WRONG_ROWS = 2


@app.command()
def optuna(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="An SQLite file of Optuna 3 to 5, or a journal.")
    ],
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="STUDY",
            help="Import into this study, by id or name.",
            show_default=False,
            autocompletion=study_names,
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="The study in the file, if it holds several.",
            show_default=False,
        ),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make the study from the file's space if need be.")
    ] = False,
    definition: Annotated[
        bool,
        typer.Option("--definition", help="Print the definition of such a study; import nothing."),
    ] = False,
    renames: Renames = None,
    skip_refused: SkipRefused = False,
    yes: Yes = False,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Import the trials of an Optuna study; needs no Optuna.

    Repeated, only new ones come.
    """
    from ..history.optuna_files import read_optuna

    history = read_optuna(file, of)
    if definition:
        print_json(definition_of(history, study or "from-optuna"))
        return
    if study is None:
        raise typer.BadParameter("say which study: --study NAME")
    make = partial(_made, name=study) if create else None
    with connect(url, token) as client:
        found = _study(client, study, history, make)
        _import(client, found, history, renames, skip_refused=skip_refused, yes=yes, json=json)


@app.command()
def csv(
    file: FileName,
    study: Into,
    renames: Renames = None,
    skip_refused: SkipRefused = False,
    yes: Yes = False,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Import trials from a CSV file with a header.

    Repeated, only new ones come.
    """
    from ..history.files import read_csv

    history = read_csv(file)
    with connect(url, token) as client:
        found = client.find_study(study)
        _import(client, found, history, renames, skip_refused=skip_refused, yes=yes, json=json)


@app.command()
def jsonl(
    file: FileName,
    study: Into,
    renames: Renames = None,
    skip_refused: SkipRefused = False,
    yes: Yes = False,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Import trials from JSON lines, an object each.

    Repeated, only new ones come.
    """
    from ..history.files import read_jsonl

    history = read_jsonl(file)
    with connect(url, token) as client:
        found = client.find_study(study)
        _import(client, found, history, renames, skip_refused=skip_refused, yes=yes, json=json)


def definition_of(history: History, name: str) -> dict[str, Any]:
    """A study with the space and the directions of the file, that its clients evaluate."""
    metrics = [
        {"name": "value" if len(history.directions) == 1 else f"values_{index}", "direction": each}
        for index, each in enumerate(history.directions)
    ]
    return {"name": name, "metrics": metrics, "space": list(history.space or ())}


def _made(client: Client, history: History, *, name: str) -> Any:
    """A study for a file."""
    made = client.create_study(definition_of(history, name))
    size = len(history.space or ())
    say(f"made study {clean(made['name'])} ({made['id']}) with {size} parameters")
    return made


def _study(
    client: Client, name: str, history: History, make: Callable[..., Any] | None
) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = client.find_study(name)
    except ApiError as error:
        if error.status != 404:
            raise
        if make is None:
            error.problem["hint"] = "make it from the file's own space with --create"
            raise
        return dict(make(client, history))
    return found


def _import(
    client: Client,
    study: Mapping[str, Any],
    history: History,
    renames: Sequence[str] | None,
    *,
    skip_refused: bool,
    yes: bool,
    json: bool,
) -> None:
    from ..history.mapping import mapped
    from ..history.sending import new_ones, send

    plan = mapped(history, study["definition"], _renames(renames or ()))
    new = new_ones(client, study["id"], plan.places, plan.items)
    clear_note()
    _show_plan(study, history, plan, new, json=json)
    if new:
        go_on_or_leave(f"Import {len(new):,} trials?", yes=yes or json)
    outcome = send(client, study["id"], new, skip_refused=skip_refused, told=_progress(len(new)))
    clear_note()
    _show_outcome(study, plan, new, outcome, json=json)
    raise typer.Exit(WRONG_ROWS if outcome.refused else 0)


def _renames(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        column, equals, name = text.rpartition("=")
        if not (column and equals and name):
            raise typer.BadParameter(f"--map is COLUMN=NAME, not {text!r}")
        found[column] = name
    return found


def _show_plan(
    study: Mapping[str, Any], history: History, plan: Mapped, new: Sequence[Placed], *, json: bool
) -> None:
    counts = {
        "rows": len(history.rows), "finished": len(plan.items), "new": len(new),
        "there_already": len(plan.items) - len(new), "unfinished": plan.n_unfinished,
        "without_value": plan.n_without_value, "with_inactive": plan.n_inactive,
    }  # fmt: skip
    if json:
        print_json({"type": "plan", "study_id": study["id"], "columns": dict(plan.pairs),
                    "left_out": list(plan.left_out), "notes": list(history.notes), **counts,
                    "states": dict(plan.states)})  # fmt: skip
        return
    say(f"{clean(history.name)} -> study {clean(study['name'])} ({study['id']})")
    size = max((len(column) for column, _ in plan.pairs), default=0)
    for column, target in plan.pairs:
        say(f"  {clean(column):<{size}}  -> {clean(target)}")
    if plan.left_out:
        say(f"left out: {', '.join(clean(column) for column in plan.left_out)}")
    for text in (*history.notes, *_remarks(plan)):
        say(f"note: {clean(text)}")
    states = ", ".join(f"{n:,} {state}" for state, n in sorted(plan.states.items()))
    say(f"{len(plan.items):,} finished trials{f' ({states})' if states else ''}: {len(new):,} new, "
        f"{counts['there_already']:,} there already")  # fmt: skip


def _remarks(plan: Mapped) -> Sequence[str]:
    found = []
    if plan.n_unfinished:
        found.append(f"rows that have not ended, left out: {plan.n_unfinished:,}")
    if plan.n_without_value:
        found.append(f"rows without a finite value, which come as failed: {plan.n_without_value:,}")
    if plan.n_inactive:
        found.append(
            f"values of parameters that are not active are left out in {plan.n_inactive:,} rows"
        )
    return found


def _progress(total: int) -> Callable[[int], None]:
    def tell(n_seen: int) -> None:
        clear_note()
        note(f"{n_seen:,} of {total:,} ...")

    return tell


def _show_outcome(
    study: Mapping[str, Any],
    plan: Mapped,
    new: Sequence[Placed],
    outcome: Outcome,
    *,
    json: bool,
) -> None:
    there = len(plan.items) - len(new)
    if json:
        for refused in outcome.refused:
            faults = [{"pointer": at, "detail": detail} for at, detail in refused.faults]
            print_json({"type": "refused", "place": refused.place, "errors": faults})
        print_json({"type": "result", "study_id": study["id"], "imported": outcome.n_imported,
                    "there_already": there, "refused": len(outcome.refused),
                    "held_back": outcome.n_held_back})  # fmt: skip
        return
    for refused in outcome.refused[:_MOST_SHOWN]:
        for at, detail in refused.faults:
            complain(f"refused  {refused.place}  {clean(at)}: {clean(detail)}")
    if len(outcome.refused) > _MOST_SHOWN:
        complain(f"... and {len(outcome.refused) - _MOST_SHOWN:,} more; --json names all")
    if outcome.n_held_back:
        complain(
            f"{outcome.n_held_back:,} sound rows stood in a batch with one at fault and were not "
            "imported: mend the file, or give --skip-refused, and repeat"
        )
    print(f"{clean(study['name'])}  {outcome.n_imported:,} imported  {there:,} there already  "
          f"{len(outcome.refused):,} refused")  # fmt: skip
