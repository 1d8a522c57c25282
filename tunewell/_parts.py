"""Finds the service, the worker and the migrations, whichever way Tunewell is installed.

The wheel carries the folders `app`, `workers` and `migrations` as `tunewell_app`,
`tunewell_workers` and
`tunewell_migrations`. In a checkout they are loaded under those same names from the folders beside
this package,
so a user's own `app` or `workers` never meets ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

CHECKOUT = Path(__file__).resolve().parent.parent


def part(name: str, module: str = "") -> ModuleType:
    """Imports a part of the product, or one module of it.

    Args:
        name: "app", "workers" or "migrations".
        module: dotted name inside the part, e.g. "main"; empty for the package itself.

    Raises:
        ModuleNotFoundError: the part, or something it needs, is not installed.
    """
    package = f"tunewell_{name}"
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        _load_from_checkout(package, CHECKOUT / name)
    return importlib.import_module(f"{package}.{module}" if module else package)


def _load_from_checkout(package: str, folder: Path) -> None:
    init = folder / "__init__.py"
    if not init.is_file():
        raise ModuleNotFoundError(f"{package} is not installed and {folder} is no checkout of it")
    spec = importlib.util.spec_from_file_location(
        package, init, submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{init} cannot be loaded")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[package] = loaded
    spec.loader.exec_module(loaded)
