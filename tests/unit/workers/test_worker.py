"""The worker as a whole against a service that the test plays."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workers import intake, loop, main, sender
from workers.processes import ROOT
from workers.spool import Header
from workers.spool_folder import SpoolFolder

from .fake_service import FakeService
from .helpers import HERE, LIMIT_S, wait_for_text, watch, worker_process


@contextmanager
def worker(
    service: FakeService, *own: str, built_in: str = "function", **options: Any
) -> Iterator[queue.SimpleQueue[int]]:
    """A worker in a thread, ended at last; the value gives its exit status.

    Args:
        own: objectives, "module:name" or the names of those in `user_code`.
    """
    statuses: queue.SimpleQueue[int] = queue.SimpleQueue()
    arguments: dict[str, Any] = {"slots": 1, "exit_when_idle": True, **options}
    objectives = [built_in, *(_target(name) for name in own)]

    def run() -> None:
        statuses.put(main.run(url=service.url, objectives=objectives, **arguments))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield statuses
    finally:
        service.change(lambda: setattr(service, "open_work", False))
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def _target(name: str) -> str:
    return name if ":" in name else f"user_code:{name}"


@pytest.fixture(autouse=True)
def _in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


def finish(service: FakeService, statuses: queue.SimpleQueue[int]) -> int:
    """The worker's exit status when there is no more work."""
    service.change(lambda: setattr(service, "open_work", False))
    return statuses.get(timeout=LIMIT_S)


def test_trials_are_run_reported_and_completed_and_the_idle_worker_ends(
    service: FakeService,
) -> None:
    for index in range(3):
        service.add(f"ls_{index}", params={"x0": float(index)}, options={"steps": 2})
    with worker(service, slots=2) as statuses:
        service.wait_for(lambda: len(service.ends()) == 3)
        assert finish(service, statuses) == 0
    values = {body["lease_id"]: body["values"]["value"] for _, body in service.ends()}
    assert values == {"ls_0": 0.0, "ls_1": 1.0, "ls_2": 4.0}
    assert {claim["max_leases"] for claim in service.claims} <= {1, 2}


def test_a_worker_says_what_it_is_and_offers(service: FakeService) -> None:
    with worker(service, "good", name="n", labels={"team": "a"}, devices="cpu") as statuses:
        service.wait_for(lambda: service.claims)
        finish(service, statuses)
    said = service.registrations[0]
    assert said["name"] == "n"
    assert said["labels"] == {"team": "a"}
    assert said["slots"] == 1
    assert {device["kind"] for device in said["devices"]} == {"cpu"}
    assert [offer["name"] for offer in said["objectives"]] == ["function", "good"]
    assert said["objectives"][1]["metrics"] == {"value": "minimize"}


def test_heartbeats_go_on_while_a_child_spins(service: FakeService) -> None:
    service.add("ls_1", "spins")
    with worker(service, "spins"):
        service.wait_for(lambda: len(service.beats) >= 4)
        assert service.beats[-1]["leases"][0]["lease_id"] == "ls_1"
        assert service.beats[-1]["worker_id"] == "wk_1"
        service.wait_for(lambda: service.beats[-1]["leases"][0].get("utilisation", 0) > 0)
        assert service.beats[-1]["leases"][0]["memory_bytes"] > 2**20
        # What is free is said now and then, not ten times a second.
        said = [beat["devices_free"] for beat in service.beats if "devices_free" in beat]
        [free] = said
        assert {entry["index"] for entry in free} == {
            entry["index"] for entry in service.claims[-1]["devices_free"]
        }
        service.directives["ls_1"] = "stop"
        service.wait_for(service.ends)


def test_the_directive_stop_of_a_beat_ends_the_trial_as_stopped(service: FakeService) -> None:
    service.add("ls_1", "spins")
    with worker(service, "spins"):
        service.wait_for(service.reports)
        service.directives["ls_1"] = "stop"
        service.wait_for(service.ends)
    what, body = service.ends()[0]
    assert what == "complete"
    assert body["state"] == "stopped"
    assert body["values"] == {"value": 5.0}


def test_the_directive_abort_kills_a_child_that_ignores_sigterm_and_writes_nothing(
    service: FakeService,
) -> None:
    service.add("ls_1", "stubborn")
    with worker(service, "stubborn") as statuses:
        service.wait_for(lambda: _n_points(service) == 2)
        child, grandchild = (watch(pid) for pid in _pids(service))
        service.directives["ls_1"] = "abort"
        assert child()
        assert grandchild()
        finish(service, statuses)
    assert service.ends() == []


