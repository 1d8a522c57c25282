"""Numbers too small for full precision are zero while a network is trained, and only then."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping

import pytest
import torch

from workers.objectives import data, mnist, mnist_data
from workers.objectives.denormals import DENORMAL, are_flushed, flushed

from .trials import Kept, trial

SMALLEST = torch.finfo(torch.float32).tiny
"""Of full precision."""
OF_A_THREAD_THAT_DIFFERS = """
import torch

from workers.objectives.adam import Adam
from workers.objectives.denormals import flushed
from workers.objectives.mnist import Settings, network

torch.set_num_threads(2)
if {begun}:
    torch.ones(1 << 22).exp_()
torch.set_num_threads(1)
with flushed():
    print(Adam(network(Settings()), 0.001).is_same_on(2))
"""


@pytest.fixture(autouse=True)
def _not_flushed() -> Iterator[None]:
    torch.set_flush_denormal(False)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor takes none as zero")
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(False)


def test_they_are_zero_until_it_is_left_by_a_failure_too() -> None:
    assert not are_flushed()
    with flushed():
        with flushed():
            pass
        assert are_flushed()
    assert not are_flushed()
    with pytest.raises(ZeroDivisionError), flushed():
        raise ZeroDivisionError
    assert not are_flushed()
    assert float(torch.tensor(DENORMAL)) > 0.0


def test_a_thread_that_is_begun_takes_it_over() -> None:
    found = []
    with flushed():
        thread = threading.Thread(target=lambda: found.append(are_flushed()))
        thread.start()
        thread.join()
    assert found == [True]


def test_other_threads_of_torchs_are_taken_only_where_they_make_the_same_of_them() -> None:
    """Those that have begun before are as they were: Adam would round otherwise on two."""
    answers = []
    for begun in (False, True):
        command = [sys.executable, "-c", OF_A_THREAD_THAT_DIFFERS.format(begun=begun)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        answers.append(done.stdout.strip())
    assert answers == ["True", "False"]


class Looks(Kept):
    """Notes how the thread that reports computes."""

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        super().report(step, {"flushed": are_flushed()}, elapsed_s)


@pytest.mark.parametrize("model", ["simple", "batchnorm"])
def test_a_trial_is_trained_so_and_leaves_its_process_as_it_was(model: str) -> None:
    looks = Looks()
    mnist.evaluate(trial({"model": model, "batch_size": 128}, {"epochs": 2}, kept=looks))
    assert looks.reports == [(1, {"flushed": True}), (2, {"flushed": True})]
    assert not are_flushed()


def trained(*, is_flushed: bool) -> tuple[torch.Tensor, int]:
    """The weights of a network of which a unit died early, and how many means are denormal."""
    small = mnist_data.load(data.MNIST_5K)
    torch.set_flush_denormal(is_flushed)
    training = mnist.Training(mnist.Settings(batch_size=16, epochs=5), small.train)
    for step in training.steps():
        if step == 1:
            with torch.no_grad():
                training.net[0].bias[0] = -1e3
    state = training._optimizer.state
    torch.set_flush_denormal(False)
    n_denormal = int(((state.mean != 0) & (state.mean.abs() < SMALLEST)).sum())
    return state.weights, n_denormal


def test_no_weight_depends_on_it() -> None:
    (weights, n_denormal), (others, n_left) = trained(is_flushed=False), trained(is_flushed=True)
    assert n_denormal > 700  # else this test shows nothing
    assert n_left == 0
    assert torch.equal(weights, others)
