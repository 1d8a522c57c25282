"""The command line. Standard output is data, standard error is talk.

Exit status: 0 fine, 1 the study failed or was not found, 2 wrong usage, 3 no service answered.

Loading it loads no HTTP client, no numerics and no service: each command loads what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from ..errors import ApiError, TunewellError, Unreachable
from . import backup, best, replay, service, study, token, trial, worker
from .output import print_json_line, problem_lines, say

FINE, FAILED, WRONG_USAGE, UNREACHABLE = 0, 1, 2, 3

_WRONG_USAGE = frozenset({400, 413, 415, 422})
"""Statuses that say that what was sent is wrong."""
_AWAY = frozenset({502, 503, 504})
"""Statuses that say that the service, or its database, is not there."""

# Plain help texts: what is piped must hold no escape byte, whatever the environment says of colour.
app = typer.Typer(
    name="tunewell",
    help="Self-hosted hyperparameter tuning: a service, workers, studies.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
service.add_to(app)
backup.add_to(app)
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
    try:
        app(args=list(arguments), prog_name="tunewell")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Unreachable as error:
        _tell_json(as_json, "service-unreachable", error.summary)
        say(f"tunewell: {error.summary}")
        say("  start a service with `tunewell serve`, or say where one is: --url or TUNEWELL_URL")
        return UNREACHABLE
    except ApiError as error:
        if as_json:
            print_json_line({"type": "error", "error": {"status": error.status, **error.problem}})
        for line in problem_lines(error):
            say(line)
        return _status_of(error)
    except TunewellError as error:
        _tell_json(as_json, "failed", str(error))
        say(f"tunewell: {error}")
        return error.exit_status
    return FINE


def _status_of(error: ApiError) -> int:
    if error.status in _WRONG_USAGE:
        return WRONG_USAGE
    return UNREACHABLE if error.status in _AWAY else FAILED


def _tell_json(as_json: bool, code: str, detail: str) -> None:
    if as_json:
        print_json_line({"type": "error", "error": {"code": code, "detail": detail}})
