"""The command line. Standard output is data, standard error is talk.

Exit status: 0 fine, 1 the study failed or was not found, 2 wrong usage, 3 no service answered.
"""

from __future__ import annotations

import sys

import typer

from ..errors import ApiError, ServiceUnreachable, TunewellError
from . import service, study, token, trial, worker
from .output import print_problem, say

app = typer.Typer(
    name="tunewell",
    help="Self-hosted hyperparameter tuning: a service, workers, studies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
service.add_to(app)
app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.add_typer(worker.app, name="worker")
app.add_typer(token.app, name="token")


def main() -> None:
    """Runs the command line and turns errors into sentences and exit statuses."""
    try:
        app()
    except ServiceUnreachable as error:
        say(f"tunewell: {error}")
        say("Is the service running? Start one with `tunewell serve`, or name it with --url.")
        sys.exit(3)
    except ApiError as error:
        print_problem(error)
        sys.exit(1 if error.status == 404 else 2 if error.status in (400, 422) else 1)
    except TunewellError as error:
        say(f"tunewell: {error}")
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = "worker" if error.name in ("torch", "torchvision", "sklearn") else "all"
        say(f"tunewell: {error}; install it with: pip install 'tunewell[{extra}]'")
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        sys.stderr.close()
        sys.exit(0)
