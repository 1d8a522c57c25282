"""The studies of a service: `client.studies`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from . import calls
from .exchange import Call
from .handles import AsyncStudy, Study
from .models import Study as StudyInfo
from .models import read
from .space import Metric, Param, definition
from .twins import awaiting, blocking

log = logging.getLogger("tunewell")

S = TypeVar("S", Study, AsyncStudy)

_Space: TypeAlias = Iterable[Param | Mapping[str, Any]]
_Metrics: TypeAlias = Metric | Mapping[str, Any] | Sequence[Metric | Mapping[str, Any]]


class StudiesCore(Generic[S]):
    """What both kinds of `client.studies` are made of."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def _made(self, answer: Any) -> S:
        made: S = self._client.study_class(self._client, read(StudyInfo, answer))
        return made

    def _create(
        self,
        /,
        name: str,
        space: _Space,
        metric: _Metrics,
        *,
        max_trials: int | None = None,
        suggester: str | Mapping[str, Any] = "auto",
        **more: Any,
    ) -> Call[S]:
        """Makes a study.

        Args:
            name, space, metric, max_trials, suggester, more: see `tunewell.space.definition`.

        Raises:
            InvalidStudy: the definition has faults; `errors` names the place of each.
            ApiError: there is a study of that name.
        """
        made = definition(name, space, metric, max_trials=max_trials, suggester=suggester, **more)
        return self._made((yield calls.create_study(made)))

    def _get_or_create(
        self,
        /,
        name: str,
        space: _Space,
        metric: _Metrics,
        *,
        max_trials: int | None = None,
        suggester: str | Mapping[str, Any] = "auto",
        **more: Any,
    ) -> Call[S]:
        """The study of that name, made when there is none. Its limits stay as they are, see
        `Study.resume`, and so do labels, priority, description and resources.

        Args:
            name, space, metric, max_trials, suggester, more: see `tunewell.space.definition`.

        Raises:
            DefinitionMismatch: there is one with another definition; `diff` says where.
            InvalidStudy: the definition has faults; `errors` names the place of each.
        """
        made = definition(name, space, metric, max_trials=max_trials, suggester=suggester, **more)
        study = self._made((yield calls.put_study(name, made)))
        _tell_other_limits(study, made.get("limits") or {})
        return study

    def _get(self, id_or_name: str) -> Call[S]:
        """A study by its id or name.

        Raises:
            NotFound: there is none.
        """
        return self._made((yield from calls.find_study(id_or_name)))


def _tell_other_limits(study: Study | AsyncStudy, given: Mapping[str, Any]) -> None:
    """Says which limits of a study that was there are others than those given."""
    has = study.definition["limits"]
    for name, value in given.items():
        if not isinstance(value, Mapping) and has[name] != value:
            log.warning(
                "study %s has %s %s, not %s; to change that: study.resume(%s=%s)",
                *(study.name, name, has[name], value, name, value),
            )


class Studies(StudiesCore[Study]):
    """The studies of a service."""

    create = blocking(StudiesCore[Study]._create)
    get = blocking(StudiesCore[Study]._get)
    get_or_create = blocking(StudiesCore[Study]._get_or_create)

    def list(self, **filters: Any) -> Iterator[Study]:
        """The studies that fit, newest first.

        Args:
            filters: `state`, `label`, `name_prefix`.
        """
        return (self._made(each) for each in self._client.items(calls.list_studies(filters)))


class AsyncStudies(StudiesCore[AsyncStudy]):
    """As `Studies`, for asyncio."""

    create = awaiting(StudiesCore[AsyncStudy]._create)
    get = awaiting(StudiesCore[AsyncStudy]._get)
    get_or_create = awaiting(StudiesCore[AsyncStudy]._get_or_create)

    async def list(self, **filters: Any) -> AsyncIterator[AsyncStudy]:
        """As `Studies.list`."""
        async for each in self._client.items(calls.list_studies(filters)):
            yield self._made(each)
