"""What `study run` and `study watch` do: submit, follow, stop following at Ctrl-C, say how to come
back.
"""

from __future__ import annotations

from collections.abc import Sequence

from .client import Client
from .follow import follow
from .lines import clean
from .models import Study
from .private import Local, n_cores
from .reporters import Quiet, reporter, say
from .studies import StudyFile, submit

FINE, FAILED = 0, 1


def run(client: Client, file: StudyFile, *, as_json: bool) -> int:
    """Submits a study and follows it; returns the exit status: 0 when it completed."""
    return watch(client, submit(client, file).id, as_json=as_json)


def watch(client: Client, study_id: str, *, as_json: bool) -> int:
    """Follows a study; Ctrl-C stops following only. Returns the exit status: 0 when it completed,
    or goes on.
    """
    try:
        return _status_of(follow(client, study_id, reporter(client.url, as_json=as_json)))
    except KeyboardInterrupt:
        say(f"\nno longer following; the study goes on. Come back with {_back(client, study_id)}")
        return FINE


def run_local(
    file: StudyFile,
    *,
    slots: int | None,
    objectives: Sequence[str],
    commands: Sequence[str] = (),
    as_json: bool,
) -> int:
    """Runs a study on a private service and worker; returns the exit status: 0 when it completed.

    The first Ctrl-C stops following, the second ends the service and the worker.

    Args:
        file: the study.
        slots: how many trials run at once; None: one a core.
        objectives: "module:name" of the user's own.
        commands: NAME=FILE.toml of commands that are objectives.
        as_json: print JSON lines.
    """
    local = Local()
    try:
        with local, local.client() as client:
            # Before the worker, so that the file's own trials are there when it asks for some.
            study = submit(client, file)
            local.start_worker(slots or n_cores(), objectives, commands)
            local.check_serves(study)
            return _status_of(_follow_local(local, client, study.id, as_json=as_json))
    except KeyboardInterrupt:
        say("\nended; the study is kept")
        return FINE
    finally:
        say(f"to look at it again, or to go on with a worker beside: {local.serve_line}")


def _follow_local(local: Local, client: Client, study_id: str, *, as_json: bool) -> Study:
    shown = reporter(local.url, as_json=as_json)
    try:
        return follow(client, study_id, shown, check=local.check_alive)
    except KeyboardInterrupt:
        say(
            "\nno longer following; the study goes on here. Come back, in another terminal, with "
            f"{_back(client, study_id)}\nCtrl-C again ends the service and the study's trials"
        )
    return follow(client, study_id, Quiet(), check=local.check_alive)


def _back(client: Client, study_id: str) -> str:
    return f"`tunewell study watch {clean(study_id)} --url {client.url}`"


def _status_of(study: Study) -> int:
    return FINE if study.state == "completed" else FAILED
