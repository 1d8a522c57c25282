"""Trials with batch normalisation that differ in momentum only: one training, and no bit differs
from that of a trial that trained alone.
"""

from __future__ import annotations

import functools
import multiprocessing
import signal
import threading
import zipfile
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from workers.objectives import mnist
from workers.objectives.adam import Adam
from workers.objectives.running_statistics import average
from workers.objectives.training_record import Record

from .trials import Kept, trial

N_STEPS = 2 * 14
"""Optimiser steps of the trials here: two epochs of the images not held out, by 256."""
BASE = {"dataset": "mnist-5k", "epochs": 2, "seed": 7, "validation": True}
MOMENTA = (0.1, 0.01, 0.9, 0.37, 1.0, 0.0)

Run = tuple[dict[str, float], list[tuple[int, dict[str, float]]]]


def run(
    store: Path | None,
    momentum: float,
    *,
    params: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    kept: Kept | None = None,
    **more: Any,
) -> Run:
    """Final values and reports of a trial."""
    kept = kept or Kept()
    point = {"model": "batchnorm", "batch_size": 256, "momentum": momentum, **(params or {})}
    values = mnist.evaluate(
        trial(point, {**BASE, **(options or {})}, kept=kept, store_dir=store, **more)
    )
    return values, kept.reports


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many optimiser steps were taken since the last look."""
    counted: list[None] = []
    step = Adam.step

    def counting(self: Adam) -> None:
        counted.append(None)
        step(self)

    monkeypatch.setattr(Adam, "step", counting)

    def since() -> int:
        found = len(counted)
        counted.clear()
        return found

    return since


@functools.cache
def alone(momentum: float) -> Run:
    """The trial that shares nothing."""
    return run(None, momentum)


@pytest.mark.parametrize("thirds", [False, True])
def test_every_momentum_is_served_by_one_training_to_the_last_bit(
    tmp_path: Path, taken: Callable[[], int], thirds: bool
) -> None:
    options = {"steps_per_epoch": 3} if thirds else {}
    expected = [run(None, momentum, options=options) for momentum in MOMENTA]
    assert taken() == len(MOMENTA) * N_STEPS
    assert [run(tmp_path, momentum, options=options) for momentum in MOMENTA] == expected
    assert taken() == N_STEPS
    assert len({str(values) for values, _ in expected}) == len(MOMENTA)


def test_a_trial_that_stopped_early_serves_as_far_as_it_went(
    tmp_path: Path, taken: Callable[[], int]
) -> None:
    expected = alone(0.9)
    taken()
    run(tmp_path, 0.1, kept=Kept(stop_after=1))
    assert taken() == N_STEPS // 2
    assert run(tmp_path, 0.9) == expected
    assert taken() == N_STEPS // 2


def test_a_longer_training_goes_on_from_a_shorter_one(
    tmp_path: Path, taken: Callable[[], int]
) -> None:
    expected = alone(0.3)
    taken()
    run(tmp_path, 0.1, options={"epochs": 1})
    assert run(tmp_path, 0.3) == expected
    assert taken() == N_STEPS


@pytest.mark.parametrize("recorded", [0, 1, 2])
def test_a_checkpoint_is_gone_on_from_with_and_without_a_record(
    tmp_path: Path, taken: Callable[[], int], recorded: int
) -> None:
    values, reports = alone(0.9)
    store, file = tmp_path / "store", tmp_path / "state"
    if recorded:
        run(store, 0.1, options={"epochs": recorded})
    paused = Kept(checkpoints=True)
    paused.pause_at = paused.to_step = 1
    run(store, 0.9, kept=paused)
    file.write_bytes(paused.checkpoints[-1][1])
    taken()
    assert run(store, 0.9, checkpoint_dir=tmp_path, last_step=1) == (values, reports[1:])
    assert taken() == (0 if recorded == 2 else N_STEPS // 2)


def test_a_checkpoint_of_a_trial_that_trained_nothing_serves_another_machine(
    tmp_path: Path,
) -> None:
    values, reports = alone(0.9)
    run(tmp_path, 0.1)
    paused, file = Kept(checkpoints=True), tmp_path / "state"
    paused.pause_at = 1
    run(tmp_path, 0.9, kept=paused)
    file.write_bytes(paused.checkpoints[-1][1])
    assert run(None, 0.9, checkpoint_dir=tmp_path, last_step=1) == (values, reports[1:])


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({"learning_rate": 0.002}, {}),
        ({"batch_size": 255}, {}),
        ({}, {"seed": 8}),
        ({}, {"validation": False}),
        ({}, {"steps_per_epoch": 3}),
    ],
)
def test_whatever_else_differs_has_a_training_of_its_own(
    tmp_path: Path, taken: Callable[[], int], params: dict[str, Any], options: dict[str, Any]
) -> None:
    run(tmp_path, 0.1, options={"epochs": 1})
    taken()
    shared = run(tmp_path, 0.1, params=params, options={**options, "epochs": 1})
    assert taken() >= N_STEPS // 2
    assert shared == run(None, 0.1, params=params, options={**options, "epochs": 1})


@pytest.mark.parametrize(("params", "options"), [({}, {"seed": None}), ({"model": "simple"}, {})])
def test_what_no_other_trial_can_use_is_not_kept(
    tmp_path: Path, params: dict[str, Any], options: dict[str, Any]
) -> None:
    run(tmp_path, 0.1, params=params, options={**options, "epochs": 1})
    assert list(tmp_path.iterdir()) == []


def flip(file: Path, name: str) -> None:
    """Changes one bit of an array in a file."""
    with zipfile.ZipFile(file) as archive:
        begin = archive.getinfo(f"{name}.npy").header_offset
    content = bytearray(file.read_bytes())
    content[begin + 300] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_torn_file_is_trained_again(
    tmp_path: Path, taken: Callable[[], int], content: bytes | None
) -> None:
    expected = alone(0.9)
    run(tmp_path, 0.1)
    (file,) = tmp_path.glob("*/step-2.npz")
    if content is None:
        flip(file, "first")
    else:
        file.write_bytes(content)
    taken()
    assert run(tmp_path, 0.9) == expected
    assert taken() == N_STEPS // 2
    assert run(tmp_path, 0.9) == expected
    assert taken() == 0


def test_a_state_that_cannot_be_read_is_trained_again_when_it_is_needed(
    tmp_path: Path, taken: Callable[[], int]
) -> None:
    longer = {"epochs": 3}
    expected = run(None, 0.9, options=longer)
    run(tmp_path, 0.1)
    (file,) = tmp_path.glob("*/step-2.npz")
    flip(file, "state")
    taken()
    assert run(tmp_path, 0.9) == alone(0.9)
    assert taken() == N_STEPS  # the test images are scored by the whole network
    assert run(tmp_path, 0.9, options=longer) == expected


def test_a_folder_that_takes_nothing_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file", 0.9) == alone(0.9)


def _evaluate_counting(store: Path, momentum: float, answer: Connection) -> None:
    """In a process of its own: the trial's run, and how many steps it trained."""
    trained: list[int] = []
    train_step = mnist.Training._train_step

    def counting(self: mnist.Training) -> torch.Tensor:
        found = train_step(self)
        trained.append(self.step)
        return found

    mnist.Training._train_step = counting  # type: ignore[method-assign]
    answer.send((run(store, momentum), trained))


