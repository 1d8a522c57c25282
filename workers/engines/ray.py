"""Runs trials on a Ray cluster: an actor for each, on whichever node Ray chooses, holds the trial's
process there. The only module that knows Ray.

Ray retries nothing: a trial whose node is lost fails, and the service decides what comes next.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..devices import Device, NoSuchDevice, plan
from ..jobs import Job
from ..log import Log
from ..runner import Outcome
from ..session import Child
from .base import NoEngine, Place, Wanted
from .relay import Lost, RelayedChild

# Before the import: what Ray reads there it reads then. The worker calls no third party.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
except ImportError as error:
    raise NoEngine("the engine ray needs Ray: pip install 'tunewell[worker,ray]'") from error

AUTO = "auto"
REACH_S = 5.0
"""How long the cluster's head may take to accept a connection."""
MOST_SLOTS = 256
"""Trials at once at most, and devices registered."""


class RayEngine:
    """Trials on a cluster that stands already; this machine has to be one of its nodes.

    To be made in the main thread, before signal handlers are set: Ray sets its own.

    Args:
        address: of the head, host:port; None: of the cluster that this machine belongs to.
        wanted_devices: "auto" (what the nodes have now), "cpu", or "gpu" (also where nodes with
            GPUs are yet to come).
        n_slots: trials at once, those that wait for a place in Ray's queue among them; None: as
            many as there are devices now.
        folder: the user's, sent to the nodes; None where they need none.
        log: told where trials run.

    Raises:
        NoEngine: the cluster cannot be reached.
        NoSuchDevice: the devices are not for us to choose.
    """

    def __init__(
        self,
        address: str | None,
        wanted_devices: str,
        n_slots: int | None,
        *,
        folder: str | None,
        log: Log,
    ) -> None:
        self._log = log
        _connect(address or AUTO, folder)
        try:
            self.devices: Sequence[Device] = devices_of(
                wanted_devices, n_slots, ray.cluster_resources()
            )
        except NoSuchDevice:
            self.close()
            raise
        self.n_slots = n_slots or len(self.devices)
        self._actor = _actor_class()

    def plan(self) -> Mapping[str, Any]:
        """What the slots run on, for the worker's first line."""
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())
        return {"slots": plan(self.devices, self.n_slots), "engine": "ray", "nodes": nodes}

    def ask(self, n_free: int) -> Mapping[str, Any]:
        """A trial for each slot: those for which there is no room wait in Ray's queue."""
        return {"max_leases": n_free}

    def free(self) -> None:
        """Ray's to know."""

    def hold(self, wanted: Wanted, *, may_wait: bool) -> bool:
        """Ray keeps the room."""
        return True

    def place_ahead(self, wanted: Wanted) -> None:
        """Not known before the trial is held."""

    def place(self, wanted: Wanted) -> Place:
        """A place in Ray's queue; which node it becomes is Ray's to say."""
        cpus, gpus = needs_of(wanted.resources)

        def start(job: Job) -> Child:
            with _told_as_lost():
                handle = self._actor.options(num_cpus=cpus, num_gpus=gpus).remote()
            return RelayedChild(_Actor(handle), job, self._said_for(wanted.trial_id))

        # Ray's own variable for the actor says which GPUs are the trial's.
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if gpus == 0 else {}
        device = "cpu" if gpus == 0 else "cuda:0"
        return Place(device=device, environment=hidden, start=start, n_cores=max(1, int(cpus)))

    def _said_for(self, trial_id: str) -> Callable[[str], None]:
        return lambda node: self._log("trial_placed", trial_id=trial_id, node=node)

    def note(self, lease_id: str, pid: int) -> None:
        """Nothing: the process is on another machine."""

    def cores(self) -> Mapping[str, int]:
        """Lends none: what is idle is Ray's to give."""
        return {}

    def end(self, lease_id: str, outcome: Outcome | None = None) -> None:
        """Nothing: Ray sees that it is over."""

    def close(self) -> None:
        """Leaves the cluster, which ends what still runs for us there."""
        ray.shutdown()


def needs_of(resources: Mapping[str, Any]) -> tuple[float, float]:
    """Ray's CPUs and GPUs for one trial. Above one Ray takes whole ones only; a trial that needs
    GPU memory and names no share needs a GPU.
    """
    cpus, gpus = float(resources.get("cpu", 1.0)), float(resources.get("gpu", 0.0))
    if gpus == 0 and resources.get("gpu_memory_bytes", 0) > 0:
        gpus = 1.0
    return _whole(cpus), _whole(gpus)


def _whole(count: float) -> float:
    return math.ceil(count) if count > 1 else count


def _connect(address: str, folder: str | None) -> None:
    if "://" in address:
        raise NoEngine(
            f"--address {address}: it takes host:port of the cluster's head, and the worker runs "
            "on one of its nodes (ray start --address=...)"
        )
    if address != AUTO:
        _check_reachable(address)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=None if folder is None else {"working_dir": folder},
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise NoEngine(f"no Ray cluster is to be had at {address}: {error}") from error


def _check_reachable(address: str) -> None:
    """Looks for the head first: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise NoEngine(f"--address is host:port of the cluster's head, not {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise NoEngine(f"there is no Ray cluster at {address}: {error}") from error


def devices_of(wanted: str, n_slots: int | None, resources: Mapping[str, float]) -> list[Device]:
    """What the worker says it has: GPUs or cores of all nodes together. Their memory is not
    known: which node a trial gets is open.
    """
    n_gpus, n_cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    if wanted in ("gpu", "cuda"):
        n_gpus = max(n_gpus, n_slots or 1)
    elif wanted == "cpu":
        n_gpus = 0
    elif wanted not in ("auto", ""):
        raise NoSuchDevice("Ray chooses the devices: --devices auto, cpu or gpu")
    kind, count = ("gpu", n_gpus) if n_gpus else ("cpu", max(1, n_cores))
    return [Device(index=k, kind=kind, model="ray") for k in range(min(count, MOST_SLOTS))]


def _actor_class() -> Any:
    """The actor. Its class is made here so that it travels by value: on a node our package may go
    by another name.
    """

    class Trial:
        def __init__(self) -> None:
            from tunewell._parts import part

            self._remote = part("workers", "engines.remote").Remote()

        def call(self, method: str, *arguments: Any) -> Any:
            return getattr(self._remote, method)(*arguments)

    # Orders have a thread of their own: the other one waits for the process to say something.
    return ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"orders": 1})(Trial)


class _Actor:
    """A way to one actor."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def call(self, method: str, *arguments: Any) -> Any:
        with _told_as_lost():
            return ray.get(self._handle.call.remote(method, *arguments))

    def tell(self, method: str, *arguments: Any) -> None:
        with _told_as_lost():
            orders = self._handle.call.options(concurrency_group="orders")
            orders.remote(method, *arguments)

    def end(self) -> None:
        with _told_as_lost():
            ray.kill(self._handle)


@contextlib.contextmanager
def _told_as_lost() -> Iterator[None]:
    """Ray's errors as the relay knows them."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise Lost(f"the trial cannot run on its node: {error.cause}\n{error}") from error
    except ray.exceptions.RayActorError as error:
        raise Lost(f"the trial's node, or its process there, is lost: {error}") from error
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise Lost(f"the cluster cannot be reached: {error}") from error
