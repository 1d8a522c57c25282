"""Every setting of the service, read once at start: flags, or environment variables
`TUNEWELL_<NAME>`.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1024 * 1024
GIB = 1024 * MIB
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


SECRET_CHARS = 16
"""The shortest secret that signs webhooks."""


def _hosts(given: Iterable[str]) -> tuple[str, ...]:
    """Hosts as they are compared: lower case, without brackets."""
    return tuple(host for each in given if (host := each.strip().strip("[]").rstrip(".").lower()))


class Settings(BaseSettings):
    """The service's settings. Durations in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="TUNEWELL_", frozen=True, extra="ignore", allow_inf_nan=False
    )

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
    claims_limit: int = Field(
        5000,
        ge=1,
        description="Claims and `:suggest` calls that one process holds at once, those that wait "
        "for work too; one more is refused with 503 `storage-busy`.",
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
        description="How long after its end a study's events are kept; those of its trials' states "
        "and rungs stay.",
    )
    keep_measurement_events_s: float = Field(
        7 * DAY_S, ge=60.0, description="How long `trial.measurement` events are kept."
    )
    keep_measurements_s: float | None = Field(
        None,
        ge=60.0,
        description="How long after its end a study's measurements are kept; none: as the study.",
    )
    keep_logs_s: float = Field(
        30 * DAY_S, ge=60.0, description="How long what a trial's process printed is kept."
    )
    keep_audit_s: float = Field(365 * DAY_S, ge=60.0, description="How long the audit is kept.")
    keep_deliveries_s: float = Field(
        30 * DAY_S, ge=60.0, description="How long webhook deliveries that are over are kept."
    )
    body_limit_bytes: int = Field(8 * MIB, ge=1024, description="Largest request body.")
    body_timeout_s: float = Field(
        60.0, gt=0.0, description="How long a request's body may take to come in."
    )
    head_timeout_s: float = Field(
        10.0, gt=0.0, description="How long the first line and the headers of a request may take."
    )
    idle_timeout_s: float = Field(
        30.0, gt=0.0, description="How long a connection may be silent between two requests."
    )
    rate_limit_per_s: float = Field(
        1000.0, ge=0.0, description="Calls a second that one token may make for ever; 0: no limit."
    )
    rate_limit_burst: int = Field(2000, ge=1, description="Calls that one token may make at once.")
    session_s: int = Field(
        43_200, ge=60, le=30 * 86_400, description="How long a browser stays signed in."
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="Addresses and networks (`10.0.0.0/8`) of proxies, separated by commas, whose "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are believed; empty: none.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="From which level on the service writes its lines."
    )
    access_log: bool = Field(True, description="Whether each request is a line of the log.")
    grace_s: float = Field(
        5.0, ge=0.0, le=3600.0, description="How long open requests may take to end at a stop."
    )
    drain_s: float = Field(
        0.0,
        ge=0.0,
        le=3600.0,
        description="How long it still answers after SIGTERM, with `readyz` red; for a balancer.",
    )
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Hosts that webhooks may go to, separated by commas; none: no webhooks."
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Signs webhooks; 16 characters or more where hosts are listed."
    )
    checkpoint_dir: str | None = Field(
        None,
        description="Where checkpoints lie: a folder of this database's own, or `protocol://place` "
        "by fsspec, such as `s3://bucket/prefix`. On SQLite `<database>.checkpoints` by default.",
    )
    checkpoint_study_quota_bytes: int = Field(
        10 * GIB, ge=0, description="Largest size of a study's checkpoints together."
    )
    checkpoint_total_quota_bytes: int = Field(
        100 * GIB, ge=0, description="Largest size of all checkpoints together."
    )
    checkpoint_upload_age_s: float = Field(
        86_400.0, gt=0.0, description="Age at which an upload that was never committed is removed."
    )
    checkpoint_grace_s: float = Field(
        3_600.0, ge=0.0, description="How long the checkpoint of an ended trial is kept."
    )
    pool_size: int = Field(8, ge=2, le=100, description="Database connections and worker threads.")

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        return _hosts(given.split(",")) if isinstance(given, str) else given

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, given: str) -> str:
        for each in filter(None, map(str.strip, given.split(","))):
            try:
                each == "*" or ipaddress.ip_network(each)
            except ValueError as error:
                raise ValueError(f"{error}; names are not looked up") from error
        return given

    @model_validator(mode="after")
    def _check_secret(self) -> Settings:
        if self.webhook_hosts and len(self.webhook_secret.get_secret_value()) < SECRET_CHARS:
            raise ValueError(
                f"TUNEWELL_WEBHOOK_HOSTS needs a TUNEWELL_WEBHOOK_SECRET of {SECRET_CHARS} "
                "characters or more, which signs what is sent"
            )
        return self

    def n_suggest_processes(self) -> int:
        """How many fitting processes to run."""
        return self.suggest_processes or max(1, (os.cpu_count() or 1) // 2)

    def effective_heartbeat_s(self) -> float:
        """The heartbeat told to workers: never more than a quarter of the lease."""
        return min(self.heartbeat_s, self.lease_ttl_s / 4)

    def checkpoint_place(self) -> str | None:
        """Where checkpoints lie; None when nobody has said so and the database is no file."""
        if self.checkpoint_dir:
            return self.checkpoint_dir
        found = _SQLITE_FILE.match(self.database_url)
        return f"{found[1]}.checkpoints" if found else None

    def masked(self) -> dict[str, Any]:
        """The settings as they may be printed: passwords and secrets are hidden."""
        shown = self.model_dump()
        for name, value in shown.items():
            if name.endswith(_SECRET_ENDINGS):
                shown[name] = "***" if value else value
        shown["database_url"] = masked_url(self.database_url)
        return shown

    def __repr__(self) -> str:
        """As `masked`: a repr may end in a log."""
        return (
            f"Settings({', '.join(f'{name}={value!r}' for name, value in self.masked().items())})"
        )

    __str__ = __repr__


def misspelt(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names of the environment that are no setting but look like one, each with that one's."""
    prefix = "TUNEWELL_"
    known = [prefix + name.upper() for name in Settings.model_fields]
    for name in names:
        if name.startswith(prefix) and name not in known:
            for close in difflib.get_close_matches(name, known, 1, cutoff=0.9):
                yield name, close


_SQLITE_FILE = re.compile(r"sqlite(?:\+\w+)?:///([^?]+)")
_SECRET_ENDINGS = ("_secret", "_secrets", "_password", "_key", "_token")
_PASSWORD_PARAMETER = re.compile(r"(?i)\b((?:ssl)?password=)[^&]*")


def masked_url(url: str) -> str:
    """A database URL whose password, before the host or among the parameters, is hidden."""
    scheme, has_scheme, rest = url.partition("://")
    head, at, tail = rest.rpartition("@")
    if has_scheme and at and ":" in head:
        rest = f"{head.split(':', 1)[0]}:***@{tail}"
    return _PASSWORD_PARAMETER.sub(r"\1***", f"{scheme}{has_scheme}{rest}")
