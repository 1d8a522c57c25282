"""Commands with the options that all of them have: --quiet and --no-color."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand
from typer.main import get_command

from ..terminal import WISHES

F = TypeVar("F", bound=Callable[..., Any])


def _want_quiet(value: bool) -> None:
    WISHES.is_quiet = WISHES.is_quiet or value


def _want_no_color(value: bool) -> None:
    WISHES.no_color = WISHES.no_color or value


def _shared(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Say nothing beside data and errors.",
            callback=_want_quiet,
            expose_value=False,
        ),
    ] = False,
    no_color: Annotated[
        bool,
        typer.Option(
            "--no-color",
            help="Print without colour.",
            callback=_want_no_color,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """The options that every command has."""


@cache
def _shared_params() -> list[Any]:
    alone = typer.Typer(add_completion=False)
    alone.command()(_shared)
    return list(get_command(alone).params)


class Command(TyperCommand):
    """A command that has the shared options too."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.params = [*self.params, *_shared_params()]


class App(typer.Typer):
    """A group of such commands. Help texts are plain: what is piped must hold no escape byte,
    whatever the environment says of colour.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(
            no_args_is_help=True,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **given,
        )

    def command(self, *args: Any, **given: Any) -> Callable[[F], F]:
        """As typer's, with our class of commands."""
        return super().command(*args, cls=Command, **given)
