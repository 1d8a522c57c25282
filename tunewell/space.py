"""Parameters and metrics as a script writes them: frozen values that compare by content.

What is wrong with one alone is said when it is made; what is wrong with all of them together the
service says, with the place of each fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Choice: TypeAlias = str | int | float | bool


def plain(value: Any) -> Any:
    """Python's own number, string or boolean of a scalar of numpy; anything else as it is."""
    # By its shape, not by its type: numpy need not be there.
    return value.item() if getattr(value, "shape", None) == () else value


def _listed(at: str, choices: Any) -> tuple[Choice, ...]:
    if isinstance(choices, (str, int, float)):
        raise ValueError(f"{at}: choices are a list, such as [{choices!r}]")
    if isinstance(choices, Set):
        raise ValueError(f"{at}: choices are a list, not a set, whose order is another each time")
    return tuple(plain(choice) for choice in choices)


@dataclass(frozen=True, slots=True)
class When:
    """Where a parameter is active: see `when`."""

    param: str
    choices: tuple[Choice, ...] | None = None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a definition has it."""
        if self.choices is not None:
            return {"param": self.param, "in": list(self.choices)}
        bounds = {"low": self.low, "high": self.high}
        return {"param": self.param, **{k: v for k, v in bounds.items() if v is not None}}


def when(
    param: str,
    choices: Iterable[Choice] | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> When:
    """A condition on a parameter that stands earlier in the space.

    Args:
        param: its name.
        choices: the values at which the condition holds.
        low, high: instead of choices, the bounds between which it holds.

    Raises:
        ValueError: there are neither choices nor bounds, or both, or the bounds are empty.
    """
    found = None if choices is None else _listed(f"when({param!r})", choices)
    low, high = plain(low), plain(high)
    has_bounds = low is not None or high is not None
    if (not found) == (not has_bounds):
        raise ValueError(f"when({param!r}) needs either choices or a bound: low, high or both")
    if low is not None and high is not None and low > high:
        raise ValueError(f"when({param!r}): low is at most high, not {low!r} > {high!r}")
    return When(_named("when", param), found, low, high)


@dataclass(frozen=True, slots=True)
class Float:
    """A real parameter.

    Args:
        name: its name.
        low, high: its bounds, both included.
        log: whether it is searched on a logarithmic scale.
        step: the distance of its values from one another, counted from `low`.
        default: a value to try first.
        when: where it is active; everywhere by default.

    Raises:
        ValueError: a bound is no finite number, or they are the wrong way round, or `log` with a
            bound that is not positive or with a step.
    """

    name: str
    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    default: float | None = field(default=None, kw_only=True)
    when: When | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_range("Float", self)

    def to_json(self) -> dict[str, Any]:
        """As a definition has it."""
        return _ranged("float", self)


@dataclass(frozen=True, slots=True)
class Int:
    """An integer parameter; see `Float`.

    Raises:
        ValueError: as `Float`, or a bound is no integer.
    """

    name: str
    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int | None = field(default=None, kw_only=True)
    default: int | None = field(default=None, kw_only=True)
    when: When | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_range("Int", self)
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and int(value) != value:
                raise ValueError(f"Int({self.name!r}): {name} is an integer, not {value!r}")

    def to_json(self) -> dict[str, Any]:
        """As a definition has it."""
        return _ranged("int", self)


@dataclass(frozen=True, slots=True)
class Cat:
    """A parameter that is one of some choices.

    Args:
        name: its name.
        choices: strings, numbers or booleans, all different.
        ordered: whether they stand in an order that means something.
        default: a choice to try first.
        when: where it is active; everywhere by default.

    Raises:
        ValueError: there is no choice, two are the same, or one is of another kind.
    """

    name: str
    choices: tuple[Choice, ...]
    ordered: bool = field(default=False, kw_only=True)
    default: Choice | None = field(default=None, kw_only=True)
    when: When | None = field(default=None, kw_only=True)

    def __init__(
        self,
        name: str,
        choices: Iterable[Choice],
        *,
        ordered: bool = False,
        default: Choice | None = None,
        when: When | None = None,
    ) -> None:
        found, default = _listed(f"Cat({name!r})", choices), plain(default)
        given = {"name": _named("Cat", name), "choices": found, "ordered": ordered}
        for attribute, value in {**given, "default": default, "when": when}.items():
            object.__setattr__(self, attribute, value)
        self._check(found, default)

    def _check(self, found: tuple[Choice, ...], default: Choice | None) -> None:
        if not found:
            raise ValueError(f"Cat({self.name!r}) needs at least one choice")
        kinds = [(type(choice) is bool, choice) for choice in found]
        for choice in found:
            if not isinstance(choice, (str, int, float)):
                raise ValueError(
                    f"Cat({self.name!r}): a choice is a string, a number or a boolean, "
                    f"not {choice!r}"
                )
            if isinstance(choice, float) and not math.isfinite(choice):
                raise ValueError(f"Cat({self.name!r}): a choice is finite, not {choice!r}")
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"Cat({self.name!r}): the choices are not all different: {found!r}")
        if default is not None and default not in found:
            raise ValueError(f"Cat({self.name!r}): the default {default!r} is none of {found!r}")

    def to_json(self) -> dict[str, Any]:
        """As a definition has it."""
        made: dict[str, Any] = {"name": self.name, "type": "categorical"}
        made["choices"] = list(self.choices)
        if self.ordered:
            made["ordered"] = True
        return _with_rest(made, self.default, self.when)


Param: TypeAlias = Float | Int | Cat
_NUMBERS = ("low", "high", "step", "default")
"""What is a number of a `Float` or `Int`; the last two may be left out."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that trials report; see `maximize` and `minimize`."""

    name: str
    direction: str

    def to_json(self) -> dict[str, Any]:
        """As a definition has it."""
        return {"name": self.name, "direction": self.direction}


