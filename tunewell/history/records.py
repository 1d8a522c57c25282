"""What a file of trials holds, whichever kind it is: rows of named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import TunewellError


class BadHistory(TunewellError):
    """A file of trials cannot be read, or does not say what it has to."""

    exit_status = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trial as a file has it.

    Attributes:
        place: where it stands, for people: "line 7", "trial 12".
        columns: values by column; absent and empty ones are left out.
        curve: reports as they came: step and value of the first metric.
    """

    place: str
    columns: Mapping[str, Any]
    curve: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All trials of a file.

    Attributes:
        name: the file, and the study in it.
        columns: names of all columns, in order.
        rows: the trials.
        space: parameters as a study's definition has them, where the file knows its space.
        directions: of the metrics, where the file knows them.
        notes: what a person should know of how it was read.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Row]
    space: Sequence[Mapping[str, Any]] | None = None
    directions: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)
