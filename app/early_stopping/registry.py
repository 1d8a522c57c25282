"""All early-stopping rules by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..domain.fidelity import brackets
from ..domain.ladder import ladder_of
from ..domain.study import Metric, StudyDefinition
from .asha import Asha, StoppingAsha
from .auto import Auto
from .base import Rule
from .book import Book
from .hyperband import Hyperband
from .median import PercentileRule
from .patience import Patience

_BY_RUNGS = frozenset({"asha", "hyperband", "bohb"})
"""Rules that look at values at rungs only."""


def needs_curves(name: str) -> bool:
    """Whether a rule looks at whole curves, not only at values at rungs."""
    return name not in _BY_RUNGS


def make_rule(definition: StudyDefinition) -> Rule | None:
    """The rule of a study; None where every trial runs to its end."""
    make = _MAKERS.get(definition.early_stopping.name)
    return None if make is None else make(definition)


def new_book(definition: StudyDefinition) -> Book:
    """An empty book of a study that has a rule."""
    ladder = ladder_of(definition)
    if ladder is None:
        raise ValueError("the study has no early-stopping rule")
    return Book(deciding_metric(definition).direction, ladder)


def deciding_metric(definition: StudyDefinition) -> Metric:
    """The metric that decides: the first objective."""
    return (definition.objectives or definition.metrics)[0]


def _rungs(definition: StudyDefinition) -> tuple[int, ...]:
    ladder = ladder_of(definition)
    return () if ladder is None else ladder.rungs


def _asha(definition: StudyDefinition) -> Rule:
    options = definition.early_stopping.options
    kind = StoppingAsha if options["mode"] == "stop" else Asha
    return kind(
        metric=deciding_metric(definition).name, rungs=_rungs(definition), eta=int(options["eta"])
    )


def _hyperband(definition: StudyDefinition) -> Rule:
    options = definition.early_stopping.options
    eta = int(options["eta"])
    return Hyperband(
        metric=deciding_metric(definition).name,
        table=brackets(int(options["max_resource"]), eta, int(options["min_resource"])),
        eta=eta,
    )


def _percentile(definition: StudyDefinition) -> Rule:
    options = definition.early_stopping.options
    return PercentileRule(
        metric=deciding_metric(definition).name,
        percentile=float(options["percentile"]),
        n_startup_trials=int(options["n_startup_trials"]),
        min_resource=int(options["min_resource"]),
        max_resource=options["max_resource"],
    )


def _patience(definition: StudyDefinition) -> Rule:
    options = definition.early_stopping.options
    return Patience(
        metric=deciding_metric(definition).name,
        steps=int(options["steps"]),
        min_delta=float(options["min_delta"]),
        min_resource=int(options["min_resource"]),
        max_resource=options["max_resource"],
    )


def _auto(definition: StudyDefinition) -> Rule:
    ladder = ladder_of(definition)
    if ladder is None:
        raise ValueError("the study has no early-stopping rule")
    return Auto(ladder)


_MAKERS: Mapping[str, Callable[[StudyDefinition], Rule]] = MappingProxyType(
    {
        "median": _percentile,
        "percentile": _percentile,
        "asha": _asha,
        "hyperband": _hyperband,
        "bohb": _hyperband,
        "patience": _patience,
        "auto": _auto,
    }
)
