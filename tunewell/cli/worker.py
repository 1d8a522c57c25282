"""tunewell worker: run, list, drain."""

from __future__ import annotations

from typing import Annotated

import typer

from .._parts import part
from .output import Json, TokenOption, Url, ago, connect, print_json, print_table, say

app = typer.Typer(no_args_is_help=True, help="Workers: run one here, look at all, drain.")


@app.command()
def run(
    url: Url = None,
    token: TokenOption = None,
    slots: Annotated[int, typer.Option(min=1, max=256, help="Trials at once.")] = 1,
    devices: Annotated[str, typer.Option(help="auto, cpu, or GPU indices such as 0,1.")] = "auto",
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End when no study is left to serve.")
    ] = False,
    objective: Annotated[
        list[str] | None, typer.Option(help="An objective of your own, as module:name.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The worker's name.", show_default=False)] = None,
    labels: Annotated[list[str] | None, typer.Option(help="A label, as k=v.")] = None,
    outage_s: Annotated[
        float, typer.Option(min=0, help="How long to train on while the service is away.")
    ] = 3600.0,
    state_dir: Annotated[
        str | None,
        typer.Option(envvar="TUNEWELL_STATE_DIR", help="For spools and logs.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Run a worker here: it claims trials and runs each in a process of its own."""
    status = part("workers", "main").run(
        url=url,
        token=token,
        name=name,
        slots=slots,
        devices=devices,
        exit_when_idle=exit_when_idle,
        objectives=list(objective or ()),
        labels=_labels(labels or ()),
        outage_s=outage_s,
        state_dir=state_dir,
        json_lines=json,
    )
    raise typer.Exit(status)


def _labels(given: list[str] | tuple[str, ...]) -> dict[str, str]:
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
        workers = list(client.list_workers())
    if json:
        print_json({"workers": workers})
        return
    rows = [
        (
            w["name"],
            "draining" if w["draining"] else "taking trials",
            w["slots"],
            ", ".join(o["name"] for o in w["objectives"]),
            ago(w["last_seen_at"]),
            w["id"],
        )
        for w in workers
    ]
    columns = ("name", "state", "slots", "objectives", "seen", "id")
    print_table(columns, rows, empty="No worker yet. Start one: tunewell worker run")


@app.command()
def drain(
    worker: Annotated[str, typer.Argument(help="The worker's id or name.")],
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Have a worker take no more trials; those it runs go on."""
    with connect(url, token) as client:
        for found in client.list_workers():
            if worker in (found["id"], found["name"]):
                changed = client.drain_worker(found["id"])
                if json:
                    print_json(changed)
                else:
                    print(f"{found['name']}  draining")
                return
    say(f"tunewell: there is no worker {worker}")
    raise typer.Exit(1)
