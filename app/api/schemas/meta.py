"""Answers about the service itself."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from .common import Wire
from .workers import OfferOut


class HealthOut(Wire):
    """The process runs."""

    status: str = Field(description="`ok`.", examples=["ok"])


class ReadyOut(Wire):
    """Whether the service can serve."""

    ready: bool = Field(description="Whether requests can be sent here.")
    database: str = Field(description="`ok` when the database answers a read in time.")
    writer: str = Field(description="`ok` when the database takes a write in time.")
    draining: bool = Field(description="Whether the service is stopping.")
    schema_current: bool = Field(description="Whether every migration was applied.")


class OptionOut(Wire):
    """What an option may be."""

    type: str = Field(description="`int`, `float`, `bool` or `str`.")
    default: Any = Field(description="Used when it is left out; null: `help` says what then.")
    low: float | None = Field(description="Smallest value, or null.")
    high: float | None = Field(description="Largest value, or null.")
    is_low_open: bool = Field(description="Whether `low` itself is not allowed.")
    is_high_open: bool = Field(description="Whether `high` itself is not allowed.")
    choices: list[str] | None = Field(description="The words that it may be, or null.")
    help: str = Field(description="One sentence for people.")


class ChoiceOut(Wire):
    """A suggester or an early-stopping rule."""

    name: str = Field(description="Its name in a study definition.")
    summary: str = Field(description="One sentence for people.")
    options: dict[str, OptionOut] = Field(description="Its options by name.")


class OfferedObjective(OfferOut):
    """An objective that a study can name."""

    is_built_in: bool = Field(description="Whether it comes with the workers of this version.")
    is_offered: bool = Field(description="Whether a registered worker offers it.")


class CatalogOut(Wire):
    """What a study definition can name."""

    suggesters: list[ChoiceOut] = Field(description="The suggesters.")
    early_stopping: list[ChoiceOut] = Field(description="The early-stopping rules.")
    limits: dict[str, OptionOut] = Field(description="The limits, `no_progress` left out.")
    objectives: list[OfferedObjective] = Field(
        description="The objectives, by name; of several offers of a name the latest one."
    )


class MetaOut(Wire):
    """Versions, and what is compiled in."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="`tunewell`.")
    version: str = Field(description="The service's version.")
    api: str = Field(description="Version of this interface.")
    database: str = Field(description="`sqlite` or `postgresql`.")
    libraries: dict[str, str] = Field(description="Versions of libraries that decide results.")
    suggesters: list[str] = Field(description="Suggesters that a study can name.")
    early_stopping: list[str] = Field(description="Early-stopping rules that a study can name.")
    objectives: list[str] = Field(description="Objectives that come with the workers.")
    lease_ttl_s: float = Field(description="How long a worker's lease lasts unless renewed.")
    heartbeat_s: float = Field(description="How often a worker should beat.")
