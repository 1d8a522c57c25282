"""A small network on MNIST: `simple` 784-128-10, or `batchnorm` 784-128-64-10 with BatchNorm1d.

Adam and cross entropy on tensors that lie in memory; one thread, one generator per trial. By
default accuracy is measured on the test images after each epoch, which selects on the test set; the
option `validation` holds the last sixth of the training images out (10,000 of 60,000) and scores
those.

`momentum` is PyTorch's: running = (1 - momentum) * running + momentum * batch, so a HIGH value
forgets quickly. It changes the evaluation alone: training never reads the running statistics. So
trials that differ in momentum only share one training, see `training_record`.
"""

from __future__ import annotations

import functools
import io
import itertools
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from tunewell import together
from tunewell.objective import Trial

from . import data, mixed_batches, mnist_data, scoring
from .adam import Adam, copy_into
from .denormals import flushed
from .mnist_data import N_PIXELS, Part
from .products import Linear
from .running_statistics import RunningStatistics
from .training_record import Record, Step, record_key
from .written_out import WrittenOutStep

BatchStep: TypeAlias = Callable[[Part, torch.Tensor], None]
"""Moves a network by one batch: rows (b,) of the training images."""

HELD_OUT_SHARE = 6
"""One training image in so many is held out for validation: the last 10,000 of 60,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is trained, and how long.

    Attributes:
        momentum: of the batch normalisation; of no meaning for the model `simple`.
        seed: of the initial weights and of the order of the images.
    """

    learning_rate: float = 0.001
    batch_size: int = 64
    model: str = "simple"
    momentum: float = 0.1
    epochs: int = 3
    steps_per_epoch: int = 1
    seed: int = 0
    device: str = "cpu"


def network(settings: Settings) -> nn.Sequential:
    """A fresh network; its weights are drawn from the global generator."""
    if settings.model == "simple":
        return nn.Sequential(Linear(N_PIXELS, 128), nn.ReLU(), Linear(128, 10))
    return nn.Sequential(
        Linear(N_PIXELS, 128),
        nn.BatchNorm1d(128, momentum=settings.momentum),
        nn.ReLU(),
        Linear(128, 64),
        nn.BatchNorm1d(64, momentum=settings.momentum),
        nn.ReLU(),
        Linear(64, 10),
    )


def _one() -> int:
    return 1


