"""Studies as a script holds them: one class that blocks, one for asyncio, of the same calls.

Each call is written once, as a generator (a private method of the core); `blocking` and `awaiting`
make the public methods of it.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from . import calls, identity
from .asked import AskedBase, AskedTrial, AsyncAskedTrial, fetching
from .errors import TunewellError
from .exchange import Call, Item, Pause
from .models import ENDED_STUDY, Event, Suggested, read
from .models import Study as StudyInfo
from .models import Trial as TrialInfo
from .space import Metric, Param, definition

if TYPE_CHECKING:
    from .client import AsyncClient, Client
    from .objective import Values

log = logging.getLogger("tunewell")

LEASE_S = 60.0
"""How long a script's leases last unless renewed: it beats, so a killed one is soon noticed."""
_LOOK_S = 2.0
"""How often a study is looked at that hands out nothing at once, because it is paused or ends."""
_WATCH_S = 20.0

P = ParamSpec("P")
R = TypeVar("R")


def blocking(
    call: Callable[Concatenate[Any, P], Call[R]],
) -> Callable[Concatenate[Any, P], R]:
    """A method that carries a call out."""

    @functools.wraps(call)
    def method(self: Any, /, *args: P.args, **given: P.kwargs) -> R:
        done: R = self._client.run(call(self, *args, **given))
        return done

    method.__name__ = call.__name__.lstrip("_")
    return method


