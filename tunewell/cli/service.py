"""tunewell serve, migrate, demo, version."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from .._version import __version__
from .output import Json, TokenOption, Url, complain, connect, load, print_json, say

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="TUNEWELL_DATABASE_URL",
        help="sqlite:///path or postgresql://...; a file in your data folder by default.",
        show_default=False,
    ),
]


def _setting(name: str, text: str) -> Any:
    """An option of `serve` that is a setting: not given, the environment or the default holds."""
    return typer.Option(
        f"--{name}", envvar=f"TUNEWELL_{name.upper().replace('-', '_')}", help=text,
        show_default=False, metavar="NUMBER",
    )  # fmt: skip


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            envvar="TUNEWELL_HOST", help="Listen here; 127.0.0.1 by default.", show_default=False
        ),
    ] = None,
    port: Annotated[int | None, _setting("port", "8700 by default; 0 picks a free one.")] = None,
    database_url: DatabaseUrl = None,
    migrate: Annotated[
        bool,
        typer.Option("--migrate/--no-migrate", help="Bring the schema up to date, or refuse."),
    ] = True,
    lease_ttl_s: Annotated[
        float | None, _setting("lease-ttl-s", "Seconds that a worker's lease lasts; 60.")
    ] = None,
    heartbeat_s: Annotated[
        float | None, _setting("heartbeat-s", "Seconds between a worker's beats; 15.")
    ] = None,
    suggest_wait_s: Annotated[
        float | None, _setting("suggest-wait-s", "Seconds that a claim waits for the model; 2.")
    ] = None,
    fit_limit_s: Annotated[
        float | None, _setting("fit-limit-s", "Seconds that one fit of a model may take; 30.")
    ] = None,
    suggest_processes: Annotated[
        int | None, _setting("suggest-processes", "Fitting processes; 0: by the number of cores.")
    ] = None,
    pool_size: Annotated[
        int | None, _setting("pool-size", "Database connections and worker threads; 8.")
    ] = None,
    body_limit_bytes: Annotated[
        int | None, _setting("body-limit-bytes", "Largest request body; 8 MiB.")
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            envvar="TUNEWELL_LOG_LEVEL",
            help="DEBUG, INFO (the default), WARNING or ERROR.",
            show_default=False,
        ),
    ] = None,
    access_log: Annotated[
        bool | None,
        typer.Option(
            "--access-log/--no-access-log",
            envvar="TUNEWELL_ACCESS_LOG",
            help="A line of the log for each request; on by default.",
            show_default=False,
        ),
    ] = None,
    grace_s: Annotated[
        float | None, _setting("grace-s", "Seconds that open requests have at a stop; 5.")
    ] = None,
    drain_s: Annotated[
        float | None, _setting("drain-s", "Seconds to go on answering after SIGTERM; 0.")
    ] = None,
    webhook_hosts: Annotated[
        str | None,
        typer.Option(
            envvar="TUNEWELL_WEBHOOK_HOSTS",
            help="Hosts that webhooks may go to, separated by commas; none by default.",
            show_default=False,
        ),
    ] = None,
    purge_s: Annotated[
        float | None,
        _setting("purge-s", "Seconds between purges of what is kept no longer; 600."),
    ] = None,
    keep_events_s: Annotated[
        float | None, _setting("keep-events-s", "Keep events so long after a study's end; 30 days.")
    ] = None,
    keep_measurement_events_s: Annotated[
        float | None,
        _setting("keep-measurement-events-s", "Keep events of measurements so long; 7 days."),
    ] = None,
    keep_measurements_s: Annotated[
        float | None,
        _setting("keep-measurements-s", "Keep measurements so long after a study's end; for good."),
    ] = None,
    keep_logs_s: Annotated[
        float | None, _setting("keep-logs-s", "Keep what trials print so long; 30 days.")
    ] = None,
    keep_audit_s: Annotated[
        float | None, _setting("keep-audit-s", "Keep the audit so long; 365 days.")
    ] = None,
    keep_deliveries_s: Annotated[
        float | None, _setting("keep-deliveries-s", "Keep webhook deliveries so long; 30 days.")
    ] = None,
    json: Json = False,
) -> None:
    """Run the service. Prints one line with `ready` and its address once it listens."""
    run = load("app", "main", extra="server").serve
    status = _with_settings(
        run,
        host=host,
        port=port,
        database_url=database_url,
        migrate=migrate,
        json_lines=json,
        lease_ttl_s=lease_ttl_s,
        heartbeat_s=heartbeat_s,
        suggest_wait_s=suggest_wait_s,
        fit_limit_s=fit_limit_s,
        suggest_processes=suggest_processes,
        pool_size=pool_size,
        body_limit_bytes=body_limit_bytes,
        log_level=log_level,
        access_log=access_log,
        grace_s=grace_s,
        drain_s=drain_s,
        webhook_hosts=webhook_hosts,
        purge_s=purge_s,
        keep_events_s=keep_events_s,
        keep_measurement_events_s=keep_measurement_events_s,
        keep_measurements_s=keep_measurements_s,
        keep_logs_s=keep_logs_s,
        keep_audit_s=keep_audit_s,
        keep_deliveries_s=keep_deliveries_s,
    )
    raise typer.Exit(status)


def migrate(
    database_url: DatabaseUrl = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether one is due.")] = False,
    json: Json = False,
) -> None:
    """Bring the database's schema up to date."""
    run = load("app", "offline", extra="server").migrate
    raise typer.Exit(_with_settings(run, database_url, check=check, json_lines=json))


def _with_settings(run: Callable[..., int], *args: Any, **given: Any) -> int:
    """Calls what reads the settings; says which one is wrong."""
    from pydantic import ValidationError

    try:
        return run(*args, **given)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            name = "_".join(str(part) for part in fault["loc"])
            where = f"TUNEWELL_{name.upper()} or its option: " if name else ""
            said = fault["msg"]
            if fault["type"] == "value_error":
                said = said.removeprefix("Value error, ")
            else:
                said = said[:1].lower() + said[1:]
            complain(f"error: {where}{said}")
        return 2


def demo(
    dataset: Annotated[
        str, typer.Option(help="auto, mnist, or mnist-5k: the shipped subset.")
    ] = "auto",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each trial.")] = 3,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each study.")] = 10,
    keep: Annotated[
        bool | None,
        typer.Option(
            "--serve/--no-serve",
            help="Go on serving afterwards; by default on a terminal only.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Tune a small network on MNIST three times: by random search, by GP and by TPE."""
    if dataset not in ("auto", "mnist", "mnist-5k"):
        raise typer.BadParameter(f"a data set is auto, mnist or mnist-5k, not {dataset!r}")
    from ..demo import run_demo

    status = run_demo(
        as_json=json,
        keep_serving=keep,
        options={"dataset": dataset, "epochs": epochs},
        trials=trials,
    )
    raise typer.Exit(status)


def version(
    service: Annotated[
        bool, typer.Option("--service", help="Ask the service for its versions too.")
    ] = False,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Print the version."""
    found: dict[str, Any] = {"version": __version__}
    found["python"] = sys.version.split()[0]
    if service:
        with connect(url, token) as client:
            found["service"] = client.request("GET", "/v1/meta")
    if json:
        print_json(found)
        return
    print(found["version"])
    if service:
        say(f"the service has version {found['service'].get('version')}")
