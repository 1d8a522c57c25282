"""Commands that are made when they are asked for, with the options that all of them have.

Reading a command's signature takes milliseconds and its module some more, so a group knows of its
commands only the names and a line of help; what it runs, or shows in full, it makes then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from ..terminal import WISHES

F = TypeVar("F", bound=Callable[..., Any])
_SETTINGS = {"help_option_names": ["-h", "--help"]}
WRONG_USAGE = 2


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


def made(
    run: Callable[..., Any],
    name: str | None = None,
    *,
    cls: type[TyperCommand] = TyperCommand,
    completion: bool = False,
) -> Any:
    """A command of a function's signature. Help texts are plain: what is piped must hold no escape
    byte, whatever the environment says of colour.

    Args:
        run: the function.
        name: its own by default.
        cls: the class of the command.
        completion: give it the options that install the shell's completion.
    """
    alone = typer.Typer(add_completion=completion, rich_markup_mode=None)
    alone.command(name, cls=cls, context_settings=_SETTINGS)(run)
    command = get_command(alone)
    for param in command.params:
        _take_as_given(param)
    return command


def _take_as_given(param: Any) -> None:
    """Has a parameter take what needs no reading as it is: typer has pydantic look at every value,
    which takes longer to load than all else that a short command does.
    """
    if "process_value" in vars(param):
        return
    read, default, kind = param.process_value, param.default, param.type_descriptor.annotation

    def process_value(ctx: Any, value: Any) -> Any:
        is_right = value is None or value is default or (kind is str and isinstance(value, str))
        if not is_right or (value is None and param.required):
            return read(ctx, value)
        value = () if value is None and param.multiple else value
        return value if param.callback is None else param.callback(ctx, param, value)

    param.process_value = process_value


def _help_of(option: Any) -> Any:
    _take_as_given(option)
    return option


@cache
def _shared_params() -> list[Any]:
    return list(made(_shared).params)


class Command(TyperCommand):
    """A command that has the shared options too."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.params = [*self.params, *_shared_params()]

    def get_help_option(self, ctx: Any) -> Any:
        return _help_of(super().get_help_option(ctx))


class Later(TyperCommand):
    """A command, or group, that is known by name and a line of help until it is asked for."""

    def __init__(self, name: str, line: str, make: Callable[[], Any]) -> None:
        super().__init__(name, help=line, rich_markup_mode=None)
        self.made = cache(make)

    def make_context(self, *args: Any, **given: Any) -> Any:
        """That of the command itself; whoever asks goes on with that one."""
        return self.made().make_context(*args, **given)


class Group(TyperGroup):
    """A group of such commands. Without a command it shows its help, as wrong usage."""

    def __init__(self, name: str, line: str, commands: list[Later], params: list[Any]) -> None:
        super().__init__(
            name=name,
            help=line,
            commands=commands,
            params=params,
            context_settings=_SETTINGS,
            rich_markup_mode=None,
        )

    def get_help_option(self, ctx: Any) -> Any:
        return _help_of(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            print(ctx.get_help(), file=sys.stderr)
            ctx.exit(WRONG_USAGE)
        return super().parse_args(ctx, args)


class App:
    """The commands of a group, in the order in which they are shown."""

    def __init__(self, line: str) -> None:
        self.line = line
        self._commands: list[Later] = []

    def command(self, name: str | None = None) -> Callable[[F], F]:
        """Decorator: the function is a command; the first line of its docstring stands in lists."""

        def add(run: F) -> F:
            called = name or run.__name__.replace("_", "-")
            line = (run.__doc__ or "").strip().partition("\n")[0]
            self._commands.append(Later(called, line, lambda: made(run, called, cls=Command)))
            return run

        return add

    def later(self, name: str, module: str, attribute: str, line: str) -> None:
        """Adds what is in a module that is loaded once it is asked for: a command's function, or
        the `App` of a group.

        Args:
            name: as it is typed.
            module: of this package.
            attribute: its name there.
            line: what lists say of it.
        """

        def make() -> Any:
            found = getattr(import_module(f".{module}", __package__), attribute)
            return found.group(name) if isinstance(found, App) else made(found, name, cls=Command)

        self._commands.append(Later(name, line, make))

    def group(self, name: str, *, options: Callable[..., Any] | None = None) -> Group:
        """The group.

        Args:
            name: as it is typed.
            options: a function with the group's own options, if it has any; it gets those of the
                shell's completion too.
        """
        params = [] if options is None else list(made(options, completion=True).params)
        return Group(name, self.line, list(self._commands), params)
