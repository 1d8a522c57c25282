"""The fitting process: runs suggesters off the service's threads, one request at a time, over one
pipe.

It keeps the history of each study that it serves, so that a request brings only what is new. It
reads no database and
knows no clock; the parent ends it when a fit takes too long.
"""

from __future__ import annotations

import os
import traceback
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from ..domain.study import StudyDefinition
from ..suggest.base import Decision
from ..suggest.registry import suggest
from .history import StudyHistory, TrialRecord

KEPT_STUDIES = 64
"""Histories kept in a fitting process; the parent sends a whole history again when one was
dropped.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """What the parent asks for.

    Attributes:
        study_id: names the history.
        definition: the study's definition; None when the process has it already.
        fresh: drop what is kept for the study first.
        delta: trials that are new or changed since the last request.
        index: number of the trial to make; count: how many points, numbered from it.
    """

    study_id: str
    definition: StudyDefinition | None
    fresh: bool
    delta: tuple[TrialRecord, ...]
    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReply:
    """What comes back: a decision, or the text of the error that ended the fit."""

    decision: Decision | None = None
    pending_ids: tuple[str, ...] = ()
    error: str | None = None
    forgotten: tuple[str, ...] = ()


@dataclass(slots=True)
class Fitter:
    """The state of one fitting process."""

    histories: OrderedDict[str, StudyHistory] = field(default_factory=OrderedDict)

    def serve(self, request: FitRequest) -> FitReply:
        """Answers one request; an error of a suggester is an answer too."""
        try:
            history = self._history(request)
            decision = suggest(
                history.definition.suggester.name, history.request(request.index, request.count)
            )
        except Exception:  # the parent falls back and records why; this process lives on
            return FitReply(error=traceback.format_exc(limit=8))
        return FitReply(
            decision=decision, pending_ids=history.pending_ids, forgotten=self._forget()
        )

    def _history(self, request: FitRequest) -> StudyHistory:
        if request.definition is not None and (
            request.fresh or request.study_id not in self.histories
        ):
            self.histories[request.study_id] = StudyHistory(request.definition)
        history = self.histories[request.study_id]
        if request.definition is not None:
            history.definition = request.definition
        history.apply(request.delta)
        self.histories.move_to_end(request.study_id)
        return history

    def _forget(self) -> tuple[str, ...]:
        gone = []
        while len(self.histories) > KEPT_STUDIES:
            gone.append(self.histories.popitem(last=False)[0])
        return tuple(gone)


def main(fd: int) -> None:
    """Serves requests from an inherited pipe until the parent closes it."""
    connection = Connection(fd)
    fitter = Fitter()
    connection.send("ready")
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            connection.send(fitter.serve(request))
        except BrokenPipeError:
            return


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