class Training:
    """A network in training.

    The order of the images is drawn on the CPU whatever the device, so that a seed means the same
    everywhere.

    Args:
        scored: what is scored after each step; None where nothing is.
        record: of this training and of what is scored, with any momentum; what it holds is not
            trained again.
        n_cores: how many of the CPU's cores there are for it now; no bit of a result depends on
            them.

    Attributes:
        step: how many steps (epochs or thirds of one) it has behind it.
    """

    def __init__(
        self,
        settings: Settings,
        train: Part,
        scored: Part | None = None,
        record: Record | None = None,
        n_cores: Callable[[], int] = _one,
    ) -> None:
        self._settings, self._train, self._record = settings, train, record
        self._scored = scored
        self._first: torch.Tensor | None = None  # the first layer's outputs for what is scored
        self._is_whole = True  # else the first layer and the optimizer are behind `step`
        torch.manual_seed(settings.seed)
        self._order_rng = torch.Generator().manual_seed(settings.seed)
        self._epoch_begin = self._order_rng.get_state()
        self._net = network(settings).to(settings.device).train()
        self._running = RunningStatistics(self._net, settings.momentum)
        self._optimizer = Adam(self._net, settings.learning_rate)
        self._move: BatchStep
        self._threads: scoring.ThreadsOf = scoring.one_thread
        if settings.model == "simple":
            lent = n_cores if settings.device == "cpu" else _one
            self._move = step = WrittenOutStep(self._net, self._optimizer, lent)
            self._threads = step.n_threads_of_first
        else:
            self._move = _by_autograd(self._net, self._optimizer)
        self.step = 0

    @property
    def net(self) -> nn.Sequential:
        """The network; after a step its running statistics are those of the trial's momentum."""
        self._make_whole()
        return self._net

    def steps(self) -> Iterator[int]:
        """Trains to the end, a step at a time; says how many there were."""
        for _ in range(self.step, self._settings.epochs * self._settings.steps_per_epoch):
            if self._record is None:
                self._running.take(self._train_step())
            else:
                self._step_once(self._record)
            yield self.step

    def score(self) -> scoring.Score:
        """How the network does on what is scored.

        Raises:
            ValueError: nothing is.
        """
        if self._scored is None:
            raise ValueError("this training has nothing to score")
        return scoring.score(self._net, self._scored, first=self._first, threads=self._threads)

    def _step_once(self, record: Record) -> None:
        """Takes a step from the record, or trains it for the record.

        Who trains it holds the record, so that another trial waits for the step and takes it.
        """
        following = self.step + 1
        # Looked at before: the holder may be training a later step.
        if (found := record.step(following)) is None:
            with record.alone():
                if (found := record.step(following)) is None:
                    self._record_step(record)
                    return
        self._is_whole = False
        self.step, self._first = following, found.first.to(self._settings.device)
        copy_into(found.rest.to(self._settings.device), self._net[1:].parameters())
        self._running.take(found.statistics)

    def _record_step(self, record: Record) -> None:
        """Trains a step for whoever asks for it."""
        statistics = self._train_step()
        self._running.take(statistics)
        if self._scored is not None:
            self._first = scoring.first_layer(self._net, self._scored.x)
        first = torch.empty(0) if self._first is None else self._first
        rest = parameters_to_vector(self._net[1:].parameters()).detach()
        record.put_step(
            self.step, Step(statistics=statistics, first=first, rest=rest), self.saved()
        )

    def _make_whole(self) -> None:
        """Fetches what a step from the record has left behind; what cannot be read is trained."""
        if self._is_whole or self._record is None:
            return
        state = self._record.state(self.step)
        if state is None:
            again = Training(self._settings, self._train)
            for _ in itertools.islice(again.steps(), self.step):
                pass
            state = again.saved()
        self._load(state)
        self._running.show()

    def _train_step(self) -> torch.Tensor:
        """Trains for one step; the batch statistics of all its batches."""
        self._make_whole()
        self._first = None
        batches = self._next_batches()
        statistics = self._running.rows(len(batches))
        for rows, own in zip(batches, statistics, strict=True):
            self._move(self._train, rows)
            self._running.note(own)
        self.step += 1
        return statistics.cpu()

    def _next_batches(self) -> list[torch.Tensor]:
        """Rows of the batches of the step that comes next."""
        settings, y = self._settings, self._train.y
        self._order_rng.set_state(self._epoch_begin)  # within an epoch its order is drawn again
        order = torch.randperm(len(y), generator=self._order_rng).to(y.device)
        batches = list(torch.split(order, settings.batch_size))
        if settings.model == "batchnorm" and len(batches[-1]) == 1:
            # A batch of one row has no variance to normalise by.
            batches.pop()
        third = self.step % settings.steps_per_epoch
        if third == settings.steps_per_epoch - 1:
            self._epoch_begin = self._order_rng.get_state()
        return _parts(batches, settings.steps_per_epoch)[third]

    def saved(self) -> bytes:
        """All that the steps to come depend on."""
        self._make_whole()
        # Copies: what is saved of a view is all that it is a view of.
        net = {name: value.clone() for name, value in self._net.state_dict().items()}
        content = {
            "step": self.step,
            "net": net,
            "optimizer": self._optimizer.saved(),
            "order": self._epoch_begin,
        }
        file = io.BytesIO()
        torch.save(content, file)
        return file.getvalue()

    def restore(self, content: bytes) -> None:
        """Goes on from what `saved` wrote for the same settings."""
        self._load(content)
        self._first = None
        self._running.restore()

    def _load(self, content: bytes) -> None:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        self._is_whole = True
        self.step = int(state["step"])
        self._net.load_state_dict(state["net"])
        self._optimizer.load(state["optimizer"])
        self._epoch_begin = state["order"]


def _by_autograd(net: nn.Sequential, optimizer: Adam) -> BatchStep:
    def move(train: Part, rows: torch.Tensor) -> None:
        optimizer.gradients.zero_()
        x, y = train.x.index_select(0, rows), train.y.index_select(0, rows)
        torch.autograd.backward(cross_entropy(net(x), y))
        optimizer.step()

    return move


def _parts(batches: list[torch.Tensor], n_parts: int) -> list[list[torch.Tensor]]:
    borders = [round(len(batches) * part / n_parts) for part in range(n_parts + 1)]
    return [batches[low:high] for low, high in itertools.pairwise(borders)]


def held_out(train: Part) -> tuple[Part, Part]:
    """The training images without the last sixth, and that sixth."""
    n_kept = len(train.y) - len(train.y) // HELD_OUT_SHARE
    return (
        Part(x=train.x[:n_kept], y=train.y[:n_kept]),
        Part(x=train.x[n_kept:], y=train.y[n_kept:]),
    )


def preload(options: Mapping[str, Any], data_digest: str | None) -> None:
    """Loads the data before the process of the first trial is forked off; downloads nothing."""
    torch.set_num_threads(1)
    torch.manual_seed(0)  # the first one of a process looks for devices
    wanted = options.get("dataset", "auto")
    mnist_data.load(mnist_data.choose(wanted, data_digest, may_download=False))


