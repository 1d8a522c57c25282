"""A trial that runs elsewhere: its checkpoints travel, its node may be full, or be lost."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from tunewell.archive import Saved, pack, unpack
from workers.command_spec import CommandSpec
from workers.engines.relay import RelayedChild
from workers.jobs import Job
from workers.runner import Cause, Runner

from .helpers import HERE, LIMIT_S, Reports, job, running
from .nearby import Nearby


@pytest.fixture(autouse=True)
def _in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


def relayed(far: Nearby, of: Job, sink: Reports, placed: queue.SimpleQueue[str]) -> Runner:
    return Runner(lambda: RelayedChild(far, of, on_placed=placed.put), sink, grace_s=0.1)


def test_a_checkpoint_comes_back_whole_and_the_next_attempt_gets_it(tmp_path: Path) -> None:
    content = bytes(range(256)) * (5 << 12)  # more than travels in one call
    given, large = tmp_path / "given", "saves_large"
    (tmp_path / "content").write_bytes(content)
    by = Saved(objective=large, version="", values={"value": 0.0})
    pack(tmp_path / "content", "content", by, given)
    sink, far = Reports(), Nearby()
    of = job(large, checkpoint_dir=str(tmp_path), resume={"path": str(given), "step": 4})
    folder = far.remote.folder.path
    end = relayed(far, of, sink, queue.SimpleQueue()).run().end
    assert end is not None
    assert end["values"] == {"value": float(len(content))}
    for step, expected in {5: content + b"5", 6: b""}.items():
        archive, unpacked = tmp_path / f"{step}.tar", tmp_path / str(step)
        archive.write_bytes(sink.checkpoints[step])
        unpacked.mkdir()
        unpack(archive, unpacked, objective=large, version="")
        assert (unpacked / "content").read_bytes() == expected
    assert not folder.exists()


def test_a_command_runs_in_the_nodes_copy_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    says = """test "$PWD" = "$1/below" && echo '{{"value": 4.0}}'"""
    command = CommandSpec(
        name="says",
        command=["sh", "-c", says, "sh", str(tmp_path)],
        metrics={"value": "minimize"},
        folder="/users/own/below",
    )
    of = Job(
        trial_id="tr_1", number=1, objective="says", folder="/users/own", command=command.as_job()
    )
    end = relayed(Nearby(), of, Reports(), queue.SimpleQueue()).run().end
    assert end is not None
    assert end["values"] == {"value": 4.0}


def test_a_trial_whose_node_is_lost_failed_by_no_fault_of_its_own() -> None:
    sink, placed = Reports(), queue.SimpleQueue[str]()
    outcome = relayed(Nearby(dies_after="line"), job("spins"), sink, placed).run()
    assert outcome.failure is not None
    assert outcome.failure.kind == "infrastructure"
    assert outcome.failure.message == "the node is lost: it was ended"
    assert outcome.failure.traceback == "with details"
    assert len(sink.points) == 1
    assert placed.get(timeout=LIMIT_S)


def test_values_that_came_before_the_node_was_lost_count() -> None:
    sink = Reports()
    far = Nearby(dies_after="exit")
    outcome = relayed(far, job("good"), sink, queue.SimpleQueue()).run()
    assert outcome.end is not None
    assert [point["values"]["value"] for point in sink.points] == [2.0, 1.0]


def test_an_order_to_a_trial_that_has_no_place_yet_is_followed_when_it_has_one() -> None:
    far, sink = Nearby(), Reports()
    far.has_room.clear()
    made = relayed(far, job("spins"), sink, queue.SimpleQueue())
    with running(made) as outcome:
        made.stop()
        far.has_room.set()
        end = outcome().end
    assert end is not None
    assert end["state"] == "stopped"


@pytest.mark.parametrize("cause", [Cause.ABORT, Cause.RELEASE])
def test_a_trial_that_waits_for_a_place_is_taken_out_of_the_queue(cause: Cause) -> None:
    far, sink, placed = Nearby(), Reports(), queue.SimpleQueue[str]()
    far.has_room.clear()
    made = relayed(far, job("spins"), sink, placed)
    with running(made) as outcome:
        made.kill(cause)
        assert outcome().cause is cause
    assert placed.empty()
    assert sink.points == []
