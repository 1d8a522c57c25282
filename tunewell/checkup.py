"""What `doctor` looks at: each check is one finding, of this machine or of the service."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import httpx

from ._parts import part
from ._version import __version__
from .connection import Connection
from .errors import Unreachable
from .lines import clean, duration, one_line, reason
from .private import data_folder

Verdict = Literal["ok", "warn", "FAIL"]

SKEW_LIMIT_S = 5.0
"""Clocks further apart than that are named."""
SOON_S = 3 * 86400.0
"""A token that ends within that is named."""
LIMIT_S = 5.0
"""How long the service has for an answer."""

now_s = time.time
"""This machine's clock, in Unix seconds."""

DOCS = {"no-cuda": "docs/how-to/gpus.md", "data": "docs/how-to/data.md"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        verdict: ok, warn or FAIL.
        text: one sentence.
        data: the same for programs.
    """

    check: str
    verdict: Verdict
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


def findings(url: str | None, token: str | None, database_url: str | None) -> Iterator[Finding]:
    """All findings, each as soon as it is there."""
    yield versions()
    with Probe(url, token, timeout_s=LIMIT_S, retry_s=0) as probe:
        yield from service(probe)
    yield from devices()
    yield from data_sets()
    yield from database(database_url)


class Probe(Connection):
    """A connection that shows answers as they come, whatever they say."""

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def ask(self, path: str) -> httpx.Response:
        """The answer to a GET.

        Raises:
            Unreachable: there is none.
        """
        try:
            return self._http.get(path)
        except httpx.RequestError as error:
            raise Unreachable(self.url, str(error) or type(error).__name__) from error


def versions() -> Finding:
    """Ours and Python's."""
    known = {"tunewell": __version__, "python": sys.version.split()[0]}
    text = f"tunewell {known['tunewell']}, Python {known['python']}"
    return Finding(check="versions", verdict="ok", text=text, data=known)


def service(probe: Probe) -> Iterator[Finding]:
    """Whether the service is there and ready, whose token this is, and whether the clocks agree."""
    try:
        began = now_s()
        answer = probe.ask("/healthz")
        ended = now_s()
        yield _answers(probe, round((ended - began) * 1000))
        yield _ready(probe)
        yield _token(probe)
        yield clock(answer.headers.get("Date"), began, ended)
    except Unreachable as error:
        text = (
            f"no service at {clean(error.url)} ({reason(error.reason)}); start one: tunewell serve"
        )
        data = {"url": error.url, "reachable": False}
        yield Finding(check="service", verdict="FAIL", text=text, data=data)


def _answers(probe: Probe, took_ms: int) -> Finding:
    answer = probe.ask("/v1/meta")
    found = _json(answer)
    data = {"url": probe.url, "reachable": True, "took_ms": took_ms, "version": None}
    if answer.status_code in (401, 403):
        text = f"service at {clean(probe.url)} answers in {took_ms} ms; its version needs a token"
        return Finding(check="service", verdict="ok", text=text, data=data)
    if answer.status_code != 200 or found.get("name") != "tunewell":
        text = f"{clean(probe.url)} answers, but is no Tunewell service"
        return Finding(check="service", verdict="FAIL", text=text, data=data)
    version, own = clean(str(found.get("version"))), __version__
    text = f"service {version} at {clean(probe.url)} answers in {took_ms} ms"
    is_near = _minor(version) == _minor(own)
    if not is_near:
        text += f"; this is {own}: install the same"
    verdict: Verdict = "ok" if is_near else "warn"
    return Finding(check="service", verdict=verdict, text=text, data={**data, "version": version})


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _ready(probe: Probe) -> Finding:
    answer = probe.ask("/readyz")
    found = _json(answer)
    data = {"ready": answer.status_code == 200, "schema_current": found.get("schema_current")}
    if answer.status_code == 200:
        text = "service is ready: its database answers, takes writes, and its schema is current"
        return Finding(check="ready", verdict="ok", text=text, data=data)
    text = f"service is not ready: {one_line(str(found.get('detail') or answer.status_code))}"
    return Finding(check="ready", verdict="FAIL", text=text, data=data)


def _token(probe: Probe) -> Finding:
    answer = probe.ask("/v1/session")
    found = _json(answer)
    if answer.status_code != 200:
        detail = one_line(str(found.get("detail") or answer.status_code))
        text = f"token: {detail}; give one with --token or TUNEWELL_TOKEN"
        return Finding(check="token", verdict="FAIL", text=text, data={"accepted": False})
    role, token_id = clean(str(found.get("role"))), found.get("token_id")
    ends_at = found.get("token_expires_at")
    data = {"accepted": True, "token_id": token_id, "role": role, "expires_at": ends_at}
    if token_id is None:
        text = f"token: none needed, everyone on this machine is {role}"
        return Finding(check="token", verdict="ok", text=text, data=data)
    left_s = _seconds_to(ends_at)
    until = "has no end" if left_s is None else f"ends in {duration(left_s)}"
    text = f"token tk_..{clean(str(token_id))[-2:]}: role {role}, {until}"
    is_soon = left_s is not None and left_s < SOON_S
    text += "; make another before: tunewell token create" if is_soon else ""
    return Finding(check="token", verdict="warn" if is_soon else "ok", text=text, data=data)


def _seconds_to(instant: Any) -> float | None:
    if not isinstance(instant, str):
        return None
    return (datetime.fromisoformat(instant) - datetime.now(UTC)).total_seconds()


def clock(date: str | None, began: float, ended: float) -> Finding:
    """Whether the service's clock is this machine's.

    Args:
        date: its answer's Date, in whole seconds.
        began, ended: when it was asked and when it answered, by this clock, in Unix seconds.
    """
    try:
        there = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        text = "the service does not say what time it is"
        return Finding(check="clock", verdict="ok", text=text, data={"ahead_s": None})
    # The service's clock was somewhere within that second when it answered.
    ahead_s = round((began + ended) / 2 - (there + 0.5), 1)
    data = {"ahead_s": ahead_s}
    if abs(ahead_s) <= SKEW_LIMIT_S:
        return Finding(check="clock", verdict="ok", text="clock agrees with the service", data=data)
    side = "ahead of" if ahead_s > 0 else "behind"
    text = f"clock {abs(ahead_s):.0f} s {side} the service: times in logs will look odd"
    return Finding(check="clock", verdict="warn", text=text, data=data)


def devices() -> Iterator[Finding]:
    """What a worker here could run on."""
    try:
        known = part("workers", "devices")
    except ModuleNotFoundError:
        text = "devices: no worker is installed here: pip install 'tunewell[worker]' for one"
        yield Finding(check="devices", verdict="ok", text=text, data={"installed": False})
        return
    gpus = known.gpus()
    if not gpus:
        yield _no_gpu(known)
        return
    trouble = known.torch_trouble()
    for gpu in gpus:
        size = f", {gpu.memory_total_bytes / 2**30:.0f} GiB" if gpu.memory_total_bytes else ""
        text = f"device {gpu.index}: {clean(gpu.model)}{size}"
        data = {"installed": True, **gpu.as_registered(), "cuda": not trouble}
        if trouble:
            text = f"device {gpu.index}: driver seen, {trouble} -> {DOCS['no-cuda']}"
        yield Finding(check="device", verdict="FAIL" if trouble else "ok", text=text, data=data)


def _no_gpu(known: ModuleType) -> Finding:
    cores = known.cores()
    data = {"installed": True, "kind": "cpu", "n_cores": len(cores)}
    if Path("/proc/driver/nvidia/version").exists():
        text = "devices: NVIDIA's driver is there, but no GPU can be used -> " + DOCS["no-cuda"]
        return Finding(check="devices", verdict="warn", text=text, data=data)
    text = f"devices: {len(cores)} CPU cores, no GPU"
    return Finding(check="devices", verdict="ok", text=text, data=data)


def data_sets() -> Iterator[Finding]:
    """Which data sets are at hand, with the right content."""
    try:
        known = part("workers", "objectives.data")
    except ModuleNotFoundError:
        return
    for data_set in (known.MNIST, known.MNIST_5K, known.CALIFORNIA):
        yield _data_set(known, data_set)


def _data_set(known: ModuleType, data_set: Any) -> Finding:
    name, data = data_set.name, {"dataset": data_set.name, "digest": data_set.digest}
    try:
        is_here = known.verify(data_set)
    except known.DataError as error:
        text = f"data: {name}: {clean(str(error))}"
        return Finding(check="data", verdict="FAIL", text=text, data={**data, "found": True})
    data["found"] = is_here
    text = f"data: {name} found, digest right"
    if not is_here:
        text = f"data: {name} is not here; trials that need it are not given here -> {DOCS['data']}"
    return Finding(check="data", verdict="ok", text=text, data=data)


def database(database_url: str | None) -> Iterator[Finding]:
    """Whether the database that a service here would use has the newest schema."""
    url = database_url or os.environ.get("TUNEWELL_DATABASE_URL")
    file = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", url or "")
    path = Path(file[1]) if file else None
    if url is None:
        path = data_folder() / "tunewell.db"
    if path is not None and not path.exists():
        if url is not None:
            text = f"database: {clean(str(path))} is not there yet; `tunewell serve` makes it"
            yield Finding(check="database", verdict="ok", text=text, data={"found": False})
        return
    try:
        schema, errors = part("app", "store.schema"), part("app", "errors")
    except ModuleNotFoundError:
        return
    began = time.monotonic()
    try:
        is_current = schema.is_current(url or f"sqlite:///{path}")
    except errors.AppError as error:
        text = f"database: {clean(str(error.detail))}"
        yield Finding(check="database", verdict="FAIL", text=text, data={"found": False})
        return
    data = {"found": True, "schema_current": is_current}
    if is_current:
        took_ms = (time.monotonic() - began) * 1000
        text = f"database here: schema current, looked at in {took_ms:.0f} ms"
        yield Finding(check="database", verdict="ok", text=text, data=data)
    else:
        text = "database here: a migration is due; `tunewell serve` or `tunewell migrate` does it"
        yield Finding(check="database", verdict="warn", text=text, data=data)


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    return found if isinstance(found, Mapping) else {}


def counted(found: list[Finding]) -> str:
    """Such as "4 ok, 1 warning, 1 failure"."""
    n = Counter(each.verdict for each in found)
    warnings = "warning" if n["warn"] == 1 else "warnings"
    failures = "failure" if n["FAIL"] == 1 else "failures"
    return f"{n['ok']} ok, {n['warn']} {warnings}, {n['FAIL']} {failures}"


def is_reachable(found: list[Finding]) -> bool:
    """Whether a service has answered."""
    return all(each.data.get("reachable", True) for each in found)
