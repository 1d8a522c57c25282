"""Answers of the analyses of a study."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from .common import Wire


class AnalysisOut(Wire):
    """Columns of a plot, and what they leave out. Further groups of columns and facts stand beside
    `columns`, as the kind has them.
    """

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="The kind of analysis.")
    change_seq: int = Field(description="The study's `change_seq` that it is made from.")
    n_total: int = Field(description="Trials of the study.")
    n_used: int = Field(description="Trials that the analysis is about.")
    n_shown: int = Field(description="Trials, or groups of failures, in the columns.")
    sampling: str = Field(
        description="How those shown were chosen: `all`, `cells`, `strata`, `last` or `largest`."
    )
    excluded: dict[str, int] = Field(description="Trials left out, by reason.")
    axes: list[dict[str, Any]] = Field(
        description="The parameters: `param`, `type`, `log`, and `low` and `high` or `choices`."
    )
    columns: dict[str, list[Any]] = Field(description="Lists of equal lengths, by name.")
    states: list[str] = Field(description="States by their number in a column `state`.")
