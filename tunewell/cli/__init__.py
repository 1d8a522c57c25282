"""The command line. Standard output is data, standard error is talk.

Exit status: 0 fine, 1 the study failed or was not found, 2 wrong usage, 3 no service answered.

Loading it loads no HTTP client, no numerics and no service: each command loads what it needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..errors import ApiError, TunewellError, Unreachable
from ..terminal import complain, forget_wishes
from . import backup, best, doctor, history, replay, service, study, token, trial, worker
from .app import App
from .output import print_json, problem_lines, unreachable_lines

FINE, FAILED, WRONG_USAGE, UNREACHABLE = 0, 1, 2, 3

_WRONG_USAGE = frozenset({400, 413, 415, 422})
"""Statuses that say that what was sent is wrong."""
_AWAY = frozenset({502, 503, 504})
"""Statuses that say that the service, or its database, is not there."""

app = App(name="tunewell", help="Self-hosted hyperparameter tuning: a service, workers, studies.")
service.add_to(app)
backup.add_to(app)
app.command()(doctor.doctor)
app.add_typer(history.app, name="import")
study.app.command()(best.best)
study.app.command()(replay.replay)
app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.add_typer(worker.app, name="worker")
app.add_typer(token.app, name="token")


def main() -> None:
    """The entry point of the `tunewell` command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and turns errors into sentences; returns the exit status.

    Args:
        arguments: the command line without the program's name.
    """
    as_json = "--json" in arguments
    forget_wishes()
    try:
        app(args=list(arguments), prog_name="tunewell")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Unreachable as error:
        _tell_json(as_json, "service-unreachable", str(error))
        _complain(unreachable_lines(error))
        return UNREACHABLE
    except ApiError as error:
        if as_json:
            print_json({"type": "error", "error": {"status": error.status, **error.problem}})
        _complain(problem_lines(error))
        return _status_of(error)
    except TunewellError as error:
        _tell_json(as_json, "failed", str(error))
        _complain([f"error: {error}"])
        return error.exit_status
    except BrokenPipeError:
        # Whoever read standard output has seen enough; nothing more can be written there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    return FINE


def _status_of(error: ApiError) -> int:
    if error.status in _WRONG_USAGE:
        return WRONG_USAGE
    return UNREACHABLE if error.status in _AWAY else FAILED


def _tell_json(as_json: bool, code: str, detail: str) -> None:
    if as_json:
        print_json({"type": "error", "error": {"code": code, "detail": detail}})


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        complain(line)
