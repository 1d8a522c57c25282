"""The ladder of a study: from its early-stopping rule's options alone."""

from __future__ import annotations

from functools import lru_cache

from .fidelity import Ladder, brackets, halving_rungs
from .study import StudyDefinition

BY_BRACKETS = frozenset({"hyperband", "bohb"})
"""Rules whose rungs are those of Hyperband's brackets."""

DEFAULT_ETA = 3


def ladder_of(definition: StudyDefinition) -> Ladder | None:
    """The rungs at which a study's trials are compared and their values noted; None where nothing
    stops them early.

    A rule that has none of its own has those of asynchronous halving, for the suggester's sake;
    without a known full training they go on by powers of eta up to 2^40.
    """
    rule = definition.early_stopping
    if rule.name == "none":
        return None
    options = rule.options
    return _ladder(
        rule.name in BY_BRACKETS,
        options.get("min_resource") or 1,
        options.get("max_resource"),
        options.get("eta") or DEFAULT_ETA,
    )


@lru_cache(maxsize=256)
def _ladder(by_brackets: bool, low: int, high: int | None, eta: int) -> Ladder:
    if high is None:
        return Ladder(rungs=halving_rungs(low, max(low, 2**40), eta), max_resource=None)
    if not by_brackets:
        return Ladder(rungs=halving_rungs(low, high, eta), max_resource=high)
    steps = {rung.step for bracket in brackets(high, eta, low) for rung in bracket}
    return Ladder(rungs=tuple(sorted(steps)), max_resource=high)


def bracket_steps(definition: StudyDefinition, bracket: int | None) -> tuple[int, ...]:
    """The rungs at which the trials of a bracket are compared, in steps; none without a rule.

    Args:
        bracket: counts from 0 over all rounds of brackets; None for a rule that has none.
    """
    ladder, rule = ladder_of(definition), definition.early_stopping
    if ladder is None:
        return ()
    if bracket is None or rule.name not in BY_BRACKETS or ladder.max_resource is None:
        return ladder.rungs
    low = rule.options.get("min_resource") or 1
    eta = rule.options.get("eta") or DEFAULT_ETA
    table = brackets(ladder.max_resource, eta, low)
    return tuple(row.step for row in table[bracket % len(table)])
