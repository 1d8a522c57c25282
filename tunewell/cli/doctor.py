"""tunewell doctor: what is right and what is wrong, here and with the service."""

from __future__ import annotations

import sys
from dataclasses import asdict

import typer

from ..terminal import padded, painted
from .output import Json, TokenOption, Url, print_json
from .service import DatabaseUrl

_STYLES = {"ok": "green", "warn": "yellow", "FAIL": "red"}


def doctor(
    url: Url = None,
    token: TokenOption = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Look for what is wrong: versions, service, token, clock, devices, data sets, database.

    Ends with 0 when nothing fails, 1 when something does, 3 when no service can be reached.
    """
    from ..checkup import counted, findings, is_reachable

    found = []
    for finding in findings(url, token, database_url):
        found.append(finding)
        if json:
            print_json({"type": "check", **asdict(finding)})
            continue
        verdict = painted(padded(finding.verdict, 5), _STYLES[finding.verdict], sys.stdout)
        print(f"{verdict} {finding.text}", flush=True)
    status = 0 if all(each.verdict != "FAIL" for each in found) else 1
    status = status if is_reachable(found) else 3
    if json:
        counts = {v: sum(each.verdict == v for each in found) for v in _STYLES}
        print_json({"type": "result", "exit_status": status, **counts})
    else:
        print(counted(found))
    raise typer.Exit(status)
