"""What the file of a command objective says, and the command line that follows from it. Pure but
for the reading of the file.

```toml
command = ["python", "train.py", "--lr", "{learning_rate}", ["--momentum", "{momentum}"]]
metrics = {accuracy = "maximize"}
pattern = 'epoch (?P<step>\\d+): accuracy (?P<accuracy>\\S+)'
```

Without a `pattern` every line that is a JSON object with a metric is a report. The whole format is
in docs/how-to/own-code.md.
"""

from __future__ import annotations

import contextlib
import re
import string
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tunewell.objective import Trial

STEP = "step"
"""What a report calls its step."""
TRIAL_NAMES = frozenset({"trial.id", "trial.number", "trial.seed", "trial.device", "trial.to_step"})

Argument: TypeAlias = str | list[str]
"""A template, or several that are left out together where one names an inactive parameter."""


class BadSpec(ValueError):
    """The file of a command objective has a fault; the message names the file and the place."""


class UnknownName(ValueError):
    """A template names what the trial has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A command objective, as its file says.

    Attributes:
        name: what studies call it.
        command: templates of the arguments; `{parameter}`, `{option.name}` and `{trial.seed}` and
            the like are filled in, `{{` is a brace.
        metrics: name to "minimize" or "maximize".
        folder: where the command runs.
        environment: templates of further variables.
        pattern: regular expression of a line that reports, with a group for each metric and perhaps
            one called `step`; None: lines of JSON.
        time_limit_s: how long the command may take, or None.
        params, options: JSON schemas by name; None takes any.
    """

    name: str
    command: list[Argument]
    metrics: dict[str, str]
    folder: str
    environment: dict[str, str] = field(default_factory=dict)
    pattern: str | None = None
    time_limit_s: float | None = None
    params: dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    version: str = ""
    steps: str = "as the command says"
    max_resource: int | None = None

    def as_job(self) -> dict[str, Any]:
        """As plain values; `CommandSpec(**values)` is the same again."""
        return asdict(self)


# --- the file ---------------------------------------------------------------------------------

_TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "command": (list, "a list of arguments"),
    "metrics": (dict, "a table of names to minimize or maximize"),
    "folder": (str, "a path"),
    "environment": (dict, "a table of texts"),
    "pattern": (str, "a regular expression"),
    "time_limit_s": ((int, float), "a number of seconds above 0"),
    "params": (dict, "a table of JSON schemas"),
    "options": (dict, "a table of JSON schemas"),
    "version": (str, "a text"),
    "steps": (str, "a text"),
    "max_resource": (int, "a whole number from 1 on"),
}


