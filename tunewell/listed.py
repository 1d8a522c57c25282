"""The trials of a study as a script reads them: one by one, or as a frame."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from . import calls
from .exchange import Call, Item
from .models import Study, read
from .models import Trial as TrialInfo
from .twins import awaiting, blocking


class TrialsCore:
    """The trials of a study, read in pages as they are asked for."""

    def __init__(self, client: Any, study: Study, filters: Mapping[str, Any]) -> None:
        self._client = client
        self._study = study
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

        return to_pandas(self._study, (yield from self._rows()))

    def _to_polars(self) -> Call[Any]:
        """A polars data frame, as `to_pandas`.

        Raises:
            NotInstalled: polars is not.
        """
        from .frames import to_polars

        return to_polars(self._study, (yield from self._rows()))


class Trials(TrialsCore):
    """The trials of a study: `for trial in study.trials`, in the order of their numbers."""

    to_list = blocking(TrialsCore._rows)
    to_pandas = blocking(TrialsCore._to_pandas)
    to_polars = blocking(TrialsCore._to_polars)

    def __iter__(self) -> Iterator[TrialInfo]:
        return (read(TrialInfo, each) for each in self._client.items(self._listing()))

    def __call__(self, **filters: Any) -> Trials:
        """Those that fit, such as `study.trials(state="failed")`."""
        return Trials(self._client, self._study, {**self._filters, **filters})


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
        return AsyncTrials(self._client, self._study, {**self._filters, **filters})
