"""Wires a worker together and runs it. Light: no torch, no numpy; the trials are other
processes.
"""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunewell.client import Client
from tunewell.state_folder import state_folder

from .devices import NoSuchDevice
from .engines.base import Engine, NoEngine
from .engines.fused import OFF, FusedEngine, how_many
from .engines.local import LocalEngine
from .link import Link
from .log import Log
from .loop import WRONG_USAGE, Limits, Worker
from .offers import CannotOffer, Offers
from .peaks import Peaks
from .registration import Registration
from .spool_folder import NoStateFolder, SpoolFolder


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
    engine: str = "local",
    address: str | None = None,
    fuse: str = "auto",
) -> int:
    """Runs a worker until it is told to end.

    Args:
        url, token: the service and the right to use it; `TUNEWELL_URL`, `TUNEWELL_TOKEN`.
        name: of the worker; the host's name and a short id by default. The same name again takes
            the place of the worker that had it.
        slots: trials at once; by default one for each device.
        devices: "auto", "cpu", "gpu", or numbers of GPUs such as "0,1" (of this machine only).
        exit_when_idle: end when no study is open that this worker can serve.
        objectives: "module:name" of the user's own; plain names restrict the built-in ones.
        commands: NAME=FILE.toml of commands that are objectives.
        labels: words to find the worker by.
        outage_s: how long to train on without an answer from the service.
        state_dir: for reports that wait and the trials' outputs; `TUNEWELL_STATE_DIR`.
        json_lines: print JSON lines.
        engine: where trials run: "local", this machine, or "ray", a Ray cluster.
        address: of the cluster's head, host:port; the cluster that this machine belongs to by
            default.
        fuse: how many trials of an objective that can do so are trained as one in a slot: "auto",
            "off" or a number.

    Returns:
        Exit status: 0 fine, 2 wrong usage or refused, 3 the service could not be reached.
    """
    log = Log(json_lines=json_lines)
    state = state_folder(state_dir)
    try:
        offers = Offers(objectives, log, commands=commands)
        with contextlib.ExitStack() as undo:
            spools = SpoolFolder(state)
            undo.callback(spools.close)
            peaks = Peaks(state / "peaks.json", log)
            runs_on = _engine(engine, address, devices, slots, fuse, offers, peaks, log)
            undo.pop_all()
    except (NoSuchDevice, NoEngine, NoStateFolder, CannotOffer, OSError) as error:
        log("worker_cannot_start", detail=str(error))
        return WRONG_USAGE
    log("worker_plan", **runs_on.plan())
    link = Link(Client(url, token, retry_s=0), log)
    about = {
        "name": name or f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}",
        "boot_id": str(uuid.uuid4()),
        "labels": dict(labels or {}),
        "devices": [device.as_registered() for device in runs_on.devices],
        "slots": runs_on.n_slots,
    }
    worker = Worker(
        link,
        log,
        offers,
        Registration(link, log, offers, about),
        spools,
        engine=runs_on,
        state_dir=state,
        exit_when_idle=exit_when_idle,
        limits=Limits(outage_s=outage_s),
    )
    return worker.run()


def _engine(
    name: str,
    address: str | None,
    devices: str,
    slots: int | None,
    fuse: str,
    offers: Offers,
    peaks: Peaks,
    log: Log,
) -> Engine:
    """The engine of that name.

    Raises:
        NoEngine: there is none, its cluster cannot be reached, or it does not fuse trials.
        NoSuchDevice: a device that was asked for is not there.
    """
    if name == "ray":
        # Here and not above: without Ray installed a worker runs on its own machine.
        from .engines.ray import RayEngine

        if fuse not in ("auto", OFF):
            raise NoEngine("--fuse is for trials of this machine: leave it out with --engine ray")
        return RayEngine(address, devices, slots, folder=offers.own_folder, log=log)
    if name != "local":
        raise NoEngine(f"there is no engine {name!r}; there are local and ray")
    if address is not None:
        raise NoEngine("--address names a Ray cluster: it goes with --engine ray")
    local = LocalEngine(devices, slots, offers=offers, peaks=peaks, log=log)
    most = how_many(fuse, local.devices)
    if most == 1 or not offers.fusable:
        return local
    return FusedEngine(
        local,
        most,
        fusable=offers.fusable,
        offered=offers.names,
        folder=offers.own_folder,
        log=log,
    )
