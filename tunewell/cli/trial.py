"""tunewell trial: list, show, cancel, retry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import NotFound
from ..lines import cell, clean, number, params_text, source_words, took, took_s, values_of
from ..tables import Both
from .app import App
from .arguments import StudyName, TrialNumber, TrialOf
from .output import (
    Column,
    Json,
    TokenOption,
    Url,
    connect,
    print_facts,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from ..client import Client
    from ..models import Study, Trial, TrialDetail

app = App("Trials: look at them, cancel, retry.")


def _id(client: Client, of: str, number: int | None) -> str:
    """The id of a trial: given as such, or by its number in a study."""
    if number is None:
        if not of.startswith("tr_"):
            raise typer.BadParameter(
                f"{of!r} is no trial's id; of a study, give the trial's number too"
            )
        return of
    study = client.find_study(of)
    for trial in client.trials(study["id"]):
        if trial["number"] == number:
            return str(trial["id"])
    detail = f"study {study['name']!r} has no trial {number}"
    raise NotFound(404, {"code": "not-found", "detail": detail})


@app.command("list")
def list_trials(
    study: StudyName,
    state: Annotated[
        str | None, typer.Option(help="Only in these states, separated by commas.")
    ] = None,
    order_by: Annotated[
        str, typer.Option(help="number, value, created_at, param:NAME; - before it: descending.")
    ] = "number",
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """List the trials of a study."""
    from ..models import Study, Trial, read

    with connect(url, token) as client:
        raw = client.find_study(study)
        trials = list(client.trials(raw["id"], state=state, order_by=order_by))
    if json:
        print_json({"trials": trials})
        return
    found = read(Study, raw)
    rows = [
        (
            trial.number,
            trial.state,
            *(trial.params.get(name) for name in found.params),
            *(trial.values.get(name) for name in found.metrics),
            trial.source,
            trial.id,
            _took(trial),
            trial.failure.kind if trial.failure else None,
        )
        for trial in (read(Trial, each) for each in trials)
    ]
    print_table(
        _columns(found), rows, empty="No trial fits." if state else "No trial yet.", shown=_HEADS
    )


_HEADS = {"took_s": "took", "number": "#"}


def _columns(study: Study) -> list[Column]:
    """Where there is no room, the id goes first, then the source, then the last parameters."""
    return [
        Column(name="number", is_number=True),
        Column(name="state", is_state=True),
        *(Column(name=name, is_number=True, rank=10 + k) for k, name in enumerate(study.params)),
        *(Column(name=name, is_number=True) for name in study.metrics),
        Column(name="source", rank=500),
        Column(name="id", rank=1_000),
        Column(name="took_s", is_number=True, rank=4),
        Column(name="failure", rank=3),
    ]


def _took(trial: Trial) -> Any:
    seconds = took_s(trial)
    return None if seconds is None else Both(people=took(seconds), data=round(seconds, 3))


@app.command()
def show(
    trial: TrialOf,
    number: TrialNumber = None,
    logs: Annotated[
        bool, typer.Option("--logs", help="Show what its process has printed instead.")
    ] = False,
    attempt: Annotated[
        str | None,
        typer.Option(metavar="LEASE", help="With --logs: of this attempt.", show_default=False),
    ] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Show one trial with its attempts, or its output."""
    from ..models import Study, TrialDetail, read

    if attempt is not None and not logs:
        raise typer.BadParameter("--attempt goes with --logs")
    if logs:
        with connect(url, token) as client:
            found_id = _id(client, trial, number)
            log = client.get_logs(found_id, attempt)
            if attempt is not None and not log["parts"]:
                _check_attempt(client.get_trial(found_id), attempt)
        _print_logs(log, as_json=json)
        return
    with connect(url, token) as client:
        raw = client.get_trial(_id(client, trial, number))
        study = read(Study, client.get_study(raw["study_id"]))
    if json:
        print_json(raw)
        return
    found = read(TrialDetail, raw)
    print_facts(_facts(found, study))
    if found.failure and found.failure.traceback:
        print("\n".join(clean(line) for line in found.failure.traceback.splitlines()))


def _check_attempt(raw: dict[str, Any], attempt: str) -> None:
    known = [str(each["lease_id"]) for each in raw["attempts"]]
    if attempt not in known:
        there = f"; its attempts are {', '.join(known)}" if known else ""
        detail = f"trial {raw['number']} has no attempt {attempt!r}{there}"
        raise NotFound(404, {"code": "not-found", "detail": detail})


def _print_logs(log: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(log)
        return
    end = 0
    for part in log["parts"]:
        if part["offset"] > end:
            print(f"... {part['offset'] - end:,} bytes left out ...")
        print("\n".join(clean(line) for line in part["text"].splitlines()))
        end = part["offset"] + len(part["text"].encode())
    if not log["parts"]:
        say("No output: the trial has printed nothing, or ran in a script, which shows it itself.")


def _facts(trial: TrialDetail, study: Study) -> Iterator[tuple[str, Any]]:
    point = [params_text(trial, study), *values_of(trial, study.metrics)]
    yield "trial", "  ".join([str(trial.number), *filter(None, point)])
    yield "id", trial.id
    yield "study", f"{study.name} ({study.id})"
    yield "state", trial.state
    yield "not before", trial.not_before
    yield "checkpoint", trial.checkpoint_id
    yield "source", source_words(trial)
    yield "suggester", trial.provenance.get("suggester")
    yield "step", trial.step
    yield "bracket", trial.bracket
    yield "rungs", ", ".join(f"step {each.step}: {number(each.value)}" for each in trial.rungs)
    yield "trained to", None if trial.to_step is None else f"step {trial.to_step}"
    if trial.directive:
        yield "directive", f"{trial.directive}: {trial.directive_reason}"
    yield "measurements", trial.measurements.count
    if trial.data:
        yield "data", f"{trial.data.get('dataset')} (digest {trial.data.get('digest')})"
    for attempt in trial.attempts:
        who = attempt.worker_id or attempt.client_id or "a client"
        who += "" if attempt.slot is None else f" in slot {attempt.slot}"
        how = attempt.end or "running"
        why = f" ({attempt.failure.kind})" if attempt.failure else ""
        yield "attempt", f"{cell(attempt.acquired_at)} by {who}: {how}{why}, {attempt.lease_id}"
    if trial.failure:
        yield "failure", f"{trial.failure.kind}: {' '.join(trial.failure.message.split())}"
    yield "created", trial.created_at
    yield "started", trial.started_at
    yield "ended", trial.ended_at
    yield "note", trial.note


def _change(
    verb: str, trial: str, number: int | None, url: str | None, token: str | None, json: bool
) -> None:
    with connect(url, token) as client:
        changed = client.trial_action(_id(client, trial, number), verb)
    if json:
        print_json(changed)
    else:
        print(f"trial {changed['number']}  {cell(changed['state'])}")


@app.command()
def cancel(
    trial: TrialOf,
    number: TrialNumber = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Cancel a trial; the worker that runs it is told to abort."""
    _change("cancel", trial, number, url, token, json)


@app.command()
def retry(
    trial: TrialOf,
    number: TrialNumber = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Run a failed trial again."""
    _change("retry", trial, number, url, token, json)
