"""The fitting process: runs suggesters off the service's threads, one request at a time, over one
pipe.

It keeps the history of each study that it serves, so that a request brings only what is new. It
reads no database; of the clock it only knows how long a call took, and the parent ends it when a
fit takes too long.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from typing import Any

from ..domain.study import StudyDefinition
from ..suggest.base import Decision, SuggestRequest
from ..suggest.registry import effective_suggester, suggest
from ..suggest.view import Line, View, view_of
from ..suggest.winner import Posterior, posterior_of
from .history import StudyHistory, TrialRecord
from .provenance import NOTHING_SPENT, Spent, timed
from .shelf import Shelf, history_size


class Task(StrEnum):
    """What a fit is for."""

    SUGGEST = "suggest"
    POSTERIOR = "posterior"
    VIEW = "view"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """What the parent asks for.

    Attributes:
        study_id: names the history.
        definition: the study's definition; None when the process has it already.
        fresh: drop what is kept for the study first.
        delta: trials that are new or changed since the last request.
        index: number of the trial to make; count: how many points, numbered from it.
        task: points, what the model says of the finished trials, or what it says along a line.
        line: along which, for a view.
        dropped: studies that have ended, whose histories are not needed any more.
    """

    study_id: str
    definition: StudyDefinition | None
    fresh: bool
    delta: tuple[TrialRecord, ...]
    index: int
    count: int
    task: Task = Task.SUGGEST
    line: Line | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request to a suggester given whole; nothing is kept of it. For a replay."""

    suggester: str
    request: SuggestRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReply:
    """What comes back: a decision, a posterior or a view, or the text of the error that ended the
    fit.
    """

    decision: Decision | None = None
    posterior: Posterior | None = None
    view: View | None = None
    pending_ids: tuple[str, ...] = ()
    spent: Spent = NOTHING_SPENT
    error: str | None = None
    forgotten: tuple[str, ...] = ()


@dataclass(slots=True)
class Fitter:
    """The state of one fitting process."""

    histories: Shelf[StudyHistory] = field(default_factory=lambda: Shelf(history_size))

    def serve(self, request: FitRequest | Question) -> FitReply:
        """Answers one request; an error of a suggester is an answer too."""
        try:
            if isinstance(request, Question):
                return FitReply(decision=suggest(request.suggester, request.request))
            return self._fit(request)
        except Exception:  # the parent falls back and records why; this process lives on
            return FitReply(error=traceback.format_exc(limit=8))

    def _fit(self, request: FitRequest) -> FitReply:
        history = self._history(request)
        asked = history.request(request.index, request.count)
        if request.task is Task.POSTERIOR:
            posterior = posterior_of(asked)
            return FitReply(posterior=posterior, forgotten=self.histories.trim())
        name, line = effective_suggester(history.definition), request.line
        if request.task is Task.VIEW and line is not None:
            view, spent = timed(lambda: view_of(name, asked, line))
            return FitReply(view=view, spent=spent, forgotten=self.histories.trim())
        decision, spent = timed(lambda: suggest(name, asked))
        return FitReply(
            decision=decision,
            pending_ids=history.pending_ids,
            spent=spent,
            forgotten=self.histories.trim(),
        )

    def _history(self, request: FitRequest) -> StudyHistory:
        for study_id in request.dropped:
            self.histories.drop(study_id)
        history = self.histories.get(request.study_id)
        if request.definition is not None:
            if request.fresh or history is None:
                history = StudyHistory(request.definition)
                self.histories.put(request.study_id, history)
            history.definition = request.definition
        if history is None:
            raise KeyError(request.study_id)
        history.apply(request.delta)
        return history


def main(fd: int) -> None:
    """Serves requests from an inherited pipe until the parent closes it or is killed."""
    connection = Connection(fd)
    fitter = Fitter()
    with contextlib.suppress(EOFError, ConnectionError):
        connection.send("ready")
        while True:
            connection.send(fitter.serve(connection.recv()))


BOOTSTRAP = """
import importlib, importlib.util, os, sys
name, init, fd = sys.argv[1:4]
spec = importlib.util.spec_from_file_location(
    name, init, submodule_search_locations=[os.path.dirname(init)])
package = importlib.util.module_from_spec(spec)
sys.modules[name] = package
spec.loader.exec_module(package)
importlib.import_module(name + ".service.fitting").main(int(fd))
"""
"""Run by the child with the package's own name and place: the same code, however Tunewell is
installed.
"""

ONE_THREAD: Mapping[str, Any] = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    )
}
"""More BLAS threads than one make fits slower when several processes share the cores."""


def child_environment() -> dict[str, str]:
    """The environment of a fitting process."""
    return {**os.environ, **ONE_THREAD}
