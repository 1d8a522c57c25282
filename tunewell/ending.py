"""How a trial that a script evaluates ends: the call that says so."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from . import calls, failures
from .errors import Retryable, Unreachable
from .exchange import Request
from .objective import Infeasible, Values
from .sender import Held

log = logging.getLogger("tunewell")

INTERRUPTED_S = 5.0
"""For how long a script that was told to end tries to give its trial back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """All of a trial that decides how it ends.

    Attributes:
        number: within its study.
        held: its lease, and what the service has said under it.
        has_seen_end: whether the code has looked at `should_stop` when it was true.
        values: its final ones.
        last_step: of its last report, 0 without one.
        declared: the metrics that the study needs.
        data: which data set was used, if it said so.
    """

    number: int
    held: Held
    has_seen_end: bool
    values: Values
    last_step: int
    declared: Collection[str]
    data: Mapping[str, str] | None

    def ending(self, error: BaseException | None) -> Request:
        """How the trial ends when its block is left, by an exception or without one."""
        held = self.held
        if isinstance(error, Infeasible):
            return self._completed("infeasible", {})
        if isinstance(error, (Unreachable, Retryable)):
            return calls.release(held.lease_id, "service away")
        if isinstance(error, Exception):
            return self._failed(failures.of_exception(error))
        if error is not None:
            return calls.release(held.lease_id, "interrupted", retry_s=INTERRUPTED_S)
        if self.has_seen_end and held.directive == "pause":
            return calls.release(held.lease_id, "paused")
        if (problem := self._problem()) is not None:
            log.warning("trial %d failed: %s", self.number, problem.message)
            return self._failed(problem)
        is_stopped = self.has_seen_end and held.directive == "stop"
        return self._completed("stopped" if is_stopped else "completed", self.values)

    def _problem(self) -> failures.Failure | None:
        """Why its values are no result."""
        if self.held.problem is not None:
            return failures.Failure(kind="user_error", message=self.held.problem.summary)
        if not self.values:
            return failures.Failure(kind="user_error", message="no metric reported")
        missing = [name for name in self.declared if name not in self.values]
        if missing:
            told = ", ".join(sorted(self.values))
            message = f"the metric {missing[0]!r} was not reported, only {told}"
            return failures.Failure(kind="user_error", message=message)
        return failures.of_values({name: self.values[name] for name in self.declared})

    def _completed(self, state: str, values: Values) -> Request:
        finite = {name: value for name, value in values.items() if abs(value) < float("inf")}
        held, step = self.held, self.last_step or None
        return calls.complete(
            held.trial_id, held.lease_id, state, finite, step=step, data=self.data
        )

    def _failed(self, failure: failures.Failure) -> Request:
        said = failure.bounded()
        return calls.fail(
            self.held.trial_id,
            self.held.lease_id,
            said["kind"],
            said["message"],
            said["traceback"],
        )
