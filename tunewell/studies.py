"""Study files: a definition, or `{"study": definition, "trials": [points to try first]}`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ._parts import CHECKOUT
from .errors import TunewellError


class BadStudyFile(TunewellError):
    """A study file cannot be read."""


def example_folder() -> Path:
    """The folder of the example studies: inside the package, or in the checkout."""
    inside = Path(__file__).resolve().parent / "example_studies"
    return inside if inside.is_dir() else CHECKOUT / "examples" / "studies"


def load_study(source: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The definition and the trials of a study file.

    Args:
        source: a path, "-" for standard input, or the name of an example such as "mnist-random".

    Raises:
        BadStudyFile: there is no such file, or it is no JSON object.
    """
    text, name = _read(source)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadStudyFile(f"{name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadStudyFile(f"{name} holds no JSON object")
    if "study" in found and "name" not in found:
        trials = found.get("trials") or []
        if not isinstance(found["study"], dict) or not isinstance(trials, list):
            raise BadStudyFile(f"{name}: study must be an object, trials a list")
        return found["study"], trials
    return found, []


def _read(source: str) -> tuple[str, str]:
    if source == "-":
        return sys.stdin.read(), "standard input"
    path = Path(source)
    if not path.is_file():
        example = example_folder() / f"{source.removesuffix('.json')}.json"
        if "/" in source or not example.is_file():
            raise BadStudyFile(f"there is no file {source}")
        path = example
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadStudyFile(f"{path} cannot be read: {error}") from error
