"""Studies as a script holds them: one class that blocks, one for asyncio, of the same calls.

Each call is written once, as a generator (a private method of the core); `twins.py` makes the
public methods of it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import calls, identity
from .asked import AskedBase, AskedTrial, AsyncAskedTrial
from .errors import TunewellError
from .exchange import Call, Item, Pause
from .leased import fetching
from .listed import AsyncTrials, Trials
from .models import ENDED_STUDY, Event, Suggested, SuggestedTrial, read
from .models import Study as StudyInfo
from .models import Trial as TrialInfo
from .twins import awaiting, blocking

if TYPE_CHECKING:
    from .client import AsyncClient, Client
    from .objective import Values

log = logging.getLogger("tunewell")

_LOOK_S = 2.0
"""How often a study is looked at that hands out nothing at once, because it is paused or ends."""
_WATCH_S = 20.0


class StudyCore:
    """What both kinds of study are made of; see `Study`.

    Attributes:
        info: the study as it was last read.
    """

    def __init__(self, client: Any, info: StudyInfo) -> None:
        self._client = client
        self.info = info

    @property
    def id(self) -> str:
        """The study's id."""
        return self.info.id

    @property
    def name(self) -> str:
        """Its name."""
        return self.info.name

    @property
    def state(self) -> str:
        """Where it stood when it was last read; see `refresh`."""
        return self.info.state

    @property
    def definition(self) -> dict[str, Any]:
        """Its definition, with every default filled in."""
        return self.info.definition

    @property
    def url(self) -> str:
        """Where it can be looked at."""
        return f"{self._client.url}/studies/{self.id}"

    def __repr__(self) -> str:
        return f"<Study {self.name!r} {self.state}, {self.info.n_finished} trials: {self.url}>"

    def _refresh(self) -> Call[StudyInfo]:
        """Reads the study anew, and gives what it is now."""
        self.info = read(StudyInfo, (yield calls.get_study(self.id)))
        return self.info

    def _act(self, verb: str) -> Call[None]:
        self.info = read(StudyInfo, (yield calls.study_action(self.id, verb)))

    def _pause(self) -> Call[None]:
        """Hands out no more trials; those that run go on."""
        return self._act("pause")

    def _resume(self, /, **limits: Any) -> Call[None]:
        """Hands out trials again, also of a study that a limit has ended.

        Args:
            limits: what to change first, such as `max_trials=200`; None takes a limit away.

        Raises:
            InvalidStudy: a limit is none, or a value is not allowed.
            ApiError: the study has ended for good, or by a limit that still holds.
        """
        if limits:
            self.info = read(StudyInfo, (yield calls.change_study(self.id, {"limits": limits})))
        if self.info.state != "active" or not limits:
            yield from self._act("resume")

    def _stop(self) -> Call[None]:
        """Ends the study when the trials that run have ended."""
        return self._act("stop")

    def _cancel(self) -> Call[None]:
        """Ends the study and the trials that run now."""
        return self._act("cancel")

    def _enqueue(self, params: Mapping[str, Any], *, note: str | None = None) -> Call[TrialInfo]:
        """Adds a point to try before suggested ones; the suggester completes a part of one.

        Args:
            params: values by parameter.
            note: kept with the trial.

        Raises:
            InvalidStudy: a value is not one of the search space.
            ApiError: no place is left in the budget.
        """
        made = yield calls.enqueue(self.id, [{"params": dict(params)}])
        found = made["trials"][0]
        if note is not None:
            found = yield calls.annotate(found["id"], note)
        return read(TrialInfo, found)

    def _best(self) -> Call[TrialInfo | None]:
        return (yield from self._refresh()).best

    def _pareto(self) -> Call[list[TrialInfo]]:
        front = yield calls.pareto(self.id)
        return [read(TrialInfo, each) for each in front["trials"]]

    def _analysis(self, /, kind: str, **params: Any) -> Call[dict[str, Any]]:
        """What a plot of the study shows, as columns.

        Args:
            kind: "history", "curves", "importance", "slice", "contour", "parallel", "rungs",
                "timeline", "pareto", "surrogate", "failures".
            params: as the service takes them, such as `param=["lr"]` or `max_points=500`.

        Raises:
            ApiError: there is no such kind, or a value is not allowed.
        """
        found: dict[str, Any] = yield calls.analysis(self.id, kind, params)
        return found

    def _plot(self, /, kind: str = "history", **params: Any) -> Call[Any]:
        """Draws a plot of the dashboard's with matplotlib, and gives the figure.

        Args:
            kind, params: as `analysis`; `metric="loss"` for another than the first objective.

        Raises:
            NotInstalled: matplotlib is not.
            ValueError: the kind cannot be drawn, or is not about one metric.
            ApiError: as `analysis`.
        """
        from .plots import draw, known

        known(kind, params)
        return draw((yield from self._analysis(kind, **params)), self.info, params)

    def _asking(self, count: int, wait_s: float, on_error: str) -> Call[list[Any]]:
        yield from identity.sending_kept(self._client.url)
        made = []
        with identity.free_slot(self._client.url) as slot:
            answer = yield calls.suggest(
                self.id,
                count=count,
                client_id=slot.client_id,
                wait_s=wait_s,
                lease_s=identity.LEASE_S,
            )
            for given in read(Suggested, answer).trials:
                made.append((yield from self._given(given, slot, on_error)))
        return made

    def _given(self, given: SuggestedTrial, slot: identity.Slot, on_error: str) -> Call[Any]:
        """A trial that was handed out, to be evaluated here."""
        folder = Path(tempfile.mkdtemp(prefix="tunewell-"))
        is_resumed = yield from fetching(given, folder)
        return self._client.trial_class(
            given,
            self.info,
            self._client,
            folder,
            slot,
            is_resumed=is_resumed,
            on_error=on_error,
            runner=self._client,
        )

    def _after(self, trial: AskedBase, on_error: str) -> Call[list[Any]]:
        """The trial that the end of another has brought back, if any."""
        made = []
        for given in trial.taking_next():
            made.append((yield from self._given(given, trial.slot, on_error)))
        return made

    def _asking_until_done(self, on_error: str, *, goes_on: bool = False) -> Call[None]:
        """Hands over one trial after another until the study has ended.

        Args:
            goes_on: whether the loop is sure to take the next one: the end of each asks for it.
        """
        if on_error not in ("raise", "continue"):
            raise ValueError(f'on_error is "raise" or "continue", not {on_error!r}')
        said = ""
        while True:
            trials = yield from self._asking(1, calls.ASK_S, on_error)
            has_any = bool(trials)
            while trials:
                trial = trials.pop()
                trial.wants_next = goes_on
                yield Item(trial)
                yield from _see_that_it_ended(trial)
                trials += yield from self._after(trial, on_error)
            if has_any:
                continue
            info = yield from self._refresh()
            if info.state in ENDED_STUDY:
                if info.state == "failed":
                    log.warning("study %s has failed: %s", info.name, info.reason)
                return
            if info.has_paused_itself:
                raise TunewellError(
                    f"study {info.name} has paused itself: {info.reason}",
                    next_step=f"mend what fails, then: tunewell study resume {info.id}",
                )
            if info.state == "paused" and said != (said := f"{info.pause_reason}"):
                log.warning(
                    "study %s is paused (%s); go on with: tunewell study resume %s",
                    info.name,
                    info.reason or info.pause_reason,
                    info.id,
                )
            # An active study has let us wait already; any other answers at once.
            if info.state != "active":
                yield Pause(_LOOK_S)

    def going_on(self, on_error: str) -> Any:
        """As `ask_until_done`, for a loop that takes every trial or `declining` the last one's."""
        return self._client.items(self._asking_until_done(on_error, goes_on=True))

    def _watching(self) -> Call[None]:
        """Hands over the study's events from now on, until it has ended."""
        after: str | None = (yield calls.events(None, 0))["next_after"]
        has_ended = False
        while not has_ended:
            # First: what has happened until then is read after it.
            has_ended = (yield from self._refresh()).state in ENDED_STUDY
            feed = yield calls.events(after, 0 if has_ended else _WATCH_S)
            after = feed["next_after"]
            for each in feed["events"]:
                if each["study_id"] == self.id:
                    yield Item(read(Event, each))


