"""Starts one of the worker's child processes. Run by path, under `python -P`, by the parent alone.

Arguments: the name of a module of this package, the folder that holds `tunewell`, and what that
module's `main` takes. The folder is only needed in a checkout; the user's own folder is put on the
path later, after all our modules are loaded, so that nothing of theirs can take our names.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main(module: str, root: str, *arguments: str) -> None:
    """Loads the module by way of `tunewell._parts` and runs it."""
    spec = importlib.util.find_spec("tunewell")
    if spec is None or spec.origin is None or Path(spec.origin).parent.parent != Path(root):
        sys.path.insert(0, root)
    from tunewell._parts import part

    part("workers", module).main(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
