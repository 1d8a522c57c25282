"""An objective as a trial's process runs it: found, checked against the job, prepared once."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunewell.objective import Equivalent, Trial, Values

from . import user_objective
from .command_objective import objective_of
from .command_spec import CommandSpec
from .jobs import Job
from .objectives.offers import BUILT_IN

Run = Callable[[Trial], Values | float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An objective that is ready to run.

    Attributes:
        run: evaluates a trial.
        metrics: those that it declares, with their directions.
        version: of its code.
        equivalent: gives a trial's canonical point, or None.
        is_own: whether it is the user's, so that what it reports has to be looked at.
    """

    run: Run
    metrics: Mapping[str, str]
    version: str
    equivalent: Equivalent | None = None
    is_own: bool = True


def load(job: Job) -> Loaded:
    """The objective, imported and prepared.

    Raises:
        ValueError: it does not know an option or a parameter of the job.
    """
    if job.target is not None:
        found = user_objective.load(job.target, job.folder)
    elif job.command is not None:
        found = objective_of(CommandSpec(**job.command))
    else:
        built_in = BUILT_IN[job.objective]
        module = importlib.import_module(f".objectives.{built_in.module}", __package__)
        return Loaded(
            run=module.evaluate,
            metrics=built_in.offer["metrics"],
            version=built_in.offer["version"],
            equivalent=getattr(module, "equivalent", None),
            is_own=False,
        )
    _check_names("option", job.options, found.options)
    _check_names("parameter", job.params, found.params)
    if found.prepare is not None:
        prepare_once(found.prepare)
    return Loaded(
        run=found.run,
        metrics=found.metrics,
        version=found.version,
        equivalent=found.equivalent,
    )


def prepare_once(prepare: Callable[[], None]) -> None:
    """Calls it unless this process has done so before."""
    with _PREPARING:
        if prepare not in _PREPARED:
            prepare()
            _PREPARED.append(prepare)


_PREPARING = threading.Lock()
_PREPARED: list[Callable[[], None]] = []
"""What has been called in this process: it may have several trials."""


def _check_names(what: str, given: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
    """The service has checked a study by these if a worker offered the objective by then."""
    if known is not None and (unknown := sorted(set(given) - set(known))):
        raise ValueError(
            f"the objective has no {what} {unknown[0]!r}; it has {', '.join(known) or 'none'}: "
            f"leave it out of the study, or add it to the {what}s that the objective declares"
        )
