"""Loads a user's objective by "module:name", the user's folder first on the path.

Only child processes import it. All modules of ours that a trial needs are loaded by then, under
names of their own, so a folder of the user's called `app` or `workers` is the user's.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from tunewell.objective import Objective


def load(target: str, folder: str) -> Objective:
    """Imports the module and finds the objective in it.

    Raises:
        TypeError: what is found there is no objective.
        ImportError: there is no such module or name.
    """
    module_name, _, name = target.partition(":")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module(module_name)
    found = getattr(module, name, None)
    if found is None:
        raise ImportError(f"{module_name} has no {name!r}")
    if not isinstance(found, Objective):
        raise TypeError(
            f"{target} is a {type(found).__name__}, no objective: decorate it with "
            "@tunewell.objective(name=..., metrics=...)"
        )
    return found


def main(target: str, folder: str) -> None:
    """Prints what an objective takes and reports, and for the worker alone `memory` and `fuses`,
    as the last line; entry of the probing process.
    """
    found = load(target, folder)
    offer = {**found.offer(), "memory": found.memory, "fuses": found.fuses}
    sys.stdout.write("\n" + json.dumps(offer) + "\n")
    sys.stdout.flush()
    # At once: what the module says at its exit would come last, and its threads need not end.
    os._exit(0)
