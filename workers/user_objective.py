"""Loads a user's objective by "module:name", the user's folder first on the path.

Only child processes import it. All modules of ours that a trial needs are loaded by then, under
names of their own, so a folder of the user's called `app` or `workers` is the user's.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import tunewell
from tunewell.objective import Objective

E = TypeVar("E", bound=BaseException)


class NoObjective(Exception):
    """There is none of that name; the message says what there is."""


def load(target: str, folder: str) -> Objective:
    """Imports the module and finds the objective in it.

    Raises:
        NoObjective: there is no such module or name, or it names something else.
    """
    module_name, _, name = target.partition(":")
    if not (module_name and name):
        raise NoObjective("an own objective is named module:name")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # one that the user's module imports
        raise NoObjective(_no_module(module_name, folder)) from None
    found = getattr(module, name, None)
    if found is None:
        raise NoObjective(_no_name(module, name))
    if not isinstance(found, Objective):
        raise NoObjective(
            f"{target} is a {type(found).__name__}, no objective: decorate it with "
            "@tunewell.objective(name=..., metrics=...)"
        )
    return found


def _no_module(name: str, folder: str) -> str:
    said = f"there is no module {name!r} in {folder}, and none is installed"
    as_module = name.removesuffix(".py").replace("/", ".").strip(".")
    near = [as_module] if as_module != name else get_close_matches(name, _modules_in(folder), n=1)
    if near:
        return f"{said}: did you mean {near[0]}?"
    return f"{said}: start the worker in the folder that has it"


def _modules_in(folder: str) -> list[str]:
    return [path.stem for path in Path(folder).iterdir() if path.suffix == ".py" or path.is_dir()]


def _no_name(module: ModuleType, name: str) -> str:
    said = f"the module {module.__name__} has no {name!r}"
    names = [each for each in vars(module) if not each.startswith("_")]
    near = get_close_matches(name, names, n=1)
    there = [each for each in names if isinstance(getattr(module, each), Objective)]
    if near:
        return f"{said}: did you mean {near[0]}?"
    return f"{said}; its objectives: {', '.join(there) or 'none'}"


def main(target: str, folder: str) -> None:
    """Prints what an objective takes and reports, and for the worker alone `memory` and `fuses`,
    or why it is `refused`, as the last line; entry of the probing process.
    """
    try:
        found = load(target, folder)
        offer = {**found.offer(), "memory": found.memory, "fuses": found.fuses}
    except NoObjective as error:
        offer = {"refused": str(error)}
    except Exception as error:
        offer = {"refused": "".join(traceback.format_exception(as_the_users(error)))}
    sys.stdout.write("\n" + json.dumps(offer) + "\n")
    sys.stdout.flush()
    # At once: what the module says at its exit would come last, and its threads need not end.
    os._exit(0)


def as_the_users(error: E) -> E:
    """An error whose traceback begins in the user's code, where it comes there."""
    rest = error.__traceback__
    while rest is not None and _is_on_the_way(rest.tb_frame.f_code.co_filename):
        rest = rest.tb_next
    names_its_place = isinstance(error, SyntaxError)
    return error.with_traceback(rest) if rest or names_its_place else error


def _is_on_the_way(file: str) -> bool:
    """Whether it is one of those that call the user's code; our objectives are not."""
    return Path(file).parent in _CALLERS or file.startswith("<frozen importlib")


_CALLERS = frozenset(
    Path(file).parent for file in (__file__, tunewell.__file__, importlib.__file__)
)
