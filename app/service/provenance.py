"""What the service writes beside a suggested point: what it was derived from, so that it can be
derived again, and what it cost.

A point is a function of the study's definition, the results and the pending trials that were known,
the seed, and its place in the batch. All of that is in the provenance or follows from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from ..domain.copies import with_fields
from ..domain.study import Study
from ..domain.trial import DUPLICATE_OF, TrialSource
from ..suggest.base import Decision, Suggestion, SuggestRequest
from ..suggest.registry import suggest

T = TypeVar("T")

NOT_DERIVED = frozenset({"seconds", "cpu_seconds", "versions", DUPLICATE_OF})
"""Members of the provenance that no replay can bring back, or has to."""

TOLD_LATER = frozenset({"predicted", "predicted_sd"})
"""Members that points of earlier versions lack, which are no other points for that."""

GIVEN = frozenset(
    {
        "history_seq",
        "pending_ids",
        "definition_revision",
        "batch_index",
        "batch_count",
        "batch_position",
    }
)
"""Members that say what a point was derived from."""

FALLBACK_SUGGESTER = "sobol"
"""Makes the points that a model is too late for."""

_FALLBACK_SEED = 0x5EED
"""Mixed into the study's seed, so that a fallback does not walk the same sequence as the design."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a call took, in seconds: by the clock on the wall, and of the processor."""

    wall_s: float
    cpu_s: float


NOTHING_SPENT = Spent(wall_s=0.0, cpu_s=0.0)


def timed(fn: Callable[[], T]) -> tuple[T, Spent]:
    """The result of a call, and what it took in this thread."""
    wall, cpu = time.perf_counter(), time.thread_time()
    result = fn()
    spent = Spent(wall_s=time.perf_counter() - wall, cpu_s=time.thread_time() - cpu)
    return result, spent


@lru_cache
def library_versions() -> dict[str, str]:
    """Versions of what a suggestion depends on."""
    found = {}
    for name in ("tunewell", "numpy", "scipy", "cmaes", "scikit-optimize"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def traced(
    study: Study, decision: Decision, pending_ids: tuple[str, ...], count: int, spent: Spent
) -> tuple[Suggestion, ...]:
    """The points of one ask with what they were derived from.

    Args:
        study: as it was when the history was read.
        decision: what the suggester answered.
        pending_ids: trials that had not ended then, by number.
        count: how many points were asked for.
        spent: what the whole ask took.
    """
    known: dict[str, Any] = {
        "history_seq": study.results_seq,
        "pending_ids": list(pending_ids),
        "definition_revision": study.revision,
        "batch_index": study.next_number,
        "batch_count": count,
        "versions": library_versions(),
        "seconds": round(spent.wall_s, 6),
        "cpu_seconds": round(spent.cpu_s, 6),
    }
    return tuple(
        with_fields(s, provenance={**s.provenance, **known, "batch_position": k})
        for k, s in enumerate(decision.suggestions)
    )


def fallback_decision(request: SuggestRequest, suggester: str, reason: str) -> Decision:
    """Quasi-random points in place of those of the study's own suggester, labelled.

    Args:
        request: what the suggester would have been asked.
        suggester: its name.
        reason: why it was not.
    """
    decision = suggest(
        FALLBACK_SUGGESTER, replace(request, seed=request.seed ^ _FALLBACK_SEED, options={})
    )
    label = {
        "suggester": suggester,
        "fallback": reason,
        "fallback_suggester": FALLBACK_SUGGESTER,
    }
    labelled = tuple(
        replace(s, source=TrialSource.FALLBACK, provenance={**s.provenance, **label})
        for s in decision.suggestions
    )
    return replace(decision, suggestions=labelled)
