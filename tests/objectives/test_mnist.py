"""The two networks: what they learn, and what their options change."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workers.objectives import (
    adam,
    data,
    mnist,
    mnist_data,
    scoring,
    threads_that_pay,
    written_out,
)
from workers.objectives.adam import Adam
from workers.objectives.mnist import Settings
from workers.objectives.mnist_data import Part
from workers.objectives.written_out import WrittenOut, WrittenOutStep

from .trials import Kept, trial

SMALL = {"dataset": "mnist-5k"}


def values(params: dict[str, Any], **options: Any) -> dict[str, float]:
    return mnist.evaluate(trial(params, {**SMALL, **options}))


@pytest.mark.parametrize(
    ("model", "low"), [({"model": "simple"}, 0.88), ({"model": "batchnorm"}, 0.90)]
)
def test_three_epochs_on_the_small_set_learn_most_digits(model: dict[str, Any], low: float) -> None:
    found = values({"learning_rate": 0.003, "batch_size": 32, **model})
    assert low < found["accuracy"] < 0.97


def test_the_networks_have_the_articles_layers() -> None:
    simple = mnist.network(Settings(model="simple"))
    normed = mnist.network(Settings(model="batchnorm", momentum=0.3))
    assert [tuple(p.shape) for p in simple.parameters()] == [(128, 784), (128,), (10, 128), (10,)]
    assert sum(p.numel() for p in simple.parameters()) == 101_770
    widths = [layer.out_features for layer in normed if isinstance(layer, torch.nn.Linear)]
    assert widths == [128, 64, 10]
    norms = [layer for layer in normed if isinstance(layer, torch.nn.BatchNorm1d)]
    assert [norm.momentum for norm in norms] == [0.3, 0.3]


def test_three_steps_an_epoch_are_thirds_of_it() -> None:
    kept = Kept()
    options = {**SMALL, "epochs": 2, "steps_per_epoch": 3}
    in_thirds = mnist.evaluate(trial({"batch_size": 100}, options, kept=kept))
    assert [step for step, _ in kept.reports] == [1, 2, 3, 4, 5, 6]
    assert in_thirds == values({"batch_size": 100}, epochs=2)


def test_the_data_set_and_its_digest_are_told() -> None:
    of = trial({}, {**SMALL, "epochs": 1})
    mnist.evaluate(of)
    assert of.data == {"dataset": "mnist-5k", "digest": data.MNIST_5K.digest}


def test_validation_scores_held_out_training_images_and_the_test_set_at_the_end_only() -> None:
    kept = Kept()
    options = {**SMALL, "epochs": 2, "validation": True}
    final = mnist.evaluate(trial({"batch_size": 100}, options, kept=kept))
    assert set(kept.reports[0][1]) == {"accuracy", "loss"}
    assert set(final) == {"accuracy", "loss", "test_accuracy", "test_loss"}
    assert final["accuracy"] != final["test_accuracy"]


def test_a_sixth_of_the_training_images_is_held_out() -> None:
    numbers = torch.arange(60_000)
    train, scored = mnist.held_out(Part(x=numbers.float(), y=numbers))
    assert (len(train.y), len(scored.y)) == (50_000, 10_000)
    assert int(scored.y[0]) == 50_000


def test_another_seed_gives_another_training() -> None:
    assert values({}, epochs=1, seed=1) != values({}, epochs=1, seed=2)
    assert values({}, epochs=1, seed=1) == values({}, epochs=1, seed=1)


@pytest.mark.parametrize("n_rows", [33, 34])
def test_a_last_batch_of_one_row_is_skipped_under_batch_normalisation(n_rows: int) -> None:
    mnist_5k = mnist_data.load(data.MNIST_5K).train
    train = Part(x=mnist_5k.x[:n_rows], y=mnist_5k.y[:n_rows])
    settings = Settings(model="batchnorm", batch_size=16, epochs=1)
    training = mnist.Training(settings, train)
    assert list(training.steps()) == [1]
    norm = next(layer for layer in training.net if isinstance(layer, torch.nn.BatchNorm1d))
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == (2 if n_rows == 33 else 3)


def test_momentum_changes_the_evaluation_and_not_the_training() -> None:
    train = mnist_data.load(data.MNIST_5K).train
    nets = []
    for momentum in (0.01, 0.9):
        settings = Settings(model="batchnorm", batch_size=500, epochs=1, momentum=momentum)
        training = mnist.Training(settings, train)
        assert list(training.steps()) == [1]
        nets.append(training.net)
    low, high = nets
    for one, other in zip(low.parameters(), high.parameters(), strict=True):
        assert torch.equal(one, other)
    scores = [scoring.score(net, train) for net in nets]
    assert scores[0] != scores[1]


def test_evaluation_leaves_the_network_in_training_mode() -> None:
    test = mnist_data.load(data.MNIST_5K).test
    net = mnist.network(Settings())
    score = scoring.score(net, test)
    assert net.training
    with torch.no_grad():
        logits = net(test.x)
    right = (logits.argmax(1) == test.y).float().mean()
    assert score.accuracy == pytest.approx(float(right))
    loss = torch.nn.functional.cross_entropy(logits, test.y)
    assert score.loss == pytest.approx(float(loss), rel=1e-5)


def test_the_gradients_written_out_are_those_of_autograd() -> None:
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = mnist.network(Settings()).double()
    x = torch.randn(17, 784, generator=rng, dtype=torch.float64)
    train = Part(x=x, y=torch.randint(0, 10, (17,), generator=rng))
    optimizer = Adam(net, 0.003)
    for rows in torch.tensor([3, 1, 16, 2]), torch.arange(17):
        optimizer.gradients.zero_()
        torch.nn.functional.cross_entropy(net(x[rows]), train.y[rows]).backward()
        expected = optimizer.gradients.clone()
        optimizer.gradients.zero_()
        first = WrittenOut(net)(train, rows)
        found = torch.cat([first.flatten(), optimizer.gradients[first.numel() :]])
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
        optimizer.step(first)


@pytest.mark.parametrize("model", ["simple", "batchnorm"])
def test_a_network_is_moved_as_torchs_adam_moves_it(model: str) -> None:
    settings = Settings(model=model, batch_size=64, learning_rate=0.003)
    train = mnist_data.load(data.MNIST_5K).train
    torch.manual_seed(0)
    ours, theirs = mnist.network(settings), mnist.network(settings)
    theirs.load_state_dict(ours.state_dict())
    mine, torchs = Adam(ours, 0.003), torch.optim.Adam(theirs.parameters(), lr=0.003)
    for number, rows in enumerate(torch.split(torch.arange(640), 64)):
        if number == 5:  # another one goes on from what was saved
            saved, mine = mine.saved(), Adam(ours, 0.003)
            mine.load(saved)
        mine.gradients.zero_()
        torch.nn.functional.cross_entropy(ours(train.x[rows]), train.y[rows]).backward()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.grad = None if one.grad is None else one.grad.clone()
        mine.step()
        torchs.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)
    kept = torchs.state_dict()["state"].values()
    for name, average in (("mean", "exp_avg"), ("square", "exp_avg_sq")):
        expected = torch.cat([each[average].flatten() for each in kept])
        torch.testing.assert_close(mine.saved()[name], expected, rtol=1e-5, atol=1e-9)
    assert mine.saved()["n_batches"] == 10


def test_a_gradient_may_lie_elsewhere_than_with_the_others() -> None:
    """As that of the first layer does where oneDNN makes it."""
    settings, moved = Settings(), []
    for lies_elsewhere in False, True:
        torch.manual_seed(0)
        net = mnist.network(settings)
        optimizer = Adam(net, 0.003)
        for _ in range(3):
            optimizer.gradients.copy_(optimizer.state.weights.flip(0))
            gradient = net[0].weight.grad
            assert gradient is not None
            first = gradient.clone() if lies_elsewhere else gradient
            if lies_elsewhere:
                gradient.fill_(torch.nan)
            optimizer.step(first)
        moved.append(optimizer.state.weights)
    torch.testing.assert_close(*moved, rtol=1e-6, atol=1e-8)


def test_threads_are_compared_alike_before_the_first_step_and_after_it() -> None:
    """Before it all means are zero, and there is no number of steps to correct them by."""
    optimizer = Adam(mnist.network(Settings()), 0.003)
    optimizer.gradients.fill_(1.0)
    before = optimizer.is_same_on(2)
    optimizer.step()
    assert optimizer.is_same_on(2) is before
    assert optimizer.state.n_batches == 1


@pytest.mark.parametrize("model", ["simple", "batchnorm"])
def test_training_imports_no_compiler(model: str) -> None:
    """Which torch's own optimizer does: a second, and 150 MB."""
    code = (
        "import sys\n"
        "from tests.objectives.trials import trial\n"
        "from workers.objectives import mnist\n"
        f"options = {{**{SMALL}, 'epochs': 1}}\n"
        "mnist.preload(options, None)\n"
        f"mnist.evaluate(trial({{'model': {model!r}, 'batch_size': 1000}}, options))\n"
        "assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Threads:
    """Cores that come and go; counts the steps and the scorings on several threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_several = self.n_scored = 0
        self.agreed: list[bool] = []
        self._cores = itertools.cycle([1] + [2] * 9 + [3] * 3)
        monkeypatch.setattr(threads_that_pay, "N_ALONE", 1)
        # However slow they are here: this is about bits.
        monkeypatch.setattr(threads_that_pay, "CREDIT_S", 1e9)
        step, compare = WrittenOut.__call__, adam.is_same_on
        of_first = WrittenOutStep.n_threads_of_first

        def scored(of: WrittenOutStep, x: torch.Tensor) -> int:
            n_threads = of_first(of, x)
            self.n_scored += n_threads > 1
            return n_threads

        def counted(
            of: WrittenOut, train: Part, rows: torch.Tensor, n_threads: int
        ) -> torch.Tensor:
            self.n_several += n_threads > 1
            return step(of, train, rows, n_threads)

        def noted(n_threads: int, compute: Callable[[], torch.Tensor]) -> bool:
            self.agreed.append(compare(n_threads, compute))
            return self.agreed[-1]

        monkeypatch.setattr(WrittenOut, "__call__", counted)
        monkeypatch.setattr(WrittenOutStep, "n_threads_of_first", scored)
        for module in adam, written_out:
            monkeypatch.setattr(module, "is_same_on", noted)

    def now(self) -> int:
        return next(self._cores)


@pytest.mark.parametrize("batch_size", [16, 50, 128])
def test_no_bit_depends_on_the_cores_of_a_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, batch_size: int
) -> None:
    options = {**SMALL, "epochs": 1, "steps_per_epoch": 3}

    def run(folder: Path, cores: Callable[[], int] | None) -> Kept:
        folder.mkdir()
        kept = Kept(checkpoints=True)
        of = trial(
            {"batch_size": batch_size}, options, kept=kept, checkpoint_dir=folder, cores_now=cores
        )
        mnist.evaluate(of)
        return kept

    alone = run(tmp_path / "alone", None)
    threads = Threads(monkeypatch)
    lent = run(tmp_path / "lent", threads.now)
    assert lent.reports == alone.reports
    assert lent.checkpoints == alone.checkpoints
    assert torch.get_num_threads() == 1
    if not all(threads.agreed):
        pytest.skip("this processor's products round otherwise on several threads")
    assert threads.n_several > 10
    assert threads.n_scored > 0


def test_one_thread_is_kept_where_several_would_round_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = Threads(monkeypatch)
    monkeypatch.setattr(adam, "is_same_on", lambda n_threads, compute: False)
    mnist.evaluate(trial({}, {**SMALL, "epochs": 1}, cores_now=lambda: 2))
    assert threads.n_several == 0
    assert threads.n_scored == 0


def test_images_are_scored_on_the_threads_of_the_steps_while_there_are_cores_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_cores, compared = 2, []
    monkeypatch.setattr(threads_that_pay, "N_ALONE", 1)
    net = mnist.network(Settings())
    step = WrittenOutStep(net, Adam(net, 0.001), lambda: n_cores)
    small = mnist_data.load(data.MNIST_5K)
    x = small.test.x[:100]

    def same(n_threads: int, compute: Callable[[], torch.Tensor]) -> bool:
        compared.append(tuple(compute().shape))
        return len(compared) < 2

    monkeypatch.setattr(written_out, "is_same_on", lambda n_threads, compute: True)
    monkeypatch.setattr(adam, "is_same_on", lambda n_threads, compute: True)
    assert step.n_threads_of_first(x) == 1  # before any step
    for _ in range(2):  # one alone, one on two
        step(small.train, torch.arange(16))
    monkeypatch.setattr(written_out, "is_same_on", same)
    assert [step.n_threads_of_first(x) for _ in range(2)] == [2, 2]
    assert step.n_threads_of_first(x[:50]) == 1
    assert compared == [(100, 128), (50, 128)]
    n_cores = 1
    assert step.n_threads_of_first(x) == 1
