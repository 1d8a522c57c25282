"""Trials on MNIST that are trained as one are what they would be alone."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tunewell import together
from tunewell.objective import Trial
from tunewell.together import Together
from workers.objectives import data, mnist, mnist_data, mnist_stacked
from workers.objectives.mnist_data import Part
from workers.objectives.mnist_stacked import Lane, Stack

from .trials import Kept, trial

OPTIONS = {"dataset": "mnist-5k", "epochs": 2}


def trained_together(trials: Sequence[Trial]) -> list[dict[str, float]]:
    """The values of trials that share a process, each in a thread of its own."""
    # Long enough for a busy machine: who comes late would be trained in a stack of its own.
    shared, found = Together(settle_s=60.0, setup_s=60.0), dict[int, dict[str, float]]()

    def run(k: int, seat: together.Seat) -> None:
        with together.seated(seat):
            found[k] = mnist.evaluate(trials[k])
        seat.leave()
        if len(found) == len(trials):
            shared.close()

    for k in range(len(trials)):
        threading.Thread(target=run, args=(k, shared.expect()), daemon=True).start()
    shared.serve()
    return [found[k] for k in range(len(trials))]


def point(k: int, **more: Any) -> dict[str, Any]:
    return {"learning_rate": 0.001 * (k + 1), "batch_size": 256, **more}


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[Stack]:
    """Every stack that is made."""
    made: list[Stack] = []
    init = Stack.__init__

    def noted(self: Stack, lanes: Sequence[Lane]) -> None:
        made.append(self)
        init(self, lanes)

    monkeypatch.setattr(Stack, "__init__", noted)
    return made


SIZES = (76, 54, 64)
"""Batch sizes of one bucket, not in order."""


def lane(size: int, seed: int = 0) -> Lane:
    """A training with others of 240 images, over which 240 / `size` batches go."""
    images = mnist_data.load(data.MNIST_5K).train
    few = Part(x=images.x[:240], y=images.y[:240])
    settings = mnist.Settings(batch_size=size, seed=seed, learning_rate=0.003)
    seat = Together().expect()
    return Lane(settings, few, few, seat=seat, key=None, epoch_s=1.0)


def kept_of(lane: Lane) -> list[torch.Tensor]:
    """All that Adam changes of a lane, as it is now."""
    state = lane.state
    count = torch.tensor(state.n_batches)
    return [each.clone() for each in (state.weights, state.mean, state.square, count)]


def equal(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


ROUNDED = 5e-4
"""How far two losses are apart of trainings that sum in another order; by the processor 1e-5 to
1e-4 was seen, and more than 1e-2 between two seeds."""


def same(found: Mapping[str, float], alone: Mapping[str, float]) -> None:
    assert found["loss"] == pytest.approx(alone["loss"], rel=ROUNDED)
    assert found["accuracy"] == pytest.approx(alone["accuracy"], abs=0.003)


def test_each_lane_equals_its_separate_training_and_a_batch_of_all_is_one_step(
    stacks: list[Stack],
) -> None:
    kept = [Kept() for _ in range(3)]
    trials = [trial(point(k), OPTIONS, number=k + 1, kept=kept[k]) for k in range(3)]
    found = trained_together(trials)
    for k in range(3):
        alone = Kept()
        same(found[k], mnist.evaluate(trial(point(k), OPTIONS, number=k + 1, kept=alone)))
        assert [step for step, _ in kept[k].reports] == [1, 2]
        for (_, ours), (_, theirs) in zip(kept[k].reports, alone.reports, strict=True):
            same(ours, theirs)
    (stack,) = stacks
    n_images = len(stack._train.y)
    assert stack.n_optimizer_steps == 2 * -(-n_images // 256)


@pytest.mark.parametrize("is_fixed", [False, True], ids=["narrow", "fixed shapes"])
def test_lanes_of_a_bucket_equal_their_separate_trainings_and_a_batch_of_all_is_one_step(
    stacks: list[Stack], is_fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_fixed:
        monkeypatch.setattr(mnist_stacked, "_has_fixed_shapes", lambda weights: True)
    points = [point(k, batch_size=size) for k, size in enumerate(SIZES)]
    trials = [trial(points[k], OPTIONS, number=k + 1) for k in range(3)]
    found = trained_together(trials)
    for k in range(3):
        same(found[k], mnist.evaluate(trial(points[k], OPTIONS, number=k + 1)))
    (stack,) = stacks
    assert stack.has_fixed_shapes == is_fixed
    assert stack.n_optimizer_steps == 2 * -(-len(stack._train.y) // min(SIZES))
    for each in stack.lanes:
        assert each.state.n_batches == 2 * -(-len(stack._train.y) // each.settings.batch_size)


@pytest.mark.parametrize("is_fixed", [False, True], ids=["narrow", "fixed shapes"])
@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_lane_without_a_batch_is_not_moved_while_others_are(done: int, is_fixed: bool) -> None:
    lanes = [lane(size, seed) for seed, size in enumerate(SIZES)]
    stack = Stack(lanes)
    stack.has_fixed_shapes = is_fixed
    before = [kept_of(each) for each in lanes]
    for _ in range(2):  # the second time its means and its count are not zero
        batches = [[] if k == done else each.next_batches() for k, each in enumerate(lanes)]
        stack.train(batches)
        for k, each in enumerate(lanes):
            after = kept_of(each)
            assert equal(before[k], after) == (k == done)
            assert all(bool(part.isfinite().all()) for part in after)
        stack.train([each.next_batches()[:2] for each in lanes])
        before = [kept_of(each) for each in lanes]


@pytest.mark.parametrize("is_fixed", [False, True], ids=["narrow", "fixed shapes"])
def test_who_has_fewest_batches_ends_where_its_last_has_left_it(is_fixed: bool) -> None:
    def trained(n_batches: int) -> list[Lane]:
        lanes = [lane(size, seed) for seed, size in enumerate(SIZES)]
        stack = Stack(lanes)
        stack.has_fixed_shapes = is_fixed
        stack.train([each.next_batches()[:n_batches] for each in lanes])
        return lanes

    # Of 240 images: 4 batches of 76, 5 of 54, 4 of 64.
    some, all_ = trained(4), trained(5)
    assert [each.state.n_batches for each in all_] == [4, 5, 4]
    for k in range(3):
        assert equal(kept_of(some[k]), kept_of(all_[k])) == (k != 1)


@pytest.mark.parametrize("sizes", [(256, 256), (300, 220), (220, 300)], ids=str)
def test_a_lane_that_stops_is_dropped_and_the_others_go_on(
    stacks: list[Stack], sizes: tuple[int, int]
) -> None:
    stopped = Kept(stop_after=1)
    longer = {**OPTIONS, "epochs": 3}
    trials = [
        trial(point(0, batch_size=sizes[0]), OPTIONS, number=1, kept=stopped),
        trial(point(1, batch_size=sizes[1]), longer, number=2),
    ]
    _, found = trained_together(trials)
    assert [len(stack.lanes) for stack in stacks] == [2, 1]
    same(found, mnist.evaluate(trial(point(1, batch_size=sizes[1]), longer, number=2)))


@pytest.mark.parametrize("is_first_together", [True, False], ids=["alone", "together"])
@pytest.mark.parametrize("sizes", [(256, 256), (290, 220)], ids=str)
def test_a_lanes_checkpoint_goes_on_alone_and_the_other_way_round(
    tmp_path: Path, is_first_together: bool, sizes: tuple[int, int]
) -> None:
    points = [point(k, batch_size=size) for k, size in enumerate(sizes)]

    def begun(k: int) -> Trial:
        kept = Kept(stop_after=1, checkpoints=True)
        folder = tmp_path / str(k)
        folder.mkdir()
        return trial(points[k], OPTIONS, number=k + 1, kept=kept, checkpoint_dir=folder)

    def resumed(k: int) -> Trial:
        folder = tmp_path / str(k)
        return trial(points[k], OPTIONS, number=k + 1, checkpoint_dir=folder, last_step=1)

    first, second = [begun(0), begun(1)], [0, 1]
    if is_first_together:
        trained_together(first)
        found = [mnist.evaluate(resumed(k)) for k in second]
    else:
        for each in first:
            mnist.evaluate(each)
        found = trained_together([resumed(k) for k in second])
    for k in second:
        same(found[k], mnist.evaluate(trial(points[k], OPTIONS, number=k + 1)))
    # A view of a stack would be saved with all of it.
    size = (tmp_path / "0" / "state").stat().st_size
    assert size < 3 * 4 * 101_770 + 50_000


@pytest.mark.parametrize("sizes", [(256, 256), (290, 220)], ids=str)
def test_thirds_of_an_epoch_and_held_out_images_are_each_lanes_own(
    stacks: list[Stack], sizes: tuple[int, int]
) -> None:
    options = {**OPTIONS, "epochs": 1, "steps_per_epoch": 3, "validation": True}
    points = [point(k, batch_size=size) for k, size in enumerate(sizes)]
    found = trained_together([trial(points[k], options, number=k + 1) for k in range(2)])
    assert [len(stack.lanes) for stack in stacks] == [2]
    for k in range(2):
        alone = mnist.evaluate(trial(points[k], options, number=k + 1))
        same(found[k], alone)
        assert found[k]["test_loss"] == pytest.approx(alone["test_loss"], rel=ROUNDED)


def test_lanes_in_different_thirds_of_an_epoch_are_one_stack(
    tmp_path: Path, stacks: list[Stack]
) -> None:
    options = {**OPTIONS, "epochs": 1, "steps_per_epoch": 3}
    begun = Kept(stop_after=1, checkpoints=True)
    mnist.evaluate(trial(point(0), options, kept=begun, checkpoint_dir=tmp_path))
    ahead = trial(point(0), options, checkpoint_dir=tmp_path, last_step=1)
    found = trained_together([ahead, trial(point(1), options, number=2)])
    assert [len(stack.lanes) for stack in stacks] == [2, 1]
    same(found[0], mnist.evaluate(trial(point(0), options)))
    same(found[1], mnist.evaluate(trial(point(1), options, number=2)))


def test_other_networks_buckets_of_sizes_and_images_are_no_lanes_of_one_stack() -> None:
    key = mnist.pack_key(point(0), OPTIONS)
    assert key == mnist.pack_key(point(1, momentum=0.5), {**OPTIONS, "epochs": 9, "seed": 4})
    assert key == mnist.pack_key(point(0, batch_size=220), OPTIONS)
    assert key != mnist.pack_key(point(0, batch_size=128), OPTIONS)
    assert key != mnist.pack_key(point(0), {**OPTIONS, "validation": True})
    assert mnist.pack_key(point(0, model="batchnorm"), OPTIONS) is None


def test_a_network_with_batch_normalisation_is_trained_in_turn_to_the_same_bits(
    stacks: list[Stack],
) -> None:
    options = {**OPTIONS, "epochs": 1}
    points = [point(0), point(0, model="batchnorm"), point(1, model="batchnorm")]
    found = trained_together([trial(each, options, number=3) for each in points])
    for k in (1, 2):
        assert found[k] == mnist.evaluate(trial(points[k], options, number=3))
    assert [len(stack.lanes) for stack in stacks] == [1]


def test_the_prior_of_the_cost_grows_with_steps_and_falls_with_the_batch() -> None:
    assert mnist.cost(point(0), 2) == 2 * mnist.cost(point(0), 1)
    assert mnist.cost(point(0, batch_size=16), 1) > mnist.cost(point(0), 1)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[64], [54, 61, 68, 76]], ids=["one size", "a bucket"])
def test_twenty_seeds_score_alike_together_and_alone(sizes: list[int]) -> None:
    """The means differ by less than three standard errors of their difference."""
    points = [{"learning_rate": 0.003, "batch_size": sizes[k % len(sizes)]} for k in range(40)]
    trials = [trial(points[k], OPTIONS, number=k + 1) for k in range(40)]
    together_ = [value["accuracy"] for value in trained_together(trials[:20])]
    # Others' seeds: equal ones would be equal for the test above's reason alone.
    alone = [mnist.evaluate(each)["accuracy"] for each in trials[20:]]
    error = (statistics.variance(together_) / 20 + statistics.variance(alone) / 20) ** 0.5
    assert abs(statistics.mean(together_) - statistics.mean(alone)) < 3 * error
    ratio = statistics.stdev(together_) / statistics.stdev(alone)
    assert 0.5 < ratio < 2.0
