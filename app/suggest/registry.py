"""All suggesters by name. A cheap one runs where it is asked; the others run in a fitting
process.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from ..domain.space import FloatParameter, Parameter, Space
from ..domain.study import StudyDefinition
from .base import Decision, SuggestFunction, SuggestRequest, modelled_metric
from .partial import with_partial_results

_WIDE = 1e-3
"""Width of a continuous parameter, by its largest value, from which on its draws do not repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A suggester: where its `suggest` function lives, and what it does.

    Attributes:
        is_cheap: costs next to nothing.
        models_all: every objective is modelled, not only the first.
        only_distinct: looks at earlier points only to repeat none.
        learns_early: models trials by what they reached, in a study with early stopping.
    """

    name: str
    module: str
    is_cheap: bool = False
    models_all: bool = False
    only_distinct: bool = False
    learns_early: bool = False

    def load(self) -> SuggestFunction:
        """The function; imported when it is first needed, since some load large libraries."""
        return _loaded(self.module)


@cache
def _loaded(module: str) -> SuggestFunction:
    function: SuggestFunction = importlib.import_module(f".{module}", __package__).suggest
    return function


ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(name="random", module="random_search", is_cheap=True, only_distinct=True),
            Entry(name="grid", module="grid", is_cheap=True),
            Entry(name="sobol", module="sobol", is_cheap=True, only_distinct=True),
            Entry(name="gp", module="gp", models_all=True, learns_early=True),
            Entry(name="tpe", module="tpe", models_all=True, learns_early=True),
            Entry(name="cmaes", module="cmaes"),
            Entry(name="evolution", module="evolution", models_all=True),
            Entry(name="skopt", module="skopt"),
            Entry(name="bohb", module="bohb", models_all=True),
            Entry(name="auto", module="auto", models_all=True, learns_early=True),
        )
    }
)


def effective_suggester(definition: StudyDefinition) -> str:
    """The name of the suggester that makes a study's points: `bohb` brings its own."""
    if definition.early_stopping.name == "bohb":
        return "bohb"
    return definition.suggester.name


def needs_history(name: str, space: Space) -> bool:
    """Whether a suggester has to know the study's earlier points.

    One that only avoids repeats need not where a parameter that is always active is continuous and
    not too narrow: among some 1e13 values it meets none again.
    """
    return not (ENTRIES[name].only_distinct and any(_is_wide(p) for p in space.parameters))


def _is_wide(parameter: Parameter) -> bool:
    if not isinstance(parameter, FloatParameter) or parameter.step is not None:
        return False
    width = parameter.high - parameter.low
    largest = max(abs(parameter.low), abs(parameter.high))
    return parameter.when is None and width > _WIDE * largest


def suggest(name: str, request: SuggestRequest) -> Decision:
    """Asks a suggester by name.

    With several objectives the provenance names the one that was modelled.

    Raises:
        KeyError: there is no such suggester.
    """
    entry = ENTRIES[name]
    if entry.learns_early:
        request = with_partial_results(request)
    decision = entry.load()(request)
    n_objectives = sum(metric.role == "objective" for metric in request.metrics)
    if entry.is_cheap or entry.models_all or n_objectives < 2:
        return decision
    metric = request.metrics[modelled_metric(request.metrics)].name
    note = f"of {n_objectives} objectives only the first, {metric}, is modelled"
    noted = (replace(s, provenance={**s.provenance, "note": note}) for s in decision.suggestions)
    return replace(decision, suggestions=tuple(noted))
