"""The command `tunewell` itself: what stands at the top, and where it is."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import typer

from .._version import __version__
from .app import App, Group

COMMANDS = {
    "serve": ("service", "serve", "Run the service."),
    "migrate": ("service", "migrate", "Bring the database's schema up to date."),
    "demo": ("service", "demo", "Tune a small network on MNIST in three ways."),
    "version": ("service", "version", "Print the version."),
    "backup": ("backup", "backup", "Back the database up into one file."),
    "restore": ("backup", "restore", "Restore a backup into an empty database."),
    "doctor": ("doctor", "doctor", "Look for what is wrong, here and with the service."),
    "import": ("history", "app", "Bring trials that you have run: Optuna, CSV, JSON lines."),
    "study": ("study", "app", "Studies: submit, follow, steer, export."),
    "trial": ("trial", "app", "Trials: look at them, cancel, retry."),
    "worker": ("worker", "app", "Workers: run one here, look at all, drain."),
    "token": ("token", "app", "Tokens: the first one turns auth on for good."),
}
"""By name as typed: the module, the name in it, and what the help says of it."""


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """The options of the program itself."""


@cache
def root() -> Group:
    """The command that has all others below it."""
    app = App("Self-hosted hyperparameter tuning: a service, workers, studies.")
    for name, (module, attribute, line) in COMMANDS.items():
        app.later(name, module, attribute, line)
    return app.group("tunewell", options=_options)
