"""What goes wrong with an objective, its data, its checkpoint or the disk: each has its kind and
says what to do; the worker goes on, and nothing that was reported is lost.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tunewell import archive
from workers import main
from workers.objectives import data
from workers.offers import CannotOffer, probe

from .fake_service import FakeService
from .helpers import HERE, LIMIT_S, checkpoint_of, files_of, watch, worker_process
from .test_worker import finish, worker


@pytest.fixture(autouse=True)
def _in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


def only_end(service: FakeService) -> dict[str, Any]:
    """The one write that ended a lease, with its kind of write as `what`."""
    ((what, body),) = service.ends()
    return {"what": what, **body}


def ended(service: FakeService, name: str, **lease: Any) -> dict[str, Any]:
    """How a trial of an objective of `faulty_code` ends, after which the worker still serves."""
    service.add("ls_1", name, **lease)
    service.add("ls_2", "function", params={"x0": 2.0})
    with worker(service, f"faulty_code:{name}") as statuses:
        service.wait_for(lambda: len(service.ends()) == 2)
        assert finish(service, statuses) == 0
    first, (_, second) = service.ends()
    assert second["values"] == {"value": 4.0}
    return {"what": first[0], **first[1]}


@pytest.mark.parametrize(
    ("name", "options", "kind", "said"),
    [
        ("undeclared", {}, "user_error", "not declare the metric 'valeu'; it declares value: add"),
        ("picky", {"epocs": 3}, "user_error", "no option 'epocs'; it has epochs: leave it out"),
        ("eats_memory", {}, "oom", "MemoryError"),
        ("full_disk", {}, "infrastructure", "No space left on device (make room"),
        ("writes_to_nobody", {}, "user_error", "BrokenPipeError"),
    ],
)
def test_a_faulty_objective_fails_with_its_kind_and_says_what_to_do(
    service: FakeService, name: str, options: dict[str, Any], kind: str, said: str
) -> None:
    end = ended(service, name, options=options, params={})
    assert (end["what"], end["kind"]) == ("fail", kind)
    assert said in end["message"]
    assert "faulty_code" in end["traceback"] or name == "picky"


def test_a_point_that_cannot_be_evaluated_is_infeasible_and_no_failure(
    service: FakeService,
) -> None:
    end = ended(service, "infeasible")
    assert (end["what"], end["state"], end["values"]) == ("complete", "infeasible", {})


def test_a_result_counts_whatever_the_objective_has_done_to_its_output(
    service: FakeService,
) -> None:
    end = ended(service, "closes_its_output")
    assert (end["what"], end["values"]) == ("complete", {"value": 1.0})


def test_a_signal_without_a_name_is_told_by_its_number(service: FakeService) -> None:
    end = ended(service, "ends_by_a_real_time_signal")
    number = signal.SIGRTMIN + 6
    assert (end["what"], end["kind"]) == ("fail", "user_error")
    assert f"ended by signal {number}" in end["message"]


def test_a_trial_whose_child_hangs_ends_with_it_at_the_time_limit(service: FakeService) -> None:
    service.add("ls_1", "waits_for_a_child", limit_s=2.0)
    with worker(service, "faulty_code:waits_for_a_child") as statuses:
        service.wait_for(lambda: sum(len(each["points"]) for each in service.reports()) == 2)
        points = [point for each in service.reports() for point in each["points"]]
        gone = [watch(int(point["values"]["value"])) for point in points]
        service.wait_for(service.ends)
        assert all(each() for each in gone)
        finish(service, statuses)
    end = only_end(service)
    assert (end["what"], end["kind"]) == ("fail", "timeout")


def test_a_process_that_a_trial_left_with_its_pipes_holds_nobody_up(service: FakeService) -> None:
    end = ended(service, "leaves_a_daemon")
    os.kill(int(end["values"]["value"]), signal.SIGKILL)
    assert end["what"] == "complete"


def test_a_process_that_does_not_exit_after_its_values_is_ended_and_they_count(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.runner.EXIT_S", 0.2)
    end = ended(service, "lingers")
    assert (end["what"], end["values"]) == ("complete", {"value": 1.0})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import not_installed", "No module named 'not_installed'"),
        ("def broken(:", "SyntaxError"),
        ("import os; os._exit(3)", "own_code:own' cannot be used"),
        ("own = 3", "decorate it with @tunewell.objective"),
        ("owm = 3", "the module own_code has no 'own': did you mean owm?"),
        ("x = 3", "the module own_code has no 'own'; its objectives: none"),
    ],
)
def test_a_module_that_cannot_be_used_keeps_the_worker_from_starting_and_says_why(
    service: FakeService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    said: str,
) -> None:
    (tmp_path / "own_code.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert main.run(url=service.url, objectives=["own_code:own"], json_lines=True) == 2
    assert said in capsys.readouterr().out
    assert service.registrations == []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("own_cod:own", "there is no module 'own_cod' in {0}, and none is installed: did you mean "
         "own_code?"),
        ("own_code.py:own", "did you mean own_code?"),
        ("lib/own_code.py:own", "did you mean lib.own_code?"),
        ("nothing.like.it:own", "start the worker in the folder that has it"),
        ("own_code:", "an own objective is named module:name"),
    ],
)  # fmt: skip
def test_a_slip_in_the_name_of_an_objective_is_told_with_what_is_there(
    tmp_path: Path, target: str, said: str
) -> None:
    (tmp_path / "own_code.py").touch()
    with pytest.raises(CannotOffer) as refused:
        probe(target, str(tmp_path))
    assert said.format(tmp_path) in str(refused.value)


def test_an_error_of_a_module_is_told_from_its_own_code_on_whatever_it_has_printed(
    tmp_path: Path,
) -> None:
    code = "import warnings\nwarnings.warn('printed')\ndef go():\n    1 / 0\ngo()\n"
    (tmp_path / "own_code.py").write_text(code)
    with pytest.raises(CannotOffer) as refused:
        probe("own_code:own", str(tmp_path))
    first, second, *_, last = str(refused.value).strip().splitlines()
    assert first == "'own_code:own' cannot be used: Traceback (most recent call last):"
    assert second == f'  File "{tmp_path}/own_code.py", line 5, in <module>'
    assert last == "ZeroDivisionError: division by zero"


def test_a_corrupt_data_file_is_the_machines_fault_and_is_named(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in data.MNIST.md5:
        (tmp_path / name).write_bytes(b"not what was published")
    monkeypatch.setenv("TUNEWELL_DATA_DIR", str(tmp_path))
    service.add("ls_1", "mnist-mlp", params={"batch_size": 64}, options={"dataset": "mnist"})
    with worker(service, built_in="mnist-mlp") as statuses:
        service.wait_for(service.ends)
        finish(service, statuses)
    end = only_end(service)
    assert (end["what"], end["kind"]) == ("fail", "infrastructure")
    assert f"{tmp_path}/" in end["message"]
    assert "is corrupt" in end["message"]
    assert "remove it" in end["message"]
    offers = {each["name"]: each for each in service.registrations[0]["objectives"]}
    assert "mnist" not in [each["dataset"] for each in offers["mnist-mlp"]["data"]]


# Checkpoints


def resumed(service: FakeService, content: bytes, **options: Any) -> tuple[list[float], str]:
    """The values that a trial of `counts` reports after its checkpoint of step 2, and what it
    prints.
    """
    service.add("ls_1", "counts", params={}, options=options, checkpoint=(2, content))
    with worker(service, "faulty_code:counts") as statuses:
        service.wait_for(service.ends)
        finish(service, statuses)
    points = [point for each in service.reports() for point in each["points"]]
    printed = "".join(body["text"] for what, body in service.writes if what == "logs")
    return [point["values"]["value"] for point in points], printed


def test_a_sound_checkpoint_is_gone_on_from(service: FakeService) -> None:
    content = checkpoint_of("counts", {"total": "102.0"}, version="2")
    assert resumed(service, content) == ([103.0, 104.0], "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"what a later version may write", "no checkpoint as a worker saves it"),
        (b"", "no checkpoint as a worker saves it"),
        (checkpoint_of("counts", {"total": "2"}, version="1"), "by counts 1, and this is counts 2"),
        (checkpoint_of("other", {"total": "2"}), "by other without a version, and this is counts"),
        (checkpoint_of("counts", {"total": "tw"}, version="2"), "could not convert string"),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_has_the_trial_begin_anew_and_say_so(
    service: FakeService, content: bytes, said: str
) -> None:
    values, printed = resumed(service, content)
    assert values == [1.0, 2.0, 3.0, 4.0]
    assert only_end(service)["values"] == {"value": 4.0}
    assert "the checkpoint of step 2 cannot be gone on from: " in printed
    assert said in printed
    assert printed.endswith("the trial begins at its beginning\n")


def test_a_trial_that_was_saved_at_its_end_has_the_values_of_then(service: FakeService) -> None:
    content = checkpoint_of("counts", {"total": "4"}, version="2", value=7.5)
    service.add("ls_1", "counts", params={}, checkpoint=(4, content))
    with worker(service, "faulty_code:counts"):
        service.wait_for(service.ends)
    assert only_end(service)["values"] == {"value": 7.5}
    assert service.reports() == []


@pytest.mark.parametrize(("fail_at", "values"), [(4, [103.0]), (3, [1.0, 2.0])])
def test_another_failure_of_a_resumed_trial_is_a_failure(
    service: FakeService, fail_at: int, values: list[float]
) -> None:
    """At the first step it may be for the checkpoint, and fails again without it."""
    content = checkpoint_of("counts", {"total": "102.0"}, version="2")
    assert resumed(service, content, fail_at=fail_at)[0] == values
    end = only_end(service)
    assert (end["what"], end["kind"]) == ("fail", "user_error")


def test_an_archive_that_would_write_elsewhere_is_not_unpacked(
    service: FakeService, tmp_path: Path
) -> None:
    (source := tmp_path / "source").write_text("2")
    saved = archive.Saved(objective="counts", version="2", values={})
    archive.pack(source, "../outside", saved, packed := tmp_path / "packed")
    values, printed = resumed(service, packed.read_bytes())
    assert values == [1.0, 2.0, 3.0, 4.0]
    assert "outside the destination" in printed
    assert list((tmp_path / "state").rglob("outside")) == []


def test_a_class_pauses_at_its_budget_and_goes_on_where_it_was(service: FakeService) -> None:
    service.verdicts["ls_1", 3] = ("pause", 3)
    service.add("ls_1", "sums", to_step=3)
    with worker(service, "faulty_code:Sums"):
        service.wait_for(service.ends)
    assert only_end(service)["reason"] == "paused"
    saved = service.contents["ck_1"]
    assert files_of(saved) == {"parts/done": "3", "parts/total": "6"}
    service.change(lambda: setattr(service, "open_work", True))
    service.add("ls_2", "sums", checkpoint=(3, saved))
    with worker(service, "faulty_code:Sums"):
        service.wait_for(lambda: len(service.ends()) == 2)
    steps = [point["step"] for each in service.reports() for point in each["points"]]
    assert steps == list(range(1, 10))
    assert service.ends()[1][1]["values"] == {"value": 45.0}


# The disk of the worker


@contextmanager
def full_disk_of(pid: int, room_bytes: int = 1) -> Iterator[None]:
    """No file of a process can grow: each write fails, as on a disk that is full."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (room_bytes, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_when_the_workers_disk_is_full_the_trial_fails_for_it_and_the_worker_goes_on(
    service: FakeService, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    service.add("ls_1", "waits_for_file", options={"file": str(gate)})
    own = ["function", "user_code:waits_for_file"]
    with worker_process(service.url, HERE, objectives=own) as process:
        service.wait_for(lambda: sum(len(each["points"]) for each in service.reports()) == 3)
        with full_disk_of(process.pid):
            gate.touch()
            service.wait_for(service.ends)
            service.add("ls_2")
            service.wait_for(lambda: len(service.ends()) == 2)
        service.add("ls_3")
        service.wait_for(lambda: len(service.ends()) == 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    (what_1, first), (what_2, second), (what_3, third) = service.ends()
    assert [what_1, what_2, what_3] == ["fail", "fail", "complete"]
    assert [first["kind"], second["kind"]] == ["infrastructure"] * 2
    assert [first["lease_id"], second["lease_id"]] == ["ls_1", "ls_2"]
    assert "File too large" in first["message"]
    assert third["values"] == {"value": 9.0}
    assert list((tmp_path / "state").rglob("*.jsonl")) == []


def test_a_state_folder_that_cannot_be_written_keeps_the_worker_from_starting(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    assert main.run(url=service.url, objectives=["function"], json_lines=True) == 2
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "cannot be written" in said["detail"]
    assert "TUNEWELL_STATE_DIR" in said["detail"]
    assert service.registrations == []


@pytest.mark.parametrize("room_bytes", [0, 1])
def test_a_full_disk_keeps_the_worker_from_starting(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str], room_bytes: int
) -> None:
    """Folders and empty files can still be made there."""
    with full_disk_of(os.getpid(), room_bytes):
        assert main.run(url=service.url, objectives=["function"], json_lines=True) == 2
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert f"the state folder {tmp_path / 'state'} cannot be written" in said["detail"]
    assert service.registrations == []


@pytest.mark.parametrize("n_before", [0, 3])
def test_what_a_trial_has_started_goes_when_its_worker_is_killed(
    service: FakeService, n_before: int
) -> None:
    """The first trials have an interpreter of their own; later ones are forked off a process that
    outlives the worker.
    """
    for index in range(n_before):
        service.add(f"ls_{index}", "has_a_helper", params={"x0": 0.0})
    own = ["function", "faulty_code:has_a_helper"]
    with worker_process(service.url, HERE, objectives=own) as process:
        service.wait_for(lambda: len(service.ends()) == n_before)
        service.add(f"ls_{n_before}", "has_a_helper", params={"x0": 1.0})
        service.wait_for(service.reports)
        (report,) = service.reports()
        helper_is_gone = watch(int(report["points"][0]["values"]["value"]))
        process.kill()
        assert helper_is_gone()
