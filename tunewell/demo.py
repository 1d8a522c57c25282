"""What `make demo` runs: a network on MNIST tuned by random search, by GP and by TPE."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .client import Client
from .follow import follow
from .lines import number
from .local import Local, fresh_folder, wait_for_interrupt
from .studies import load_study

STUDIES = ("mnist-random", "mnist-gp", "mnist-tpe")
MOST_SLOTS = 2


def run_demo(*, as_json: bool = False, keep_serving: bool | None = None) -> int:
    """Runs the demo; returns the exit status: 0 when every study completed all its trials.

    Args:
        as_json: print JSON lines.
        keep_serving: serve on until Ctrl-C; on a terminal when None.
    """
    folder = fresh_folder("demo")
    slots = min(MOST_SLOTS, os.cpu_count() or 1)
    _say(f"Tunewell demo: a service, one worker with {slots} slots, three studies. In {folder}")
    try:
        with Local(slots=slots, folder=folder) as local, local.client() as client:
            _say(f"Watch it live: {local.url}")
            rows = [_run(client, name, as_json=as_json) for name in STUDIES]
            _print_table(rows, as_json=as_json)
            _say(f"Data set: {_data_of(client, rows[0]['study_id'])}")
            is_kept = sys.stdout.isatty() if keep_serving is None else keep_serving
            if is_kept:
                _say(f"Serving at {local.url} until Ctrl-C.")
                wait_for_interrupt()
    except KeyboardInterrupt:
        _say("Ended.")
        return 1
    _say(f"See these studies again: {serve_line(folder)}")
    return 0 if all(row["is_complete"] for row in rows) else 1


def serve_line(folder: Path) -> str:
    """The command that serves the database of a demo."""
    return f"tunewell serve --database-url sqlite:///{folder / 'tunewell.db'}"


def _run(client: Client, name: str, *, as_json: bool) -> dict[str, Any]:
    definition, trials = load_study(name)
    began = time.monotonic()
    study = client.create_study(definition)
    if trials:
        client.enqueue(study["id"], trials)
    suggester = study["definition"]["suggester"]["name"]
    _say(f"\n{study['name']} ({suggester}), {definition['limits']['max_trials']} trials")
    follow(client, study["id"], as_json=as_json)
    ended = client.get_study(study["id"])
    metric = ended["definition"]["metrics"][0]["name"]
    n_completed = ended["trial_counts"].get("completed", 0)
    return {
        "study_id": study["id"],
        "suggester": suggester,
        "metric": metric,
        "best": ended["best"]["values"][metric] if ended["best"] else None,
        "seconds": round(time.monotonic() - began, 1),
        "trials": n_completed,
        "is_complete": ended["state"] == "completed"
        and n_completed == definition["limits"]["max_trials"],
    }


def _print_table(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": "table", "rows": rows}), flush=True)
        return
    print(f"\n{'suggester':<10} {'best ' + rows[0]['metric']:<15} {'seconds':>8} {'trials':>7}")
    for row in rows:
        best = "-" if row["best"] is None else f"{row['best']:.4f}"
        print(f"{row['suggester']:<10} {best:<15} {number(row['seconds']):>8} {row['trials']:>7}")
    sys.stdout.flush()


def _data_of(client: Client, study_id: str) -> str:
    for trial in client.best(study_id):
        data = trial.get("data") or {}
        if data.get("dataset") == "mnist":
            return "full MNIST, 60,000 training and 10,000 test images"
        if data.get("dataset") == "mnist-5k":
            return "mnist-5k, the shipped subset (4,000 training and 1,000 test images)"
        if data:
            return str(data.get("dataset"))
    return "unknown: no trial completed"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
