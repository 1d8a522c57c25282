"""Every setting of the service, read once at start: flags, or environment variables
`TUNEWELL_<NAME>`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
DAY_S = 86_400.0


def data_home() -> Path:
    """The user's data folder for Tunewell: `$XDG_DATA_HOME/tunewell`, else
    `~/.local/share/tunewell`.
    """
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "tunewell"


def default_database_url() -> str:
    """An SQLite file in the user's data folder."""
    return f"sqlite:///{data_home() / 'tunewell.db'}"


class Settings(BaseSettings):
    """The service's settings. Durations in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="TUNEWELL_", frozen=True, extra="ignore")

    database_url: str = Field(
        default_factory=default_database_url,
        description="`sqlite:///path` or `postgresql://user:password@host/name`.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8700, ge=0, le=65535, description="Port; 0 picks a free one.")
    lease_ttl_s: float = Field(60.0, ge=1.0, description="How long a worker's lease lasts.")
    heartbeat_s: float = Field(15.0, gt=0.0, description="How often a worker should beat.")
    suggest_wait_s: float = Field(
        2.0, ge=0.0, description="How long a claim waits for a point of the model."
    )
    fit_limit_s: float = Field(30.0, gt=0.0, description="Time limit of one fit of a model.")
    suggest_processes: int = Field(
        0, ge=0, le=64, description="Fitting processes; 0: one for each two cores, at least one."
    )
    sweep_s: float = Field(0.5, gt=0.0, description="How often expired leases are looked for.")
    purge_s: float = Field(
        600.0, ge=1.0, description="How often what is kept no longer is removed."
    )
    keep_events_s: float = Field(
        30 * DAY_S,
        ge=60.0,
        description="How long after its end a study's events are kept; `trial.state` events stay.",
    )
    keep_measurement_events_s: float = Field(
        7 * DAY_S, ge=60.0, description="How long `trial.measurement` events are kept."
    )
    keep_measurements_s: float | None = Field(
        None,
        ge=60.0,
        description="How long after its end a study's measurements are kept; none: as the study.",
    )
    keep_audit_s: float = Field(365 * DAY_S, ge=60.0, description="How long the audit is kept.")
    keep_deliveries_s: float = Field(
        30 * DAY_S, ge=60.0, description="How long webhook deliveries that are over are kept."
    )
    body_limit_bytes: int = Field(8 * MIB, ge=1024, description="Largest request body.")
    pool_size: int = Field(8, ge=2, le=100, description="Database connections and worker threads.")

    def n_suggest_processes(self) -> int:
        """How many fitting processes to run."""
        return self.suggest_processes or max(1, (os.cpu_count() or 1) // 2)

    def effective_heartbeat_s(self) -> float:
        """The heartbeat told to workers: never more than a quarter of the lease."""
        return min(self.heartbeat_s, self.lease_ttl_s / 4)

    def masked(self) -> dict[str, Any]:
        """The settings as they may be printed: a password in the database URL is hidden."""
        shown = self.model_dump()
        head, at, tail = self.database_url.rpartition("@")
        if at and ":" in head.split("//", 1)[-1]:
            shown["database_url"] = f"{head.rsplit(':', 1)[0]}:***@{tail}"
        return shown
