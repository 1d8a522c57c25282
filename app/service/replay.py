"""Derives the points of a study again and compares them with what is stored, bit for bit.

In a fitting process of its own, so that studies that run are not held up.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from ..domain.space import point_key
from ..domain.trial import Trial, TrialSource
from ..errors import AppError
from ..store import past as past_rows
from ..store import studies as study_rows
from ..store.engine import Store
from ..store.types import dump_json
from ..suggest.base import Decision, Suggestion
from ..suggest.design import complete_point
from ..suggest.registry import ENTRIES, effective_suggester, suggest
from .fitting import Question
from .past import Lost, Origin, StudyPast, position_of
from .pool import FitFailed, FitProcess
from .provenance import GIVEN, NOT_DERIVED, TOLD_LATER, fallback_decision, library_versions

PAGE = 200
"""Most trials a page."""

PATIENCE_S = 5.0
"""A page ends after the first ask that is done later than this."""

SLOWER = 4.0
"""A fit may take so many times its usual limit: nobody waits for the point."""

_SHOWN_CHARS = 80

EQUAL, DIFFERENT, SKIPPED = "equal", "different", "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one trial's point.

    Attributes:
        outcome: "equal", "different" or "skipped".
        reasons: what differs, or why it was skipped; empty for an equal one.
    """

    id: str
    number: int
    source: str
    suggester: str | None
    outcome: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPage:
    """Verdicts by number; those of trials with a point of the user's own are left out.

    Attributes:
        trials: the verdicts.
        last_number: the last trial that was looked at.
        n_trials: how many trials the study has.
        next_after: `after` of the next page, None at the end.
        versions: of the libraries here.
    """

    trials: tuple[Verdict, ...]
    last_number: int
    n_trials: int
    next_after: int | None
    versions: Mapping[str, str]


class Replayer:
    """Replays studies, one call at a time; a context manager, since it has a process."""

    def __init__(self, store: Store, *, fit_limit_s: float) -> None:
        self._store = store
        self._limit_s = SLOWER * fit_limit_s
        self._process = FitProcess()
        self._past: StudyPast | None = None

    def __enter__(self) -> Replayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process, a running fit included."""
        self._process.close()

    def page(self, study_id: str, *, after: int = 0, force: bool = False) -> ReplayPage:
        """Derives the points of the trials after a number again.

        Args:
            study_id: the study.
            after: the last trial that was looked at; 0 for the first page.
            force: look at points of other library versions too.

        Raises:
            NotFound: there is no such study.
        """
        past, trials = self._store.read(lambda conn: self._read(conn, study_id, after))
        deadline = time.monotonic() + PATIENCE_S
        verdicts: list[Verdict] = []
        last = after
        for group in _asks(trials):
            verdicts += self._judged(past, group, force)
            last = group[-1].number
            if time.monotonic() > deadline:
                break
        is_end = len(trials) < PAGE and (not trials or last == trials[-1].number)
        if is_end:
            self._rest()
        return ReplayPage(
            trials=tuple(verdicts),
            last_number=last,
            n_trials=past.study.next_number - 1,
            next_after=None if is_end else last,
            versions=library_versions(),
        )

    def _read(self, conn: Connection, study_id: str, after: int) -> tuple[StudyPast, list[Trial]]:
        study = study_rows.get(conn, study_id)
        trials = past_rows.trials_after(conn, study_id, after, PAGE)
        known = self._past
        if known is None or (known.study.id, known.study.change_seq) != (
            study_id,
            study.change_seq,
        ):
            self._past = known = StudyPast(
                study,
                past_rows.results(conn, study_id),
                past_rows.points(conn, study_id),
                past_rows.definitions(conn, study_id),
            )
        return known, trials

    def _rest(self) -> None:
        """Gives back the memory between studies."""
        self._past = None
        with self._process.lock:
            self._process.end()

    def _judged(self, past: StudyPast, group: Sequence[Trial], force: bool) -> list[Verdict]:
        """Verdicts on the trials of one ask, whose origins are the same."""
        first = group[0]
        origin = Origin.of(first)
        if origin is None:
            return [v for trial in group if (v := _user_verdict(past, trial)) is not None]
        other = _other_versions(first)
        if other and not force:
            return [_verdict(trial, SKIPPED, other) for trial in group]
        try:
            decision = self._derive(past, origin, first)
        except Lost as lost:
            return [_verdict(trial, SKIPPED, (str(lost),)) for trial in group]
        except AppError as error:
            reason = f"it could not be derived: {error.detail}"
            return [_verdict(trial, DIFFERENT, (reason,)) for trial in group]
        return [_compared(trial, decision) for trial in group]

    def _derive(self, past: StudyPast, origin: Origin, trial: Trial) -> Decision:
        """The decision on the ask that a trial came from, worked out anew."""
        request = past.request(origin)
        name = effective_suggester(past.study.definition)
        if "fallback_suggester" in trial.provenance:
            return fallback_decision(request, name, trial.provenance["fallback"])
        if ENTRIES[name].is_cheap:
            return suggest(name, request)
        with self._process.lock:
            self._process.start()
            reply = self._process.call(Question(suggester=name, request=request), self._limit_s)
        if reply.decision is None:
            raise FitFailed((reply.error or "no reason given").strip().splitlines()[-1])
        return reply.decision


class ReplayService:
    """Replays over HTTP: one at a time, in a thread of its own."""

    def __init__(self, store: Store, *, fit_limit_s: float) -> None:
        self._replayer = Replayer(store, fit_limit_s=fit_limit_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replay")

    async def page(self, study_id: str, *, after: int, force: bool) -> ReplayPage:
        """See `Replayer.page`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, lambda: self._replayer.page(study_id, after=after, force=force)
        )

    def close(self) -> None:
        """Ends a replay under way."""
        self._replayer.close()
        self._thread.shutdown(cancel_futures=True)


