"""The command line as Markdown, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from tunewell.cli.app import Later
from tunewell.cli.root import root

SHARED = ("--url", "--token", "--json", "--quiet", "--no-color")
"""Options that are explained once: all commands have the last three, most the first two."""


def commands() -> str:
    """A section for each command: how it is typed, what it does, its options."""
    return "\n".join(_section(path, command) for path, command in _all(root(), ()))


def _all(command: Any, path: Sequence[str]) -> Iterator[tuple[Sequence[str], Any]]:
    """The commands below one, in the order of the help."""
    command = command.made() if isinstance(command, Later) else command
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, each in below.items():
        yield from _all(each, (*path, name))


def _section(path: Sequence[str], command: Any) -> str:
    arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    own = [p for p in options if not set(p.opts) & {*SHARED, "--help"}]
    typed = " ".join(["tunewell", *path, *arguments, *(["[OPTIONS]"] if own else [])])
    text = f"## tunewell {' '.join(path)}\n\n```text\n{typed}\n```\n\n"
    text += inspect.cleandoc(command.help or "") + "\n"
    rows = [_row(p) for p in command.params if p.param_type_name == "argument" and p.help] + [
        _row(p) for p in own
    ]
    return text + (f"\n{_table(rows)}" if rows else "")


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return name if param.required else f"[{name}]"


def _row(param: Any) -> tuple[str, str, str]:
    is_argument = param.param_type_name == "argument"
    names = [param.metavar or param.name.upper()] if is_argument else [*param.opts]
    names += [] if is_argument else param.secondary_opts
    shown = ", ".join(f"`{name}`" for name in names)
    if not is_argument and param.metavar:
        shown += f" {param.metavar}"
    meaning = param.help or ""
    if choices := _choices(param):
        meaning += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    if getattr(param, "envvar", None):
        meaning += f" Also `{param.envvar}`."
    return shown, _default(param), meaning.strip()


def _choices(param: Any) -> list[str]:
    """The words that a parameter takes, where it takes some only."""
    kind = param.type_descriptor.annotation
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    is_enum = isinstance(kind, type) and issubclass(kind, Enum)
    return [str(each.value) for each in kind] if is_enum else []


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def _default(param: Any) -> str:
    default = param.default
    if param.required and param.param_type_name == "option":
        return "required"
    if default is None or default == () or default == [] or isinstance(default, bool):
        return "-"
    return "-" if callable(default) else f"`{_text(default)}`"


def shared_options() -> str:
    """A table of the options that commands share."""
    shown = next(c for path, c in _all(root(), ()) if path == ("study", "show"))
    by_name = {name: p for p in shown.params if p.param_type_name == "option" for name in p.opts}
    return _table([_row(by_name[name]) for name in SHARED])


def _table(rows: Sequence[Sequence[str]]) -> str:
    heads = ("argument or option", "default", "meaning")
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
