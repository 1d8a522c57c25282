"""Wires a worker together and runs it. Light: no torch, no numpy; the trials are other
processes.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunewell.client import Client

from . import devices as device_inventory
from .devices import NoSuchDevice
from .link import Link
from .log import Log
from .loop import WRONG_USAGE, Limits, Worker
from .nurseries import trial_environment
from .offers import CannotOffer, Offers
from .registration import Registration
from .spool import NoStateFolder, SpoolFolder


def run(
    *,
    url: str | None = None,
    token: str | None = None,
    name: str | None = None,
    slots: int | None = None,
    devices: str = "auto",
    exit_when_idle: bool = False,
    objectives: Sequence[str] = (),
    commands: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    outage_s: float = 3600.0,
    state_dir: str | Path | None = None,
    json_lines: bool = False,
) -> int:
    """Runs a worker until it is told to end.

    Args:
        url, token: the service and the right to use it; `TUNEWELL_URL`, `TUNEWELL_TOKEN`.
        name: of the worker; the host's name and a short id by default. The same name again takes
            the place of the worker that had it.
        slots: trials at once; by default one for each device.
        devices: "auto", "cpu", "gpu", or numbers of GPUs such as "0,1".
        exit_when_idle: end when no study is open that this worker can serve.
        objectives: "module:name" of the user's own; plain names restrict the built-in ones.
        commands: NAME=FILE.toml of commands that are objectives.
        labels: words to find the worker by.
        outage_s: how long to train on without an answer from the service.
        state_dir: for reports that wait and the trials' outputs; `TUNEWELL_STATE_DIR`.
        json_lines: print JSON lines.

    Returns:
        Exit status: 0 fine, 2 wrong usage or refused, 3 the service could not be reached.
    """
    log = Log(json_lines=json_lines)
    state = Path(state_dir or os.environ.get("TUNEWELL_STATE_DIR") or default_state_dir())
    try:
        found = device_inventory.find(devices)
        offers = Offers(objectives, log, commands=commands)
        spools = SpoolFolder(state)
    except (NoSuchDevice, CannotOffer, NoStateFolder, OSError) as error:
        log("worker_cannot_start", detail=str(error))
        return WRONG_USAGE
    n_slots = slots or len(found)
    threads = int(trial_environment(n_slots)["OMP_NUM_THREADS"])
    log("worker_plan", slots=device_inventory.plan(found, n_slots), threads_each=threads)
    link = Link(Client(url, token, retries=0))
    about = {
        "name": name or f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}",
        "boot_id": str(uuid.uuid4()),
        "labels": dict(labels or {}),
        "devices": [device.as_registered() for device in found],
        "slots": n_slots,
    }
    worker = Worker(
        link,
        log,
        offers,
        Registration(link, log, offers, about),
        spools,
        found=found,
        n_slots=n_slots,
        state_dir=state,
        exit_when_idle=exit_when_idle,
        limits=Limits(outage_s=outage_s),
    )
    return worker.run()


def default_state_dir() -> Path:
    """The user's state folder."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tunewell"
