"""A study's trials as rows of a file: the columns with their kinds, and one row a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..domain.space import CategoricalParameter, IntParameter, Parameter
from ..domain.study import StudyDefinition
from ..domain.trial import Trial
from ..store.page import Page

MOST_REPORTED = 1_000
"""Columns of metrics that are reported but not declared, at most."""
_PAGE = 500


class Kind(StrEnum):
    """What the values of a column are."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of an export. In one of texts a value may still be a number or a boolean: where a
    parameter's choices are of several kinds.
    """

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Columns, and one row a trial by their names, read as they are asked for."""

    columns: Sequence[Column]
    rows: Iterator[dict[str, Any]]


def export_of(
    definition: StudyDefinition,
    reported: Sequence[str],
    read: Callable[[int, str | None], Page[Trial]],
) -> Export:
    """A study's trials for a file.

    Args:
        reported: names of the metrics that are not declared.
        read: a page of at most so many trials from a token on.
    """
    metrics = [*(metric.name for metric in definition.metrics), *reported]
    return Export(columns=_columns(definition, metrics), rows=_rows(definition, metrics, read))


def _columns(definition: StudyDefinition, metrics: Sequence[str]) -> list[Column]:
    named: list[tuple[str, Kind]] = [
        ("number", Kind.INTEGER),
        ("id", Kind.TEXT),
        ("state", Kind.TEXT),
        ("source", Kind.TEXT),
        *((f"params.{each.name}", _kind(each)) for each in definition.space.parameters),
        *((f"values.{name}", Kind.NUMBER) for name in metrics),
        ("step", Kind.INTEGER),
        ("attempts", Kind.INTEGER),
        ("losses", Kind.INTEGER),
        ("failure_kind", Kind.TEXT),
        ("failure_message", Kind.TEXT),
        ("note", Kind.TEXT),
        ("created_at", Kind.INSTANT),
        ("started_at", Kind.INSTANT),
        ("ended_at", Kind.INSTANT),
    ]
    return [Column(name=name, kind=kind) for name, kind in named]


def _kind(parameter: Parameter) -> Kind:
    """What a parameter's values are; texts where its choices are of several kinds."""
    if isinstance(parameter, IntParameter):
        return Kind.INTEGER
    if not isinstance(parameter, CategoricalParameter):
        return Kind.NUMBER
    types = {type(choice) for choice in parameter.choices}
    if types == {bool}:
        return Kind.BOOLEAN
    if types == {int}:
        return Kind.INTEGER
    return Kind.NUMBER if types <= {int, float} else Kind.TEXT


def _rows(
    definition: StudyDefinition,
    metrics: Sequence[str],
    read: Callable[[int, str | None], Page[Trial]],
) -> Iterator[dict[str, Any]]:
    """One row a trial, in pages, not all at once."""
    token: str | None = None
    while True:
        page = read(_PAGE, token)
        for trial in page.items:
            yield _row(definition, metrics, trial)
        token = page.next_page_token
        if token is None:
            return


def _row(definition: StudyDefinition, metrics: Sequence[str], trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": trial.number,
        "id": trial.id,
        "state": trial.state.value,
        "source": trial.source.value,
    }
    row.update({f"params.{name}": trial.params.get(name) for name in definition.space.names})
    row.update({f"values.{name}": trial.values.get(name) for name in metrics})
    row.update(
        step=trial.step,
        attempts=trial.attempts,
        losses=trial.losses,
        failure_kind=trial.failure.kind.value if trial.failure else None,
        failure_message=trial.failure.message if trial.failure else None,
        note=trial.note or None,
        created_at=trial.created_at,
        started_at=trial.started_at,
        ended_at=trial.ended_at,
    )
    return row
