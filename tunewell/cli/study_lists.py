"""tunewell study list, show, export."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import why
from ..lines import ago, clean, duration, saved_line, sparkline
from ..lines import rate as rate_text
from ..outcomes import result_line
from ..tables import Both
from .arguments import StudyName
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
    from ..models import Study

_TREND_WIDTH = 10

COLUMNS = (
    Column(name="name", is_name=True),
    Column(name="state", is_state=True),
    Column(name="trials", is_number=True),
    Column(name="best", is_number=True),
    Column(name="created", rank=6),
    Column(name="id", rank=9),
    Column(name="trend", rank=8),
    Column(name="running", is_number=True, rank=2),
    Column(name="rate_per_h", is_number=True, rank=4),
    Column(name="left_s", is_number=True, rank=3),
)
_HEADS = {"rate_per_h": "rate", "left_s": "left", "running": "run"}


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
    with connect(url, token) as client:
        filters = {"state": state, "label": label, "name_prefix": prefix}
        found = list(client.list_studies(view=None if json else "summary", **filters))
    if json:
        print_json({"studies": found})
        return
    empty = "No study. Submit one: tunewell study run FILE.json"
    if state or label or prefix:
        empty = "No study fits."
    print_table(COLUMNS, [_row(each) for each in found], empty=empty, shown=_HEADS)


def _row(raw: Mapping[str, Any]) -> tuple[Any, ...]:
    from ..models import Study, read

    study, summary = read(Study, raw), raw.get("summary") or {}
    per_h, left = summary.get("rate_per_h"), summary.get("time_left_s")
    trend = [float(value) for _, value in summary.get("trend") or ()]
    goes_on = study.state == "active"
    return (
        study.name,
        study.state,
        _trials(study),
        study.best_value,
        Both(people=ago(study.created_at), data=study.created_at),
        study.id,
        Both(people=sparkline(trend, _TREND_WIDTH), data=" ".join(map(str, trend)) or None),
        study.n_running,
        Both(people=rate_text(per_h) if per_h and goes_on else "-", data=per_h),
        Both(people=f"~{duration(left)}" if left and goes_on else "-", data=left),
    )


def _trials(study: Study) -> str:
    """Trials that have ended of the budget."""
    return str(study.n_finished) + (f"/{study.max_trials}" if study.max_trials else "")


def show(study: StudyName, url: Url = None, token: TokenOption = None, json: Json = False) -> None:
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
    yield "stopping", (study.definition.get("early_stopping") or {}).get("name")
    yield "budget", f"{study.max_trials} trials" if study.max_trials else None
    yield "trials", counts or "none yet"
    yield "resource", saved_line(study)
    yield "created", study.created_at
    yield "ended", study.ended_at
    yield "best", result_line(study.best, study).removeprefix(" best ") if study.best else None


def export(
    study: StudyName,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="csv (the default), jsonl or parquet.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.", show_default=False)
    ] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Write all trials of a study as CSV, JSON lines or Parquet.

    --json means JSON lines.
    """
    if file_format == "parquet" and output is None and sys.stdout.isatty():
        raise typer.BadParameter("a terminal shows no Parquet; name a file with --output")
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
        raise typer.BadParameter(f"{output} cannot be written: {why(error)}") from error
    finally:
        partial.unlink(missing_ok=True)
