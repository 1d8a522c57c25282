"""What `make demo` runs: a network on MNIST tuned by random search, by GP and by TPE.

The studies are the ones in examples/studies; each has the same space and budget.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .client import Client
from .follow import follow
from .lines import clean
from .models import Study
from .private import Local, fresh_folder, n_cores
from .reporters import reporter
from .studies import StudyFile, load_study, submit
from .terminal import say

STUDIES = ("mnist-random", "mnist-gp", "mnist-tpe")
MOST_SLOTS = 2

_DATA_SETS = {
    "mnist": "MNIST in full, 60,000 training and 10,000 test images",
    "mnist-5k": "mnist-5k, the shipped subset of MNIST: 4,000 training and 1,000 test images",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One study of the demo: a line of the table at its end."""

    study: str
    study_id: str
    suggester: str
    metric: str
    best: float | None
    seconds: float
    trials: int
    is_complete: bool


def run_demo(
    *,
    as_json: bool = False,
    keep_serving: bool | None = None,
    options: Mapping[str, Any] | None = None,
    trials: int | None = None,
) -> int:
    """Runs the demo.

    Args:
        as_json: print JSON lines.
        keep_serving: serve on until Ctrl-C; None: on a terminal.
        options: of the objective, in place of those of the example studies.
        trials: budget of each study, in place of the examples'.

    Returns:
        Exit status: 0 when every study completed all its trials.
    """
    files = [_changed(load_study(name), options or {}, trials) for name in STUDIES]
    slots = min(MOST_SLOTS, n_cores())
    local = Local(fresh_folder("demo"))
    say(f"Tunewell's demo: three studies of a network on MNIST. Everything is in {local.folder}")
    try:
        with local, local.client() as client:
            local.start_worker(slots)
            say(f"A service listens at {local.url}; one worker runs {slots} trials at once.")
            rows = [_run(local, client, file, as_json=as_json) for file in files]
            _print_table(rows, as_json=as_json)
            if sys.stdout.isatty() if keep_serving is None else keep_serving:
                say(f"Look at the studies at {local.url} ; Ctrl-C ends the service.")
                _wait(local)
    except KeyboardInterrupt:
        say(f"\nEnded before its end. What there is: {local.serve_line}")
        return 1
    say(f"To look at the studies again: {local.serve_line}")
    return 0 if all(row.is_complete for row in rows) else 1


def _wait(local: Local) -> None:
    try:
        local.wait()
    except KeyboardInterrupt:
        say("")


def _changed(file: StudyFile, options: Mapping[str, Any], trials: int | None) -> StudyFile:
    definition = dict(file.definition)
    objective = definition["objective"]
    changed = {**(objective.get("options") or {}), **options}
    definition["objective"] = {**objective, "options": changed}
    if trials is not None:
        definition["limits"] = {**definition["limits"], "max_trials": trials}
    return StudyFile(definition=definition, trials=file.trials)


def _run(local: Local, client: Client, file: StudyFile, *, as_json: bool) -> Row:
    began = time.monotonic()
    study = submit(client, file)
    local.check_serves(study)
    say("")
    ended = follow(client, study.id, reporter(local.url, as_json=as_json), check=local.check_alive)
    seconds = time.monotonic() - began
    say(f"data set: {_data_of(ended)}")
    n_completed = ended.trial_counts.get("completed", 0)
    return Row(
        study=ended.name,
        study_id=ended.id,
        suggester=str(ended.definition["suggester"]["name"]),
        metric=ended.metrics[0],
        best=ended.best_value,
        seconds=round(seconds, 1),
        trials=n_completed,
        is_complete=ended.state == "completed" and n_completed == ended.max_trials,
    )


def _data_of(study: Study) -> str:
    data = (study.best.data if study.best else None) or {}
    name = str(data.get("dataset") or "unknown")
    digest = str(data.get("digest") or "")
    return f"{_DATA_SETS.get(name, clean(name))} (digest {clean(digest)[:12] or 'unknown'})"


def _print_table(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"type": "table", "rows": [asdict(row) for row in rows]}), flush=True)
        return
    print(f"\n{'suggester':<10} {'best ' + rows[0].metric:<15} {'seconds':>8} {'trials':>7}")
    for row in rows:
        best = "-" if row.best is None else f"{row.best:.4f}"
        print(f"{row.suggester:<10} {best:<15} {row.seconds:>8.1f} {row.trials:>7}", flush=True)