def _asks(trials: Sequence[Trial]) -> Iterator[list[Trial]]:
    """The trials in runs that came of one ask."""
    for _, group in groupby(trials, key=lambda t: (Origin.of(t), t.provenance.get("fallback"))):
        yield list(group)


def _other_versions(trial: Trial) -> tuple[str, ...]:
    """Where the libraries that made a trial's point differ from those here."""
    made, here = trial.provenance.get("versions", {}), library_versions()
    return tuple(
        f"made with {name} {version}, here is {here.get(name, 'none')}"
        for name, version in made.items()
        if here.get(name) != version
    )


def _compared(trial: Trial, decision: Decision) -> Verdict:
    position = position_of(trial)
    if position >= len(decision.suggestions):
        return _verdict(trial, DIFFERENT, ("the suggester finds no such point now",))
    reasons = tuple(_differences(trial, decision.suggestions[position]))
    return _verdict(trial, DIFFERENT if reasons else EQUAL, reasons)


def _differences(trial: Trial, derived: Suggestion) -> Iterator[str]:
    """Every parameter and every member of the provenance that is not the same to the last bit."""
    yield from _unequal("params", trial.params, derived.params)
    if trial.origin not in (derived.source, TrialSource.PROMOTION):
        yield f"source: stored {trial.origin.value}, derived {derived.source.value}"
    left_out = GIVEN | NOT_DERIVED
    stored = {k: v for k, v in trial.provenance.items() if k not in left_out}
    lacking = TOLD_LATER - stored.keys()
    told = {k: v for k, v in derived.provenance.items() if k not in lacking}
    yield from _unequal("provenance", stored, told)


def _unequal(what: str, stored: Mapping[str, Any], derived: Mapping[str, Any]) -> Iterator[str]:
    kept: Mapping[str, Any] = json.loads(dump_json(derived))
    for name in (*stored, *(name for name in kept if name not in stored)):
        there, here = (_shown(side, name) for side in (stored, kept))
        if there != here:
            yield f"{what}.{name}: stored {there[:_SHOWN_CHARS]}, derived {here[:_SHOWN_CHARS]}"


def _shown(values: Mapping[str, Any], name: str) -> str:
    """The exact JSON text of a value: floats in it are read back as the same bits."""
    return dump_json(values[name]) if name in values else "nothing"


def _user_verdict(past: StudyPast, trial: Trial) -> Verdict | None:
    """The verdict on a trial that no suggester made; None when nobody made anything of it.

    The rest of a partial point is drawn for its place among the trials of the call.
    """
    known = trial.provenance
    # A promotion hides who made the point; a suggester leaves its name.
    is_users = (
        trial.origin in (TrialSource.USER, TrialSource.PROMOTION) and "suggester" not in known
    )
    if not is_users:
        is_made = trial.origin is not TrialSource.IMPORT
        return _verdict(trial, SKIPPED, ("its origin was not noted",)) if is_made else None
    if "completed" not in known or "index" not in known:
        return None
    suggester = past.study.definition.suggester
    taken = past.params_before(trial.number, position_of(trial))
    derived = complete_point(
        past.study.definition.space,
        {name: value for name, value in trial.params.items() if name not in known["completed"]},
        suggester.seed,
        known["index"],
        frozenset(point_key(params) for params in taken),
    )
    reasons = tuple(_unequal("params", trial.params, derived))
    return _verdict(trial, DIFFERENT if reasons else EQUAL, reasons)


def _verdict(trial: Trial, outcome: str, reasons: tuple[str, ...]) -> Verdict:
    return Verdict(
        id=trial.id,
        number=trial.number,
        source=trial.source.value,
        suggester=trial.provenance.get("suggester"),
        outcome=outcome,
        reasons=reasons,
    )