def maximize(name: str) -> Metric:
    """A metric of which more is better."""
    return Metric(_named("maximize", name), "maximize")


def minimize(name: str) -> Metric:
    """A metric of which less is better."""
    return Metric(_named("minimize", name), "minimize")


def definition(
    name: str,
    space: Iterable[Param | Mapping[str, Any]],
    metric: Metric | Mapping[str, Any] | Iterable[Metric | Mapping[str, Any]],
    *,
    max_trials: int | None = None,
    suggester: str | Mapping[str, Any] = "auto",
    seed: int | None = None,
    early_stopping: str | Mapping[str, Any] | None = None,
    objective: str | Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A study's definition, as the service takes it.

    Args:
        name: of the study.
        space: its parameters; one may be a dictionary as in the reference.
        metric: what is maximised or minimised; several make the study multi-objective.
        max_trials: how many trials it may have.
        suggester: name, or a dictionary with `name` and `options`.
        seed: of the suggester; drawn by the service when None.
        early_stopping: name of a rule, or a dictionary with `name` and `options`.
        objective: name of what workers evaluate, or a dictionary with `name` and `options`; None:
            the script evaluates its trials itself.
        limits: further limits, such as `max_parallel` or `target`.
        fields: any other field of a definition, such as `labels`, as it is.
    """
    metrics = [metric] if isinstance(metric, (Metric, Mapping)) else metric
    bounds = {**(limits or {}), **({} if max_trials is None else {"max_trials": max_trials})}
    chosen = _named_part(suggester)
    made = {
        "name": _named("a study", name),
        "space": _as_json("space", space, "[tw.Float('lr', 1e-4, 1e-1)]"),
        "metrics": _as_json("metric", metrics, "tw.maximize('accuracy')"),
        "suggester": chosen if seed is None else {**chosen, "seed": seed},
        "early_stopping": None if early_stopping is None else _named_part(early_stopping),
        "objective": None if objective is None else _named_part(objective),
        "limits": bounds or None,
        **fields,
    }
    return {key: value for key, value in made.items() if value is not None}


def _named_part(given: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"name": given} if isinstance(given, str) else dict(given)


def _as_json(what: str, given: Any, such_as: str) -> list[Mapping[str, Any]]:
    """Parameters or metrics as a definition has them; each may be a dictionary already."""
    is_one = isinstance(given, (str, Mapping)) or not isinstance(given, Iterable)
    parts: list[Any] = [None] if is_one else list(given)
    if not all(isinstance(part, (Mapping, Float, Int, Cat, Metric)) for part in parts):
        raise TypeError(f"{what} is such as {such_as}, not {given!r}")
    return [part if isinstance(part, Mapping) else part.to_json() for part in parts]


def _named(what: str, name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"{what}: a name is a string that is not empty, not {name!r}")
    return name


def _check_range(what: str, param: Float | Int) -> None:
    """Sees that the numbers of a parameter are Python's own and fit one another."""
    at = f"{what}({_named(what, param.name)!r})"
    for name in _NUMBERS:
        value = plain(getattr(param, name))
        object.__setattr__(param, name, value)
        if value is None and name in ("step", "default"):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{at}: {name} is a number, not {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{at}: {name} is finite, not {value!r}")
    if param.low >= param.high:
        raise ValueError(f"{at}: low is below high, not {param.low!r} >= {param.high!r}")
    if param.log and param.low <= 0:
        raise ValueError(f"{at}: a logarithmic scale needs low above 0, not {param.low!r}")
    if param.step is not None and not param.step > 0:
        raise ValueError(f"{at}: step is above 0, not {param.step!r}")
    if isinstance(param, Float) and param.log and param.step is not None:
        raise ValueError(f"{at}: a logarithmic scale has no step")
    if param.default is not None and not param.low <= param.default <= param.high:
        raise ValueError(
            f"{at}: default lies within [{param.low!r}, {param.high!r}], not {param.default!r}"
        )


def _ranged(kind: str, param: Float | Int) -> dict[str, Any]:
    made: dict[str, Any] = {"name": param.name, "type": kind, "low": param.low, "high": param.high}
    if param.log:
        made["log"] = True
    if param.step is not None:
        made["step"] = param.step
    return _with_rest(made, param.default, param.when)


def _with_rest(made: dict[str, Any], default: Any, when: When | None) -> dict[str, Any]:
    if default is not None:
        made["default"] = default
    if when is not None:
        made["when"] = when.to_json()
    return made