def awaiting(
    call: Callable[Concatenate[Any, P], Call[R]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """A method that carries a call out, to be awaited."""

    @functools.wraps(call)
    async def method(self: Any, /, *args: P.args, **given: P.kwargs) -> R:
        done: R = await self._client.run(call(self, *args, **given))
        return done

    method.__name__ = call.__name__.lstrip("_")
    return method


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

    def _resume(self) -> Call[None]:
        """Hands out trials again."""
        return self._act("resume")

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
            kind: "history", "curves", "importance", "slice", "contour", "parallel", "timeline", ...
            params: as the service takes them, such as `param=["lr"]` or `max_points=500`.

        Raises:
            ApiError: there is no such kind, or a value is not allowed.
        """
        found: dict[str, Any] = yield calls.analysis(self.id, kind, params)
        return found

    def _plot(self, /, kind: str = "history", **params: Any) -> Call[Any]:
        """Draws a plot of the dashboard's with matplotlib, and gives the figure.

        Args:
            kind, params: as `analysis`.

        Raises:
            NotInstalled: matplotlib is not.
            ValueError: the kind cannot be drawn.
        """
        from .plots import draw, known

        known(kind)
        return draw((yield from self._analysis(kind, **params)), self.info)

    def _asking(self, count: int, wait_s: float, on_error: str) -> Call[list[Any]]:
        yield from identity.sending_kept(self._client.url)
        made = []
        with identity.free_slot(self._client.url) as slot:
            answer = yield calls.suggest(
                self.id, count=count, client_id=slot.client_id, wait_s=wait_s, lease_s=LEASE_S
            )
            for given in read(Suggested, answer).trials:
                folder = Path(tempfile.mkdtemp(prefix="tunewell-"))
                is_resumed = yield from fetching(given, folder)
                trial = self._client.trial_class(
                    given,
                    self.info,
                    self._client,
                    folder,
                    slot,
                    is_resumed=is_resumed,
                    on_error=on_error,
                    runner=self._client,
                )
                made.append(trial)
        return made

    def _asking_until_done(self, on_error: str) -> Call[None]:
        """Hands over one trial after another until the study has ended."""
        if on_error not in ("raise", "continue"):
            raise ValueError(f'on_error is "raise" or "continue", not {on_error!r}')
        said = ""
        while True:
            trials = yield from self._asking(1, calls.ASK_S, on_error)
            for trial in trials:
                yield Item(trial)
                yield from _see_that_it_ended(trial)
            if trials:
                continue
            info = yield from self._refresh()
            if info.state in ENDED_STUDY:
                return
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


class TrialsCore:
    """The trials of a study, read in pages as they are asked for."""

    def __init__(self, study: StudyCore, filters: Mapping[str, Any]) -> None:
        self._study = study
        self._client = study._client
        self._filters = dict(filters)

    def _listing(self) -> Call[None]:
        for_all = calls.list_trials(self._study.id, {"order_by": "number", **self._filters})
        return for_all

    def _rows(self) -> Call[list[TrialInfo]]:
        """All of them, in a list."""
        found, listing, answer = [], self._listing(), None
        try:
            while True:
                effect = listing.send(answer)
                answer = None
                if isinstance(effect, Item):
                    found.append(read(TrialInfo, effect.value))
                else:
                    answer = yield effect
        except StopIteration:
            return found

    def _to_pandas(self) -> Call[Any]:
        """A pandas data frame: a row a trial, a column a parameter and a metric; what a trial has
        not is NA.

        Raises:
            NotInstalled: pandas is not.
        """
        from .frames import to_pandas

        return to_pandas(self._study.info, (yield from self._rows()))

    def _to_polars(self) -> Call[Any]:
        """A polars data frame, as `to_pandas`.

        Raises:
            NotInstalled: polars is not.
        """
        from .frames import to_polars

        return to_polars(self._study.info, (yield from self._rows()))


class Trials(TrialsCore):
    """The trials of a study: `for trial in study.trials`, in the order of their numbers."""

    to_list = blocking(TrialsCore._rows)
    to_pandas = blocking(TrialsCore._to_pandas)
    to_polars = blocking(TrialsCore._to_polars)

    def __iter__(self) -> Iterator[TrialInfo]:
        return (read(TrialInfo, each) for each in self._client.items(self._listing()))

    def __call__(self, **filters: Any) -> Trials:
        """Those that fit, such as `study.trials(state="failed")`."""
        return Trials(self._study, {**self._filters, **filters})


class AsyncTrials(TrialsCore):
    """As `Trials`: `async for trial in study.trials`."""

    to_list = awaiting(TrialsCore._rows)
    to_pandas = awaiting(TrialsCore._to_pandas)
    to_polars = awaiting(TrialsCore._to_polars)

    async def __aiter__(self) -> AsyncIterator[TrialInfo]:
        async for each in self._client.items(self._listing()):
            yield read(TrialInfo, each)

    def __call__(self, **filters: Any) -> AsyncTrials:
        """As `Trials`."""
        return AsyncTrials(self._study, {**self._filters, **filters})


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
        return Trials(self, {})

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
        """One trial after another, until the study has ended.

        Args:
            on_error: "raise": an exception in a trial's block is reported and goes on its way;
                "continue": it is reported, and the next trial comes.
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
        return AsyncTrials(self, {})

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


class StudiesCore:
    """What both kinds of `client.studies` are made of."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def _made(self, answer: Any) -> Any:
        return self._client.study_class(self._client, read(StudyInfo, answer))

    def _creating(self, given: Mapping[str, Any]) -> Call[Any]:
        return self._made((yield calls.create_study(given)))

    def _finding(self, id_or_name: str) -> Call[Any]:
        return self._made((yield from calls.find_study(id_or_name)))

    def _putting(self, given: Mapping[str, Any]) -> Call[Any]:
        return self._made((yield calls.put_study(str(given["name"]), given)))


_Space = Sequence[Param | Mapping[str, Any]]
_Metrics = Metric | Mapping[str, Any] | Sequence[Metric | Mapping[str, Any]]


class Studies(StudiesCore):
    """The studies of a service."""

    def create(self, name: str, space: _Space, metric: _Metrics, **more: Any) -> Study:
        """Makes a study; see `space.definition` for the arguments.

        Raises:
            InvalidStudy: the definition has faults; `errors` names the place of each.
            ApiError: there is a study of that name.
        """
        made: Study = self._client.run(self._creating(definition(name, space, metric, **more)))
        return made

    def get(self, id_or_name: str) -> Study:
        """A study by its id or name.

        Raises:
            NotFound: there is none.
        """
        found: Study = self._client.run(self._finding(id_or_name))
        return found

    def get_or_create(self, name: str, space: _Space, metric: _Metrics, **more: Any) -> Study:
        """The study of that name, made when there is none; see `space.definition` for the
        arguments.

        Raises:
            DefinitionMismatch: there is one with another definition; `diff` says where.
            InvalidStudy: the definition has faults; `errors` names the place of each.
        """
        found: Study = self._client.run(self._putting(definition(name, space, metric, **more)))
        return found

    def list(self, **filters: Any) -> Iterator[Study]:
        """The studies that fit, newest first.

        Args:
            filters: `state`, `label`, `name_prefix`.
        """
        return (self._made(each) for each in self._client.items(calls.list_studies(filters)))


class AsyncStudies(StudiesCore):
    """As `Studies`, for asyncio."""

    async def create(self, name: str, space: _Space, metric: _Metrics, **more: Any) -> AsyncStudy:
        """As `Studies.create`."""
        made: AsyncStudy = await self._client.run(
            self._creating(definition(name, space, metric, **more))
        )
        return made

    async def get(self, id_or_name: str) -> AsyncStudy:
        """As `Studies.get`."""
        found: AsyncStudy = await self._client.run(self._finding(id_or_name))
        return found

    async def get_or_create(
        self, name: str, space: _Space, metric: _Metrics, **more: Any
    ) -> AsyncStudy:
        """As `Studies.get_or_create`."""
        found: AsyncStudy = await self._client.run(
            self._putting(definition(name, space, metric, **more))
        )
        return found

    async def list(self, **filters: Any) -> AsyncIterator[AsyncStudy]:
        """As `Studies.list`."""
        async for each in self._client.items(calls.list_studies(filters)):
            yield self._made(each)