def test_what_an_aborted_trial_saves_at_its_end_does_not_stay(
    service: FakeService, tmp_path: Path
) -> None:
    service.add("ls_1", "saves_when_told_to_end")
    service.add("ls_2")
    with worker(service, "saves_when_told_to_end"):
        service.wait_for(service.reports)
        service.directives["ls_1"] = "abort"
        service.wait_for(service.ends)
        assert list((tmp_path / "state").rglob("ls_1.*")) == []


def test_a_stale_lease_kills_the_trial_and_drops_its_spool(
    service: FakeService, tmp_path: Path
) -> None:
    service.add("ls_1", "spins")
    with worker(service, "spins") as statuses:
        service.wait_for(service.reports)
        gone = watch(_pids(service)[0])
        service.stale.add("ls_1")
        assert gone()
        finish(service, statuses)
    assert list((tmp_path / "state").rglob("*.jsonl")) == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_leaves_the_reports_for_a_worker_with_the_right_one(
    service: FakeService, tmp_path: Path, status: int
) -> None:
    service.refusals["measurements"] = (status, "unauthenticated")
    service.add("ls_1", "good")
    with worker(service, "good") as statuses:
        service.wait_for(lambda: service.claims)
        service.wait_for(lambda: list((tmp_path / "state").rglob("ls_1.jsonl")))
        finish(service, statuses)
    assert service.ends() == []
    del service.refusals["measurements"]
    with worker(service) as statuses:
        service.wait_for(service.reports)
        finish(service, statuses)


@pytest.mark.parametrize(
    "instead",
    [
        (404, "text/plain", b"404 page not found"),
        (401, "text/plain", b"who are you?"),
        (302, "text/html", b""),
        (200, "text/html", b"<html>back soon</html>"),
        (200, "application/json", b"{"),
    ],
)
def test_what_a_proxy_answers_in_the_services_place_ends_no_training(
    service: FakeService, instead: tuple[int, str, bytes]
) -> None:
    service.add("ls_1", "spins", to_step=None)
    service.add("ls_2")
    with worker(service, "spins") as statuses:
        service.wait_for(service.reports)
        is_gone = watch(_pids(service)[0])
        service.change(lambda: setattr(service, "instead", instead))
        before = service.dropped
        service.wait_for(lambda: service.dropped >= before + 3)
        n_beats = len(service.beats)
        service.change(lambda: setattr(service, "instead", None))
        service.wait_for(lambda: len(service.beats) > n_beats)
        assert service.beats[-1]["leases"][0]["lease_id"] == "ls_1"
        service.directives["ls_1"] = "abort"
        assert is_gone()
        service.wait_for(service.ends)  # of the other trial: the worker claims again
        assert finish(service, statuses) == 0


def test_a_failure_is_told_with_its_traceback(service: FakeService) -> None:
    service.add("ls_1", "raises")
    with worker(service, "raises"):
        service.wait_for(service.ends)
    what, body = service.ends()[0]
    assert what == "fail"
    assert body["kind"] == "user_error"
    assert "user_code.py" in body["traceback"]


def test_a_time_limit_of_the_lease_is_kept(service: FakeService) -> None:
    service.add("ls_1", "spins", limit_s=0.5)
    with worker(service, "spins"):
        service.wait_for(service.ends)
    assert service.ends()[0][1]["kind"] == "timeout"


def test_final_values_that_the_service_refuses_become_a_failure(service: FakeService) -> None:
    service.refusals["complete"] = (422, "invalid-value")
    service.faults = [{"pointer": "/values/loss", "detail": "the study declares the metric 'loss'"}]
    service.add("ls_1", "good")
    with worker(service, "good"):
        service.wait_for(service.ends)
    what, body = service.ends()[0]
    assert what == "fail"
    assert body["kind"] == "user_error"
    assert body["message"] == (
        "the service refused the final values (value=1): the study declares the metric 'loss'"
    )