def _see_that_it_ended(trial: AskedBase) -> Call[None]:
    if trial.has_ended:
        return
    yield from trial.releasing("not evaluated")
    raise TunewellError(
        f"trial {trial.number} was not evaluated: the loop's body belongs under `with trial:`",
        next_step="for trial in study.ask_until_done():\n    with trial: ...",
    )


class Study(StudyCore):
    """A study at a service.

    ```python
    for trial in study.ask_until_done():
        with trial:
            for epoch in range(1, 11):
                trial.report(epoch, accuracy=train(trial.params))
                if trial.should_stop:
                    break
    ```
    """

    _client: Client

    refresh = blocking(StudyCore._refresh)
    pause = blocking(StudyCore._pause)
    resume = blocking(StudyCore._resume)
    stop = blocking(StudyCore._stop)
    cancel = blocking(StudyCore._cancel)
    enqueue = blocking(StudyCore._enqueue)
    analysis = blocking(StudyCore._analysis)
    plot = blocking(StudyCore._plot)

    @property
    def best(self) -> TrialInfo | None:
        """The best trial now; None where there is none yet, or there are several objectives."""
        return self._client.run(self._best())

    @property
    def pareto(self) -> list[TrialInfo]:
        """The trials that no other beats in every objective."""
        return self._client.run(self._pareto())

    @property
    def trials(self) -> Trials:
        """All trials; see `Trials`."""
        return Trials(self._client, self.info, {})

    def ask(self, count: int = 1, wait_s: float = calls.ASK_S) -> list[AskedTrial]:
        """Trials to evaluate: at first those that this script had open when it was last ended.

        Args:
            count: how many, at most.
            wait_s: how long to wait for the first where limits allow none now, in seconds.

        Raises:
            Unreachable, ApiError: the service gives none.
        """
        return self._client.run(self._asking(count, wait_s, "raise"))

    def ask_until_done(self, on_error: str = "raise") -> Iterator[AskedTrial]:
        """One trial after another, until the study has ended. While it is paused it is waited for.

        Args:
            on_error: "raise": an exception in a trial's block is reported and goes on its way;
                "continue": it is reported, and the next trial comes.

        Raises:
            TunewellError: the study has paused itself, for its first trials have all failed.
            Unreachable, ApiError: the service gives no trial.
        """
        return self._client.items(self._asking_until_done(on_error))

    def optimize(
        self,
        fn: Callable[[AskedTrial], Values | float | None],
        n_workers: int = 1,
        on_error: str = "continue",
        progress: bool | None = None,
    ) -> Study:
        """Evaluates trials with a function until the study has ended.

        Args:
            fn: evaluates a trial; returns a number, a dictionary of metrics, or nothing where the
                values of its last report count.
            n_workers: processes that evaluate at once; 1: this process.
            on_error: "continue" or "raise", as in `ask_until_done`.
            progress: whether a bar is shown; None: on a terminal.

        Raises:
            TunewellError, Unreachable, ApiError: as `ask_until_done`.
        """
        from .optimizing import optimize

        optimize(self, fn, n_workers, on_error, progress)
        return self

    def watch(self) -> Iterator[Event]:
        """The study's events as they happen, until it has ended."""
        return self._client.items(self._watching())


