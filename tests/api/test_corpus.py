"""Hostile bodies of studies, points and reports: each gets the documented answer, in time, and a
refusal writes nothing.

One line of `corpus/*.jsonl` is one body: as `text`, as `base64`, or as `repeat`, a list of pieces
and how often each stands. `pointer` is one of those that the problem document has to name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from sqlalchemy import Row, func, select

from app.store.engine import Store
from app.store.opening import open_store
from app.store.tables import metadata

from .conftest import ask, create
from .problems import is_problem

pytestmark = pytest.mark.anyio

CORPUS = Path(__file__).parent / "corpus"
SECONDS_EACH = 5.0
"""Far more than any takes alone: the machine may be busy."""

SHOWN_BYTES = 300_000
"""No refusal is longer: what was sent is cut, and the faults are counted."""

SPACE: list[dict[str, Any]] = [
    {"name": "x", "type": "float", "low": 0, "high": 1},
    {"name": "n", "type": "int", "low": 1, "high": 9, "step": 2},
    {"name": "l", "type": "float", "low": 0.001, "high": 1, "log": True},
    {"name": "s", "type": "float", "low": 0, "high": 1, "step": 0.25},
    {"name": "c", "type": "categorical", "choices": ["a", "b", 1, True]},
    {"name": "y", "type": "float", "low": 0, "high": 1, "when": {"param": "c", "in": ["a"]}},
]
METRICS = [{"name": name, "direction": "minimize"} for name in ("value", "a/b")]


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    """Each database: they refuse different things by themselves."""
    opened = open_store(migrated_url, pool_size=4)
    yield opened
    opened.close()


def bodies(kind: str) -> Iterator[dict[str, Any]]:
    """The lines of one file."""
    for line in (CORPUS / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def raw(line: dict[str, Any], names: dict[str, str]) -> bytes:
    """The body's bytes, ids that only the test knows put in."""
    if "base64" in line:
        return base64.b64decode(line["base64"])
    text = line.get("text") or "".join(piece * n for piece, n in line.get("repeat", ()))
    for name, known in names.items():
        text = text.replace(name, known)
    return text.encode()


COUNTS = select(
    *(
        select(func.count()).select_from(table).scalar_subquery().label(table.name)
        for table in metadata.sorted_tables
    )
)


def counts(store: Store) -> Row[Any]:
    """How many rows each table has."""
    return store.read(lambda conn: conn.execute(COUNTS).one())


class Target:
    """Where one kind of body goes, and whether what came back is right."""

    def __init__(
        self, http: httpx.AsyncClient, store: Store, path: str, names: dict[str, str]
    ) -> None:
        self._http = http
        self._store = store
        self._path = path
        self._names = names

    async def send(self, line: dict[str, Any]) -> None:
        """Sends one body and holds its answer against what its line says."""
        before, begun = counts(self._store), monotonic()
        answer = await self._http.post(
            self._path,
            content=raw(line, self._names),
            headers={"Content-Type": "application/json"},
        )
        took = monotonic() - begun
        assert took < SECONDS_EACH, (line["name"], took)
        assert answer.status_code == line["status"], (line["name"], answer.text[:2_000])
        if line["status"] >= 400:
            problem = is_problem(answer, line["status"], line["code"])
            assert len(answer.content) < SHOWN_BYTES, line["name"]
            found = [fault["pointer"] for fault in problem.get("errors", ())]
            if "pointer" in line:
                assert line["pointer"] in found, (line["name"], problem)
            for fault in problem.get("errors", ()):
                assert fault["code"], line["name"]
                assert 0 < len(fault["detail"]) < 1_000, (line["name"], fault["detail"])
            assert counts(self._store) == before, line["name"]


async def hold_all(target: Target, kind: str) -> None:
    """Sends every body of a file; names all that were answered wrongly."""
    wrong = []
    for line in bodies(kind):
        try:
            await target.send(line)
        except AssertionError as error:
            wrong.append(f"{line['name']}: {str(error)[:1_500]}")
    assert not wrong, f"{len(wrong)} wrong\n" + "\n".join(wrong)


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    n_lines = 0
    for kind in ("studies", "points", "reports"):
        names = [line["name"] for line in bodies(kind)]
        assert len(set(names)) == len(names)
        n_lines += len(names)
    assert n_lines >= 600


async def test_hostile_studies(http: httpx.AsyncClient, store: Store) -> None:
    await hold_all(Target(http, store, "/v1/studies", {}), "studies")


async def test_hostile_points(http: httpx.AsyncClient, store: Store) -> None:
    study = await create(http, "points", space=SPACE, metrics=METRICS, limits={"max_trials": 50})
    await hold_all(Target(http, store, f"/v1/studies/{study['id']}/trials", {}), "points")


async def test_hostile_reports(http: httpx.AsyncClient, store: Store) -> None:
    study = await create(http, "reports", space=SPACE, metrics=METRICS)
    other, stale = await ask(http, study["id"]), await ask(http, study["id"])
    await http.post(f"/v1/leases/{stale['lease_id']}:release", json={})
    trial = await ask(http, study["id"])
    names = {
        "$LEASE": trial["lease_id"],
        "$OTHER": other["lease_id"],
        "$STALE": stale["lease_id"],
    }
    assert trial["id"] == stale["id"]
    await hold_all(Target(http, store, f"/v1/trials/{trial['id']}/measurements", names), "reports")
