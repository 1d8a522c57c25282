"""tunewell worker: run, list, drain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import NotFound
from ..lines import ago, cell
from ..tables import Both
from .app import App
from .arguments import WorkerName
from .output import Column, Json, TokenOption, Url, connect, load, print_json, print_table, say

if TYPE_CHECKING:
    from ..models import Worker

app = App("Workers: run one here, look at all, drain.")


COLUMNS = (
    Column(name="name", is_name=True),
    Column(name="state", is_name=True, is_state=True),
    Column(name="running", is_number=True),
    Column(name="objectives", is_name=True, rank=4),
    Column(name="seen"),
    Column(name="id", rank=9),
    Column(name="devices", is_name=True, rank=6),
)
_HEADS = {"running": "run"}


class Engine(StrEnum):
    """Where a worker's trials run."""

    LOCAL = "local"
    RAY = "ray"


@app.command()
def run(
    url: Url = None,
    token: TokenOption = None,
    slots: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="Trials at once; one for each device by default.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        str, typer.Option(help="auto, cpu, gpu, or numbers of GPUs such as 0,1.")
    ] = "auto",
    engine: Annotated[
        Engine, typer.Option(help="Where trials run: on this machine, or on a Ray cluster.")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --engine ray: the cluster's head; by default the cluster that this machine "
            "belongs to.",
            show_default=False,
        ),
    ] = None,
    fuse: Annotated[
        str,
        typer.Option(
            metavar="auto|off|K",
            help="Trials that are trained as one in a slot, of objectives that can do that: auto "
            "is 32 on a GPU and off on a CPU.",
        ),
    ] = "auto",
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End when no study is left to serve.")
    ] = False,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="An objective of your own, as module:name; a plain name restricts the built-in "
            "ones. May be repeated."
        ),
    ] = None,
    command_objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="A command that is an objective, as name=spec.toml. May be repeated.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="The worker's name; the same again takes over.", show_default=False),
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option(help="A label, as k=v. May be repeated.")
    ] = None,
    outage_s: Annotated[
        float, typer.Option(min=0, help="Seconds to train on while the service is away.")
    ] = 3600.0,
    state_dir: Annotated[
        str | None,
        typer.Option(
            envvar="TUNEWELL_STATE_DIR",
            help="Folder for reports that wait and for logs.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Run a worker here.

    It claims trials and runs each in a process of its own, here or on the nodes of a cluster.
    """
    status = load("workers", "main", extra="worker").run(
        url=url,
        token=token,
        name=name,
        slots=slots,
        devices=devices,
        engine=engine,
        address=address,
        fuse=fuse,
        exit_when_idle=exit_when_idle,
        objectives=list(objective or ()),
        commands=list(command_objective or ()),
        labels=_labels(labels or ()),
        outage_s=outage_s,
        state_dir=state_dir,
        json_lines=json,
    )
    raise typer.Exit(status)


def _labels(given: Sequence[str]) -> dict[str, str]:
    labels = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"a label is k=v, not {text!r}")
        labels[key] = value
    return labels


@app.command("list")
def list_workers(url: Url = None, token: TokenOption = None, json: Json = False) -> None:
    """List workers."""
    with connect(url, token) as client:
        found = list(client.list_workers())
    if json:
        print_json({"workers": found})
        return
    rows = [_row(each) for each in found]
    print_table(COLUMNS, rows, empty="No worker. Start one: tunewell worker run", shown=_HEADS)


def _row(raw: Mapping[str, Any]) -> tuple[Any, ...]:
    from ..models import Worker, read

    worker = read(Worker, raw)
    return (
        worker.name,
        _state(worker, raw),
        f"{len(worker.leases)}/{worker.slots}",
        ", ".join(offer.name for offer in worker.objectives),
        Both(people=ago(worker.last_seen_at), data=worker.last_seen_at),
        worker.id,
        _devices(raw.get("devices") or ()),
    )


def _devices(devices: Sequence[Mapping[str, Any]]) -> str:
    """Such as "2 x NVIDIA H200, 8 x cpu"."""
    names = [str(d.get("model") if d.get("kind") == "gpu" else d.get("kind")) for d in devices]
    return ", ".join(f"{n} x {name}" for name, n in Counter(names).items()) or "-"


_SILENT_BEATS = 3


def _state(worker: Worker, raw: Mapping[str, Any]) -> str:
    """Whether it takes trials; silent once beats are missing for longer than its leases last."""
    beat_s, lease_s = raw.get("heartbeat_s"), raw.get("lease_ttl_s")
    if beat_s and lease_s:
        quiet = datetime.now(UTC) - worker.last_seen_at
        if quiet.total_seconds() > max(_SILENT_BEATS * beat_s, lease_s):
            return "silent"
    if not worker.draining:
        return "taking trials"
    return f"draining: {worker.drain_reason}" if worker.drain_reason else "draining"


@app.command()
def drain(
    worker: WorkerName,
    undo: Annotated[bool, typer.Option("--undo", help="Have it take trials again.")] = False,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Have a worker take no more trials; those it runs go on."""
    with connect(url, token) as client:
        known = list(client.list_workers())
        named = [w for w in known if worker in (w["id"], w["name"])]
        if not named:
            near = get_close_matches(worker, [str(w["name"]) for w in known], n=1)
            meant = f", did you mean {near[0]!r}?" if near else ""
            detail = f"there is no worker {worker!r}{meant}"
            raise NotFound(404, {"code": "not-found", "detail": detail})
        changed = client.drain_worker(named[0]["id"], draining=not undo)
    if json:
        print_json(changed)
        return
    print(f"{cell(changed['name'])}  {'draining' if changed['draining'] else 'taking trials'}")
    if changed["draining"]:
        say(f"take that back with `tunewell worker drain {changed['id']} --undo`")
