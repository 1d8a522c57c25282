"""A trial asks for equal work before it trains; whatever goes wrong with that, it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workers.spool import Header, Record
from workers.spool_folder import SpoolFolder

from .fake_service import FakeService
from .helpers import HERE
from .test_worker import finish, worker


@pytest.fixture(autouse=True)
def _in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


def written(service: FakeService) -> list[str]:
    """The names of all writes but the output's."""
    return [what for what, _ in service.writes if what != "logs"]


def asked(service: FakeService) -> list[dict[str, Any]]:
    return [body["equivalent"] for what, body in service.writes if what == "match"]


def test_a_trial_that_is_answered_is_not_trained_and_its_slot_is_free_again(
    service: FakeService,
) -> None:
    service.equal.add("ls_1")
    service.add("ls_1", "rounds")
    service.add("ls_2", "rounds")
    with worker(service, "rounds") as statuses:
        service.wait_for(service.ends)
        assert finish(service, statuses) == 0
    assert written(service) == ["match", "match", "measurements", "complete"]
    assert [body["lease_id"] for _, body in service.writes] == ["ls_1", "ls_2", "ls_2", "ls_2"]


def test_a_trial_that_is_not_answered_tells_its_canonical_point_with_its_result(
    service: FakeService,
) -> None:
    service.add("ls_1", "rounds", params={"x0": 2.9})
    with worker(service, "rounds"):
        service.wait_for(service.ends)
    assert asked(service) == [{"x0": 3, "trained": False}]
    assert service.ends()[0][1]["equivalent"] == {"x0": 3, "trained": True}


def test_one_of_ours_begins_while_the_question_is_on_its_way_and_reports_nothing_before(
    service: FakeService,
) -> None:
    options = {"seed": 3, "dataset": "mnist-5k", "epochs": 1}
    service.equal.add("ls_1")
    for lease_id in ("ls_1", "ls_2"):
        service.add(lease_id, "mnist-mlp", params={"batch_size": 500}, options=options)
    with worker(service, built_in="mnist-mlp") as statuses:
        service.wait_for(service.ends)
        assert finish(service, statuses) == 0
    assert written(service) == ["match", "match", "measurements", "complete"]
    assert [body["lease_id"] for _, body in service.writes] == ["ls_1", "ls_2", "ls_2", "ls_2"]


@pytest.mark.parametrize("name", ["rounds", "good"])
def test_an_objective_that_claims_nothing_asks_nothing(service: FakeService, name: str) -> None:
    service.add("ls_1", name, options={"unlike": True})
    with worker(service, name):
        service.wait_for(service.ends)
    assert asked(service) == []
    assert "equivalent" not in service.ends()[0][1]


def test_a_service_that_is_away_keeps_no_trial_from_training(service: FakeService) -> None:
    service.away.add("match")
    service.add("ls_1", "rounds")
    with worker(service, "rounds"):
        service.wait_for(service.ends)
    assert service.dropped == 1
    assert written(service) == ["measurements", "complete"]


def test_a_service_that_does_not_know_the_question_is_not_told_the_point(
    service: FakeService,
) -> None:
    service.refusals["match"] = (404, "not-found")
    service.add("ls_1", "rounds")
    with worker(service, "rounds"):
        service.wait_for(service.ends)
    assert written(service) == ["measurements", "complete"]
    assert "equivalent" not in service.ends()[0][1]


def test_a_point_that_the_service_refuses_keeps_no_trial_from_training(
    service: FakeService,
) -> None:
    service.refusals["match"] = (422, "invalid-value")
    service.add("ls_1", "rounds")
    with worker(service, "rounds"):
        service.wait_for(service.ends)
    assert written(service) == ["measurements", "complete"]


def test_a_trial_whose_lease_is_stale_does_not_begin(service: FakeService) -> None:
    service.stale.add("ls_1")
    service.add("ls_1", "rounds")
    service.add("ls_2", "rounds")
    with worker(service, "rounds"):
        service.wait_for(service.ends)
    assert {body["lease_id"] for _, body in service.writes} == {"ls_2"}


@pytest.mark.parametrize(
    ("name", "said"), [("sets", "not JSON serializable"), ("lists", "a dictionary or None")]
)
def test_what_is_no_canonical_point_fails_the_trial_and_says_why(
    service: FakeService, name: str, said: str
) -> None:
    service.add("ls_1", name)
    with worker(service, name):
        service.wait_for(service.ends)
    what, body = service.ends()[0]
    assert (what, body["kind"]) == ("fail", "user_error")
    assert said in body["message"]


def test_the_question_of_a_dead_process_is_not_asked_again(
    service: FakeService, tmp_path: Path
) -> None:
    spools = SpoolFolder(tmp_path)
    spool = spools.open(Header(url=service.url, lease_id="ls_1", trial_id="tr_ls_1"))
    spool.append(Record(kind="match", body={"lease_id": "ls_1", "equivalent": {}}))
    values = {"lease_id": "ls_1", "state": "completed", "values": {"value": 1.0}}
    spool.append(Record(kind="complete", body=values))
    spool.close()
    spools.close()
    with worker(service, state_dir=tmp_path):
        service.wait_for(service.ends)
    assert written(service) == ["complete"]