def test_two_trials_at_the_same_time_train_each_step_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = []
    for momentum in (0.1, 0.9):
        mine, theirs = context.Pipe()
        process = context.Process(target=_evaluate_counting, args=(tmp_path, momentum, theirs))
        process.start()
        started.append((momentum, process, mine))
    all_trained: list[int] = []
    for momentum, process, mine in started:
        found, trained = mine.recv()
        process.join()
        assert found == alone(momentum)
        all_trained += trained
    assert sorted(all_trained) == [1, 2]


def _hold(folder: Path, answer: Connection) -> None:
    with Record(folder.parent, folder.name).alone():
        answer.send("held")
        signal.pause()


def test_a_trial_that_dies_in_its_training_lets_the_waiting_one_go_on(tmp_path: Path) -> None:
    run(tmp_path, 0.1, options={"epochs": 1})
    (file,) = tmp_path.glob("*/step-1.npz")
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(file.parent, theirs))
    holder.start()
    assert mine.recv() == "held"
    reported, found = threading.Event(), []

    class Telling(Kept):
        def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
            super().report(step, values, elapsed_s)
            reported.set()

    waiting = threading.Thread(target=lambda: found.append(run(tmp_path, 0.9, kept=Telling())))
    waiting.start()
    assert reported.wait(60)  # what is there is taken whoever holds the record
    assert waiting.is_alive()
    holder.kill()
    holder.join()
    waiting.join()
    assert found == [alone(0.9)]


@pytest.mark.parametrize("momentum", MOMENTA)
def test_the_averages_are_those_of_pytorch_up_to_rounding(momentum: float) -> None:
    rng = torch.Generator().manual_seed(1)
    theirs = torch.nn.BatchNorm1d(8, momentum=momentum)
    batches = [torch.randn(16, 8, generator=rng) * 3 + 1 for _ in range(50)]
    for batch in batches:
        theirs(batch)
    means, variances = torch.zeros(8), torch.ones(8)
    average(means, torch.stack([batch.mean(0) for batch in batches]), momentum)
    average(variances, torch.stack([batch.var(0) for batch in batches]), momentum)
    torch.testing.assert_close(means, theirs.running_mean)
    torch.testing.assert_close(variances, theirs.running_var)