class AsyncStudy(StudyCore):
    """A study at a service, for asyncio: the names of `Study`, with `await` and `async for`."""

    _client: AsyncClient

    refresh = awaiting(StudyCore._refresh)
    pause = awaiting(StudyCore._pause)
    resume = awaiting(StudyCore._resume)
    stop = awaiting(StudyCore._stop)
    cancel = awaiting(StudyCore._cancel)
    enqueue = awaiting(StudyCore._enqueue)
    analysis = awaiting(StudyCore._analysis)
    plot = awaiting(StudyCore._plot)

    @property
    def best(self) -> Coroutine[Any, Any, TrialInfo | None]:
        """As `Study.best`, to be awaited."""
        return self._client.run(self._best())

    @property
    def pareto(self) -> Coroutine[Any, Any, list[TrialInfo]]:
        """As `Study.pareto`, to be awaited."""
        return self._client.run(self._pareto())

    @property
    def trials(self) -> AsyncTrials:
        """As `Study.trials`."""
        return AsyncTrials(self._client, self.info, {})

    async def ask(self, count: int = 1, wait_s: float = calls.ASK_S) -> list[AsyncAskedTrial]:
        """As `Study.ask`."""
        return await self._client.run(self._asking(count, wait_s, "raise"))

    def ask_until_done(self, on_error: str = "raise") -> AsyncIterator[AsyncAskedTrial]:
        """As `Study.ask_until_done`."""
        return self._client.items(self._asking_until_done(on_error))

    async def optimize(
        self,
        fn: Callable[[AsyncAskedTrial], Coroutine[Any, Any, Values | float | None]],
        n_workers: int = 1,
        on_error: str = "continue",
        progress: bool | None = None,
    ) -> AsyncStudy:
        """As `Study.optimize`, of a coroutine function; `n_workers` evaluate at once in this
        process.
        """
        from .optimizing import optimize_async

        await optimize_async(self, fn, n_workers, on_error, progress)
        return self

    def watch(self) -> AsyncIterator[Event]:
        """As `Study.watch`."""
        return self._client.items(self._watching())
