"""Study files: a definition, or `{"study": definition, "trials": [points to try first]}`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._parts import CHECKOUT
from .errors import ApiError, TunewellError, why

if TYPE_CHECKING:
    from .client import Client
    from .models import Study


class BadStudyFile(TunewellError):
    """A study file cannot be read."""

    exit_status = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFile:
    """What a study file holds.

    Attributes:
        definition: the study's definition, not checked.
        trials: points to try first, or finished trials to import; as `POST .../trials` takes them.
    """

    definition: Mapping[str, Any]
    trials: tuple[Mapping[str, Any], ...] = ()

    def named(self, name: str) -> StudyFile:
        """The same under another name."""
        return StudyFile(definition={**self.definition, "name": name}, trials=self.trials)


def example_folder() -> Path:
    """The folder of the example studies: inside the package, or in the checkout."""
    inside = Path(__file__).resolve().parent / "example_studies"
    return inside if inside.is_dir() else CHECKOUT / "examples" / "studies"


def example_names() -> list[str]:
    """Names of the example studies, each to be given where a study file is."""
    return sorted(path.stem for path in example_folder().glob("*.json"))


def load_study(source: str) -> StudyFile:
    """Reads a study file.

    Args:
        source: a path, "-" for standard input, or the name of an example such as "mnist-random".

    Raises:
        BadStudyFile: there is no such file, or it is no JSON object.
    """
    text, name = _text_of(source)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadStudyFile(f"{name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadStudyFile(f"{name} holds no JSON object")
    if "study" not in found or "space" in found:
        return StudyFile(definition=found)
    unknown = sorted(found.keys() - {"study", "trials"})
    if unknown:
        raise BadStudyFile(f"{name}: beside study there may be trials only, not {unknown[0]}")
    definition, trials = found["study"], found.get("trials", [])
    if not isinstance(definition, dict) or not isinstance(trials, list):
        raise BadStudyFile(f"{name}: study must be an object, trials a list")
    return StudyFile(definition=definition, trials=tuple(trials))


def _text_of(source: str) -> tuple[str, str]:
    if source == "-":
        return sys.stdin.read(), "standard input"
    path = Path(source)
    if not path.exists():
        path = _example(source)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadStudyFile(f"{path} cannot be read: {why(error)}") from error


def _example(source: str) -> Path:
    name = source.removesuffix(".json")
    if name not in example_names():
        raise BadStudyFile(
            f"there is no file {source}, and no example of that name; the examples are: "
            f"{', '.join(example_names())}"
        )
    return example_folder() / f"{name}.json"


def submit(client: Client, file: StudyFile) -> Study:
    """Creates the study of a file with the trials that it holds: all of it, or nothing.

    A worker that waits for work may be given a suggested trial before those of the file.

    Raises:
        ApiError: the study, or one of the trials, is refused.
        Unreachable: no service answered.
    """
    from .models import Study, read

    study = read(Study, client.create_study(file.definition))
    if file.trials:
        try:
            client.enqueue(study.id, file.trials)
        except ApiError:
            client.delete_study(study.id)
            raise
    return study
