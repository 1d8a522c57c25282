"""Tells a step by what its transaction writes, so that no name inside the service matters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .plan import Step

Statement = tuple[str, Any]
"""The text of a statement and its parameters, as the driver gets them."""

_CLAIM = frozenset({Step.CLAIM_BEFORE, Step.CLAIM_AFTER})
_OUTCOMES = {
    "completed": Step.COMPLETE,
    "failed": Step.FAIL,
    "released": Step.RELEASE,
    "paused": Step.PAUSE,
    "expired": Step.SWEEP,
}

_TRIGGER = re.compile(r"CREATE TEMP TRIGGER .* ON (?P<view>\w+) BEGIN (?P<body>.*); END$")
_INTO_VIEW = re.compile(r"INSERT INTO (?P<view>\w+) VALUES")
_triggers: dict[str, list[str]] = {}


def steps_of(statements: Iterable[Statement]) -> frozenset[Step]:
    """The steps whose writes are among the statements of one transaction."""
    found: set[Step] = set()
    is_renewed = False
    for sql, parameters in (part for one in statements for part in parts(one)):
        if sql.startswith("INSERT INTO studies"):
            found.add(Step.CREATE)
        elif sql.startswith("INSERT INTO leases"):
            found |= _CLAIM
        elif sql.startswith("INSERT INTO measurements"):
            found.add(Step.REPORT)
        elif sql.startswith("INSERT INTO checkpoints"):
            found.add(Step.ANNOUNCE)
        elif sql.startswith("UPDATE checkpoints"):
            found |= {Step.COMMIT} if "committed" in values(parameters) else set()
        elif sql.startswith("UPDATE studies") and " state=" in sql.partition(" WHERE ")[0]:
            found |= {Step.STOP} if _stops(set(values(parameters))) else set()
        elif sql.startswith("UPDATE trials"):
            found |= {Step.PROMOTE} if "promotion" in values(parameters) else set()
        elif sql.startswith("UPDATE leases") and "renewed_at=" in sql:
            is_renewed = True
        elif sql.startswith("UPDATE leases"):
            found |= {_OUTCOMES[v] for v in values(parameters) if v in _OUTCOMES}
    return frozenset(found or ({Step.HEARTBEAT} if is_renewed else ()))


def note_trigger(text: str) -> None:
    """Keeps the writes of a trigger that is being made: later statements only name its view."""
    if found := _TRIGGER.match(" ".join(text.split())):
        _triggers[found["view"]] = found["body"].split("; ")


def parts(statement: Statement) -> Iterator[Statement]:
    """The writes of a statement. Those of a transition are one: on Postgres `WITH w0 AS ...`, on
    SQLite an insert into a view whose trigger does them.
    """
    text, parameters = statement
    sql = " ".join(text.split())
    if sql.startswith("WITH w0 AS ("):
        pieces = re.split(r"\bw(\d+) AS \(", sql)[1:]
        for number, part in zip(pieces[::2], pieces[1::2], strict=True):
            yield part, {k: v for k, v in parameters.items() if k.startswith(f"w{number}_")}
    elif (found := _INTO_VIEW.match(sql)) and found["view"] in _triggers:
        for part in _triggers[found["view"]]:
            yield part, [parameters[int(place)] for place in re.findall(r"\bNEW\.p(\d+)", part)]
    else:
        yield sql, parameters


def _stops(written: set[Any]) -> bool:
    """Whether a user's stop is among the values written to a study. With no trial running it goes
    to the end at once, in the same statement.
    """
    return "stopping" in written or {"completed", "user"} <= written


def finds_expired(statements: Iterable[Statement]) -> bool:
    """Whether a read looked for leases whose time is up."""
    return any("leases.expires_at <" in " ".join(text.split()) for text, _ in statements)


def values(parameters: Any) -> Iterator[Any]:
    """Every plain value among a statement's parameters, also of many rows."""
    if isinstance(parameters, Mapping):
        parameters = list(parameters.values())
    if isinstance(parameters, list | tuple):
        for one in parameters:
            yield from values(one)
    elif isinstance(parameters, str):
        yield str(parameters)