@flushed()
def evaluate(trial: Trial) -> dict[str, float]:
    """Trains the network of one trial and reports its score after every step."""
    torch.set_num_threads(1)
    settings = _settings(trial)
    source = mnist_data.choose(
        trial.options.get("dataset", "auto"), trial.data_digest, may_download=True
    )
    trial.data = data.described(source)
    is_validated = bool(trial.options.get("validation", False))
    with _LOADING:  # trials that are trained together read them once
        parts = _parts_of(source, is_validated, settings.device)
    run = _training(trial, settings, source, parts)
    state = trial.checkpoint_dir / "state"
    if state.exists():
        run.restore(state.read_bytes())
    values = asdict(run.score()) if run.step else {}
    for step in run.steps():
        values = asdict(run.score())
        trial.report(step, **values)
        if trial.should_checkpoint:
            state.write_bytes(run.saved())
            trial.save()
        if trial.should_stop:
            break
    if is_validated:
        test = asdict(scoring.score(run.net, parts.test))
        values |= {f"test_{name}": value for name, value in test.items()}
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The images of a trial on its device: those it trains on, is scored on, and the test set."""

    train: Part
    scored: Part
    test: Part


_LOADING = threading.Lock()


@functools.lru_cache(maxsize=2)
def _parts_of(source: data.DataSet, is_validated: bool, device: str) -> Parts:
    mnist = mnist_data.load(source)
    test = _on(mnist.test, device)
    if not is_validated:
        return Parts(train=_on(mnist.train, device), scored=test, test=test)
    train, scored = held_out(mnist.train)
    return Parts(train=_on(train, device), scored=_on(scored, device), test=test)


def _training(trial: Trial, settings: Settings, source: data.DataSet, parts: Parts) -> Training:
    """The training of a trial: in a process of several, one that goes on with others if it can."""
    seat, key = together.seat(), pack_key(trial.params, trial.options)
    if seat is None:
        record = _record(trial, settings, source)
        return Training(settings, parts.train, parts.scored, record, lambda: trial.n_cores)
    from . import mnist_stacked as stacked  # which needs this module

    if key is None:
        record = _record(trial, settings, source)
        return stacked.Single(settings, parts.train, parts.scored, record, seat=seat)
    return stacked.Lane(
        settings,
        parts.train,
        parts.scored,
        seat=seat,
        key=(key, source.digest, settings.device),
        epoch_s=cost(trial.params, 1),
    )


def pack_key(params: Mapping[str, Any], options: Mapping[str, Any]) -> Hashable | None:
    """Names the trials that may be trained as one: the same network, images, and bucket of batch
    sizes.

    Those with batch normalisation are trained one at a time: what they share is a training, see
    `training_record`.
    """
    settings = Settings(**params)
    if settings.model != "simple":
        return None
    shared = [options.get("dataset", "auto"), bool(options.get("validation", False))]
    size = mixed_batches.bucket(settings.batch_size)
    return (settings.model, size, options.get("steps_per_epoch", 1), *shared)


def cost(params: Mapping[str, Any], resource: int) -> float:
    """Seconds that so many epochs are thought to take alone on one core of 2020: a step of
    0.4 ms and 9 us a row, over 60,000 images.
    """
    size = Settings(**params).batch_size
    return resource * 60_000 / size * (4e-4 + 9e-6 * size)


def _record(trial: Trial, settings: Settings, source: data.DataSet) -> Record | None:
    """The record of a trial's training, where another trial can come to use it: without the option
    `seed` each trial has a training of its own.
    """
    if (
        trial.store_dir is None
        or settings.model != "batchnorm"
        or trial.options.get("seed") is None
    ):
        return None
    key = record_key(
        data=source.digest,
        validation=trial.options.get("validation", False),
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        steps_per_epoch=settings.steps_per_epoch,
        seed=settings.seed,
        device=settings.device,
    )
    return Record(trial.store_dir, key)


def equivalent(trial: Trial) -> dict[str, Any] | None:
    """The canonical point: everything that the result depends on beside the study's options.

    Without the option `seed` each trial has a seed of its own and is equal to no other. The model
    `simple` has no batch normalisation whose momentum could matter.
    """
    if trial.options.get("seed") is None:
        return None
    point = asdict(_settings(trial))
    if point["model"] == "simple":
        del point["momentum"]
    # Other kernels round otherwise.
    kind = torch.device(trial.device).type
    return {**point, "device": kind, "torch": str(torch.__version__)}


def _settings(trial: Trial) -> Settings:
    params: Mapping[str, Any] = trial.params
    options = {
        key: trial.options[key] for key in ("epochs", "steps_per_epoch") if key in trial.options
    }
    return Settings(**params, **options, seed=trial.seed, device=trial.device)


def _on(part: Part, device: str) -> Part:
    return part if device == "cpu" else Part(x=part.x.to(device), y=part.y.to(device))
