"""`tunewell backup` beside a service at work, and a study that goes on from the restored one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres

from .running import Service, function_study, ran, workers

TRIALS = 12


@pytest.fixture
def other_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of the other kind."""
    if dialect == "postgresql":
        yield f"sqlite:///{tmp_path / 'other.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database(is_migrated=False) as url:
        yield url


CONTENT = bytes(range(256)) * 100


def saved_by_hand(service: Service) -> str:
    """The id of a checkpoint that a trial of a client has committed."""
    study = service.call("POST", "/v1/studies", function_study("by hand", objective=None))
    asked = service.call("POST", f"/v1/studies/{study['id']}:suggest", {"lease_s": 600})
    [trial] = asked["trials"]
    lease, digest = {"lease_id": trial["lease_id"]}, hashlib.sha256(CONTENT).hexdigest()
    announced = {**lease, "step": 1, "size_bytes": len(CONTENT), "sha256": digest}
    made = service.call("POST", f"/v1/trials/{trial['id']}/checkpoints", announced)
    path = f"/v1/checkpoints/{made['id']}"
    headers = {"Content-Type": "application/octet-stream"}
    sent = service.http.put(f"{service.url}{path}/content", content=CONTENT, headers=headers)
    assert sent.is_success, sent.text
    service.call("POST", f"{path}:commit", lease)
    return str(made["id"])


def test_a_study_goes_on_from_its_backup(
    saving_service: Service, folder: Path, database_url: str, other_url: str, tmp_path: Path
) -> None:
    service, checkpoint_id = saving_service, saved_by_hand(saving_service)
    place, new_place = str(tmp_path / "checkpoints"), str(tmp_path / "new checkpoints")
    options = {"function": "sphere", "steps": 4, "step_s": 0.1}
    objective = {"name": "function", "options": options}
    definition = function_study("s", objective=objective, limits={"max_trials": TRIALS})
    study = service.call("POST", "/v1/studies", definition)
    file = folder / "made.gz"
    with workers(service, folder, 2):

        def is_under_way() -> bool:
            counts = service.study(study["id"])["trial_counts"]
            return bool(counts.get("completed", 0) >= 2 and counts.get("running", 0) >= 1)

        service.wait(is_under_way)
        status, said, errors = ran(
            folder, "backup", str(file), "--database-url", database_url, "--json",
            "--checkpoint-dir", place,
        )  # fmt: skip
        assert status == 0, errors
        made = json.loads(said)
        assert made["rows"]["trials"] >= 3
        assert checkpoint_id in made["checkpoints"]["whole"]
    command = ("restore", str(file), "--database-url", other_url, "--checkpoint-dir", new_place)
    status, said, errors = ran(folder, *command)
    assert status == 0, errors
    assert "rows and the contents of" in said
    settings = {"TUNEWELL_LEASE_TTL_S": "2", "TUNEWELL_CHECKPOINT_DIR": new_place}
    again = Service(folder, other_url, settings)
    again.start()
    try:
        assert (
            again.http.get(f"{again.url}/v1/checkpoints/{checkpoint_id}/content").content == CONTENT
        )
        assert again.study(study["id"])["state"] == "active"
        with workers(again, folder, 2, "--exit-when-idle"):
            ended = again.wait_ended(study["id"])
        assert (ended["state"], ended["stop_reason"]) == ("completed", "max_trials")
        assert ended["trial_counts"] == {"completed": TRIALS}
        numbers = [trial["number"] for trial in again.trials(study["id"])]
        assert sorted(numbers) == list(range(1, TRIALS + 1))
    finally:
        again.end()


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_refusals_are_sentences_with_a_status(
    service: Service, folder: Path, database_url: str
) -> None:
    file = folder / "made.gz"
    arguments: Any = ("backup", str(file), "--database-url", database_url)
    assert ran(folder, *arguments)[0] == 0
    status, _, errors = ran(folder, *arguments)
    assert status == 1
    assert "not overwritten" in errors
    status, _, errors = ran(folder, "restore", str(file), "--database-url", database_url)
    assert status == 1
    assert "served by another process" in errors
    file.write_bytes(file.read_bytes()[:-10])
    target = folder / "new.db"
    status, _, errors = ran(folder, "restore", str(file), "--database-url", f"sqlite:///{target}")
    assert status == 1
    assert "cannot be restored" in errors
    assert not target.exists()
    assert ran(folder, "restore", str(file))[0] == 2
    assert service.call("GET", "/readyz")["ready"] is True