def test_reports_made_during_an_outage_arrive_in_order_afterwards(
    service: FakeService, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    service.add("ls_1", "waits_for_file", options={"file": str(gate)})
    with worker(service, "waits_for_file"):
        service.wait_for(lambda: _n_points(service) == 3)
        service.is_down = True
        gate.touch()
        wait_for_text(tmp_path / "state", '"complete"')
        assert service.ends() == []
        service.is_down = False
        service.wait_for(service.ends)
    steps = [point["step"] for body in service.reports() for point in body["points"]]
    assert steps == [1, 2, 3, 4]
    seqs = [body["seq"] for body in service.reports()]
    assert seqs == sorted(set(seqs))
    assert [what for what, _ in service.ends()] == ["complete"]


def test_a_result_left_by_a_worker_that_was_killed_is_sent_by_the_next(
    service: FakeService, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    service.add("ls_1", "waits_for_file", options={"file": str(gate)})
    own = ["user_code:waits_for_file"]
    with worker_process(service.url, HERE, objectives=own) as first:
        service.wait_for(lambda: _n_points(service) == 3)
        service.is_down = True
        gate.touch()
        wait_for_text(tmp_path / "state", '"complete"')
        first.kill()
        first.wait(LIMIT_S)
    service.is_down = False
    with worker(service, name="w") as statuses:
        service.wait_for(service.ends)
        service.wait_for(lambda: len(service.registrations) == 2)
        finish(service, statuses)
    assert service.ends()[0][1]["values"] == {"value": 4.0}
    assert list((tmp_path / "state").rglob("*.jsonl")) == []


def test_a_child_dies_with_a_worker_that_is_killed(service: FakeService) -> None:
    service.add("ls_1", "spins")
    with worker_process(service.url, HERE, objectives=["user_code:spins"]) as process:
        service.wait_for(service.reports)
        gone = watch(_pids(service)[0])
        process.kill()
        assert gone()
        process.wait(LIMIT_S)


def test_a_built_in_child_dies_with_a_worker_that_is_killed(service: FakeService) -> None:
    service.add("ls_1", options={"steps": 2, "step_s": 600.0})
    with worker_process(service.url, HERE) as process:
        service.wait_for(lambda: any("memory_bytes" in beat["leases"][0] for beat in service.beats))
        children = _descendants(process.pid)
        assert len(children) == 3  # the process that forks trials off, the trial, and a spare
        watches = [watch(pid) for pid in children]
        process.kill()
        assert all(gone() for gone in watches)
        process.wait(LIMIT_S)


def test_sigterm_lets_the_running_trial_end_and_claims_no_more(
    service: FakeService, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    service.add("ls_1", "waits_for_file", options={"file": str(gate)})
    with worker_process(service.url, HERE, objectives=["user_code:waits_for_file"]) as process:
        service.wait_for(lambda: _n_points(service) == 3)
        process.send_signal(signal.SIGTERM)
        service.add("ls_2")
        gate.touch()
        assert process.wait(LIMIT_S) == 0
        assert [what for what, _ in service.ends()] == ["complete"]
        assert len(service.waiting) == 1


def test_a_second_signal_gives_the_running_trial_back_at_once(service: FakeService) -> None:
    service.add("ls_1", "spins")
    with worker_process(service.url, HERE, objectives=["user_code:spins"]) as process:
        service.wait_for(service.reports)
        process.send_signal(signal.SIGTERM)
        service.wait_for(lambda: service.drains)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
        assert [what for what, _ in service.ends()] == ["release"]


def test_a_worker_that_must_go_while_the_service_is_away_leaves_its_words_on_disk(
    service: FakeService, tmp_path: Path
) -> None:
    service.add("ls_1", "spins")
    own = ["user_code:spins"]
    with worker_process(service.url, HERE, leave_s=0.5, objectives=own) as process:
        service.wait_for(service.reports)
        gone = watch(_pids(service)[0])
        service.is_down = True
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert gone()
        assert process.wait(LIMIT_S) == 0
    (left,) = (tmp_path / "state").rglob("*.jsonl")
    assert '"release"' in left.read_text()


def test_a_worker_that_the_service_has_forgotten_registers_again(service: FakeService) -> None:
    with worker(service) as statuses:
        service.wait_for(lambda: service.claims)
        service.change(lambda: setattr(service, "worker_id", "wk_2"))
        service.wait_for(lambda: service.claims[-1]["worker_id"] == "wk_2")
        finish(service, statuses)
    boot_ids = {said["boot_id"] for said in service.registrations}
    assert len(service.registrations) >= 2
    assert len(boot_ids) == 1


def test_a_worker_without_a_service_ends_with_3(service: FakeService) -> None:
    service.is_down = True
    assert main.run(url=service.url, slots=1, outage_s=0.3, objectives=["function"]) == 3


BUSY = 503, "application/problem+json", b'{"code": "storage-busy", "detail": "no database"}'


def said(capsys: pytest.CaptureFixture[str], event: str) -> list[dict[str, Any]]:
    """What a worker has said of one kind, in JSON lines."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["event"] == event]


def test_a_service_that_answers_but_fails_when_a_worker_starts_is_told_once_and_tried_on(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.instead = BUSY
    with worker(service, json_lines=True) as statuses:
        service.wait_for(lambda: service.dropped >= 3)
        service.change(lambda: setattr(service, "instead", None))
        service.wait_for(lambda: service.registrations)
        assert finish(service, statuses) == 0
    (line,) = said(capsys, "service_not_ready")
    assert line["url"] == service.url
    assert "no database" in line["detail"]


def test_one_that_fails_for_as_long_as_an_outage_may_last_is_not_waited_for(
    service: FakeService,
) -> None:
    service.instead = BUSY
    assert main.run(url=service.url, slots=1, outage_s=0.3, objectives=["function"]) == 3


def test_reports_for_another_address_are_kept_and_told_of(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = SpoolFolder(tmp_path / "state")
    before.open(Header(url="http://elsewhere", lease_id="ls_0", trial_id="tr_0")).close()
    before.close()
    with worker(service, json_lines=True) as statuses:
        service.wait_for(lambda: service.claims)
        finish(service, statuses)
    (line,) = said(capsys, "spool_kept")
    assert (line["url"], line["leases"]) == ("http://elsewhere", 1)
    assert len(list((tmp_path / "state").rglob("ls_0.jsonl"))) == 1


def test_an_outage_over_the_bound_ends_the_trial_and_keeps_its_reports(
    service: FakeService, tmp_path: Path
) -> None:
    service.add("ls_1", "spins")
    with worker(service, "spins", outage_s=1.0) as statuses:
        service.wait_for(service.reports)
        gone = watch(_pids(service)[0])
        service.is_down = True
        assert gone()
        assert statuses.get(timeout=LIMIT_S) == 3
    assert len(list((tmp_path / "state").rglob("*.jsonl"))) == 1


@pytest.mark.parametrize("wanted", ["user_code:nothing", "no_such_module:x", "no-such-objective"])
def test_an_objective_that_cannot_be_had_ends_the_worker_with_2(
    service: FakeService, wanted: str
) -> None:
    assert main.run(url=service.url, objectives=[wanted]) == 2
    assert service.registrations == []


def test_data_that_were_not_at_hand_are_offered_before_the_result_pins_them(
    service: FakeService,
) -> None:
    service.add("ls_1", "new_data")
    with worker(service, "new_data"):
        service.wait_for(service.ends)
    used = {"dataset": "mine", "digest": "abc"}
    assert service.ends()[0][1]["data"] == used
    assert service.registrations[-1]["objectives"][-1]["data"] == [used]
    assert service.order.index("register-2") < service.order.index("complete")


def test_the_workers_own_process_imports_neither_torch_nor_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; from tunewell._parts import part; main = part('workers', 'main'); "
        "log = main.Log(); peaks = main.Peaks(main.Path('none'), log); "
        "offers = main.Offers([], log); "
        "main.LocalEngine('auto', None, offers=offers, peaks=peaks, log=log); "
        "heavy = {'torch', 'numpy', 'sklearn', 'torchvision', 'app', 'ray'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def _n_points(service: FakeService) -> int:
    return sum(len(body["points"]) for body in service.reports())


def _pids(service: FakeService) -> list[int]:
    points = [point for body in service.reports() for point in body["points"]]
    return [int(point["values"]["value"]) for point in points]


def _descendants(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(each) for task in tasks for each in (task / "children").read_text().split()]
    return found + [deeper for child in found for deeper in _descendants(child)]


@pytest.mark.parametrize(("status", "code"), [(500, "internal"), (422, "invalid-value"), (404, "")])
def test_output_that_the_service_does_not_take_holds_up_no_trial(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    monkeypatch.setattr(sender, "LOG_TRIES", 2)
    service.refusals["logs"] = (status, code)
    service.add("ls_1", "good")
    with worker(service, "good"):
        service.wait_for(service.ends)
    assert service.ends()[0][0] == "complete"


def test_a_claim_says_what_is_free_and_the_plan_what_there_is(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    with worker(service, "modest", slots=2, devices="cpu") as statuses:
        service.wait_for(lambda: service.claims)
        finish(service, statuses)
    free = service.claims[0]["devices_free"]
    registered = service.registrations[0]["devices"]
    assert [entry["index"] for entry in free] == [device["index"] for device in registered]
    total = sum(device["memory_total_bytes"] for device in registered)
    assert 0 < sum(entry["memory_free_bytes"] for entry in free) <= total
    assert sum(entry["cpu"] for entry in free) >= 2
    assert "memory" not in service.registrations[0]["objectives"][1]
    (plan,) = (line for line in capsys.readouterr().out.splitlines() if "slots: " in line)
    for said in ("2 x cpu core", "1 of ", " cores for each trial", "0 MiB for modest"):
        assert said in plan


def test_the_memory_of_a_trials_whole_family_is_learned(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "WEIGH_EVERY_S", 0.0)
    gate = tmp_path / "go"
    service.add("ls_1", "hungry", options={"file": str(gate)})
    with worker(service, "hungry") as statuses:
        service.wait_for(lambda: any(_memory(beat) > 200 * 2**20 for beat in service.beats))
        n_beats = len(service.beats)
        # By then the worker's own look, which is as frequent as its ticks, has come by too.
        service.wait_for(lambda: len(service.beats) > n_beats + 10)
        gate.touch()
        service.wait_for(service.ends)
        finish(service, statuses)
    ((key, peaks),) = json.loads((tmp_path / "state" / "peaks.json").read_text()).items()
    assert key == "cpu/hungry"
    assert 200 * 2**20 < peaks[0] < 2**30


def test_an_oom_beside_another_trial_says_what_the_next_attempt_needs(
    service: FakeService, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    service.add("ls_1", "waits_for_file", options={"file": str(gate)})
    with worker(service, "waits_for_file", "out_of_memory", slots=2):
        service.wait_for(service.reports)
        service.add("ls_2", "out_of_memory")
        service.wait_for(service.ends)
        gate.touch()
        service.wait_for(lambda: len(service.ends()) == 2)
    what, body = service.ends()[0]
    assert (what, body["kind"]) == ("fail", "oom")
    assert body["min_memory_bytes"] > 10 * 2**20


def test_an_oom_alone_on_its_device_leaves_it_to_the_service(service: FakeService) -> None:
    service.add("ls_1", "out_of_memory")
    with worker(service, "out_of_memory"):
        service.wait_for(service.ends)
    assert "min_memory_bytes" not in service.ends()[0][1]


def test_a_trial_that_asks_for_more_cores_has_as_many_threads(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add("ls_1", "threads")
    service.waiting[0]["resources"] = {"gpu": 0, "gpu_memory_bytes": 0, "cpu": 3}
    service.add("ls_2", "threads")
    with worker(service, "threads"):
        service.wait_for(lambda: len(service.ends()) == 2)
    values = {body["lease_id"]: body["values"]["value"] for _, body in service.ends()}
    assert values == {"ls_1": 3.0, "ls_2": 1.0}


def test_how_busy_a_trial_is_goes_by_the_cores_that_it_has(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")  # one of which it takes
    service.add("ls_1", "spins")
    with worker(service, "spins"):
        service.wait_for(lambda: len(service.beats) >= 3)
        shares = [beat["leases"][0].get("utilisation", 0.0) for beat in service.beats]
        service.directives["ls_1"] = "stop"
        service.wait_for(service.ends)
    assert max(shares) < 0.2


def test_a_trial_that_fits_nowhere_is_given_back_and_says_why(
    service: FakeService, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    service.add("ls_1", "waits_for_file", options={"file": str(gate)})
    with worker(service, "waits_for_file", slots=2):
        service.wait_for(service.reports)
        service.add("ls_2", "waits_for_file", needs=2**60)
        service.wait_for(service.ends)
        n_claims = len(service.claims)
        gate.touch()
        service.wait_for(lambda: len(service.ends()) == 2)
    what, body = service.ends()[0]
    assert (what, body["reason"]) == ("release", intake.NO_ROOM_REASON)
    assert n_claims <= 3  # no spinning


def _memory(beat: dict[str, Any]) -> int:
    return int(beat["leases"][0].get("memory_bytes") or 0)
