"""Query parameters that list endpoints share, and how list filters are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, TypeVar

from fastapi import Query
from pydantic import AfterValidator

from ..errors import Fault, InvalidInput

MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE = 1000, 100
S = TypeVar("S", bound=StrEnum)

PageSize = Annotated[
    int,
    Query(
        ge=0,
        description=f"Items a page; more than {MAX_PAGE_SIZE} is taken as that, and 0 as "
        f"{DEFAULT_PAGE_SIZE}.",
    ),
    AfterValidator(lambda size: min(size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE),
]
PageToken = Annotated[
    str | None,
    Query(
        max_length=4000,
        description="The `next_page_token` of the page before, with the same filters; without it, "
        "or with an empty one, the first page.",
    ),
    AfterValidator(lambda token: token or None),
]


def read_states(states: type[S], given: Sequence[str]) -> tuple[S, ...]:
    """State filters, repeated or separated by commas.

    Raises:
        InvalidInput: naming the states that there are.
    """
    names = [name for part in given for name in part.split(",") if name]
    known = [state.value for state in states]
    for name in names:
        if name not in known:
            detail = f"{name[:60]!r} is no state; there are {', '.join(known)}"
            raise InvalidInput(
                detail, faults=[Fault(pointer="/state", code="unknown-value", detail=detail)]
            )
    return tuple(states(name) for name in dict.fromkeys(names))


def read_labels(given: Sequence[str]) -> Mapping[str, str]:
    """Label filters of the form `key=value`; all have to hold.

    Raises:
        InvalidInput: one has no `=`, or a key is given twice.
    """
    labels: dict[str, str] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key or key in labels:
            detail = "label filters are key=value, each key once"
            raise InvalidInput(
                detail, faults=[Fault(pointer="/label", code="label-filter", detail=detail)]
            )
        labels[key] = value
    return labels