def read_spec(named: str) -> CommandSpec:
    """The objective that `name=spec.toml` asks for.

    Raises:
        BadSpec: there is no such file, or it has a fault.
    """
    name, equals, file = named.partition("=")
    if not (name and equals and file):
        raise BadSpec(f"a command objective is NAME=FILE.toml, not {named!r}")
    path = Path(file)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSpec(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSpec(f"{file} is no TOML: {error}") from error
    for fault in _faults(raw):
        raise BadSpec(f"{file}: {fault}")
    folder = path.resolve().parent / raw.pop("folder", ".")
    if not folder.is_dir():
        raise BadSpec(f"{file}: folder has to be one that is there, not {str(folder)!r}")
    return CommandSpec(name=name, folder=str(folder), **raw)


def _faults(raw: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a file, the first thing first."""
    for key, value in raw.items():
        if key not in _TYPES:
            yield f"{key} is unknown; there are {', '.join(_TYPES)}"
        elif isinstance(value, bool) or not isinstance(value, _TYPES[key][0]):
            yield f"{key} has to be {_TYPES[key][1]}, not {value!r}"
    for key in ("command", "metrics"):
        if not raw.get(key):
            yield f"{key} is missing or empty; it is {_TYPES[key][1]}"
    for key in ("time_limit_s", "max_resource"):
        if key in raw and not 0 < raw[key] <= threading.TIMEOUT_MAX:
            yield f"{key} has to be {_TYPES[key][1]}, not {raw[key]}"
    for metric, direction in raw["metrics"].items():
        if direction not in ("minimize", "maximize"):
            yield f"metrics.{metric} is minimize or maximize, not {direction!r}"
        if metric == STEP:
            yield f"metrics.{metric} is no name for a metric: a report says its step by it"
    if isinstance(raw["command"][0], list):
        yield "command[0] has to be text: the program, which no group leaves out"
    for key in ("params", "options"):
        for name, schema in raw.get(key, {}).items():
            if not isinstance(schema, dict):
                yield f"{key}.{name} has to be a JSON schema, which is a table, not {schema!r}"
    yield from _template_faults(raw)
    yield from _pattern_faults(raw)


def _template_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    places = [(f"command[{k}]", one) for k, one in enumerate(raw["command"])]
    places += [(f"environment.{k}", one) for k, one in raw.get("environment", {}).items()]
    known = raw.get("params")
    for place, given in places:
        group = given if isinstance(given, list) and place.startswith("command") else [given]
        for one in group:
            if not isinstance(one, str):
                yield f"{place} has to be text, not {one!r}"
                continue
            try:
                names = names_in(one)
            except ValueError as error:
                yield f"{place} {one!r}: {error}"
                continue
            for name in names:
                if name.startswith("option.") or name in TRIAL_NAMES:
                    continue
                if name.startswith("trial."):
                    yield f"{place}: {{{name}}} is none of {', '.join(sorted(TRIAL_NAMES))}"
                elif known is not None and name not in known:
                    yield f"{place}: {{{name}}} is none of the params {', '.join(known)}"


def _pattern_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    if "pattern" not in raw:
        return
    try:
        groups = re.compile(raw["pattern"]).groupindex
    except re.error as error:
        yield f"pattern is no regular expression: {error}"
        return
    for metric in raw["metrics"]:
        if metric not in groups:
            yield f"pattern needs a group (?P<{metric}>...) for the metric {metric}"
    for group in groups:
        if group not in (*raw["metrics"], STEP):
            yield f"pattern has a group {group!r}, which is neither {STEP} nor one of the metrics"


# --- the command line -------------------------------------------------------------------------


def names_in(template: str) -> list[str]:
    """The names that a template wants.

    Raises:
        ValueError: a brace is left open, or a name is empty.
    """
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    if any(not name for name in names):
        raise ValueError("{} names nothing")
    return names


def filled(template: str, known: Mapping[str, Any]) -> str:
    """A template with its names replaced: numbers as Python writes them, or by a format such as
    `{learning_rate:.6f}`; true and false in small letters.

    Raises:
        KeyError: a name is not known.
        ValueError: a value cannot be written in that format.
    """
    parts = []
    for text, name, form, _ in string.Formatter().parse(template):
        parts.append(text)
        if name is not None:
            value = known[name]
            parts.append(format(value, form) if form else _text(value))
    return "".join(parts)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def known_of(trial: Trial) -> dict[str, Any]:
    """What templates may name."""
    return {
        **trial.params,
        **{f"option.{name}": value for name, value in trial.options.items()},
        "trial.id": trial.id,
        "trial.number": trial.number,
        "trial.seed": trial.seed,
        "trial.device": trial.device,
        "trial.to_step": "" if trial.to_step is None else trial.to_step,
    }


def arguments(command: Sequence[Argument], known: Mapping[str, Any]) -> list[str]:
    """The command line of a trial; groups with a name that is not known are left out.

    Raises:
        UnknownName: an argument outside of a group names what the trial has not.
    """
    made: list[str] = []
    for given in command:
        if isinstance(given, list):
            with contextlib.suppress(KeyError):
                made += [filled(one, known) for one in given]
            continue
        try:
            made.append(filled(given, known))
        except KeyError as error:
            raise UnknownName(
                f"the argument {given!r} names {error}, which the trial has not; to leave it out "
                'then, put it into a list of its own, as in ["--momentum", "{momentum}"]'
            ) from error
    return made
