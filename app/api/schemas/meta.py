"""Answers about the service itself."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from .common import Wire


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
