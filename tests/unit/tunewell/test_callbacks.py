"""The callbacks for PyTorch Lightning and the Hugging Face Trainer.

Their logic is tested with doubles: a base class that does nothing in place of the library's, and
trainers that have the attributes which the callbacks read. Where the library is installed, it is
also tested that the callback is one of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tunewell.errors import NotInstalled, StaleLease, refusal
from tunewell.objective import Trial


class Channel:
    """Notes reports and checkpoints; stops after a step."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, dict[str, float]]] = []
        self.saved: list[tuple[int, str]] = []
        self.stop_after = 99
        self.should_checkpoint = False
        self.to_step = None
        self.error: Exception | None = None

    def report(self, step: int, values: Any, elapsed_s: float) -> None:
        if self.error is not None:
            raise self.error
        self.reports.append((step, dict(values)))

    def save(self, step: int, path: Path, name: str) -> None:
        self.saved.append((step, name))

    def elapsed_s(self) -> float:
        return 0.0

    @property
    def should_stop(self) -> bool:
        return bool(self.reports) and self.reports[-1][0] >= self.stop_after

    @property
    def stop_reason(self) -> str | None:
        return "stopped" if self.should_stop else None


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def trial(channel: Channel, tmp_path: Path) -> Trial:
    folder = tmp_path / "trial"
    folder.mkdir()
    return Trial(id="tr_1", number=1, params={}, options={}, channel=channel, checkpoint_dir=folder)


def loaded(name: str, library: str, base: str) -> Iterator[ModuleType]:
    """A callback's module, made anew over a base class that does nothing."""
    with pytest.MonkeyPatch.context() as patch:
        parts = library.split(".")
        for k in range(len(parts)):
            double = ModuleType(".".join(parts[: k + 1]))
            patch.setitem(sys.modules, double.__name__, double)
        setattr(sys.modules[library], base, type(base, (), {}))
        patch.delitem(sys.modules, f"tunewell.{name}", raising=False)
        yield importlib.import_module(f"tunewell.{name}")
    sys.modules.pop(f"tunewell.{name}", None)


@pytest.fixture
def lightning() -> Iterator[ModuleType]:
    yield from loaded("lightning", "lightning.pytorch", "Callback")


@pytest.fixture
def huggingface() -> Iterator[ModuleType]:
    yield from loaded("huggingface", "transformers", "TrainerCallback")


class LightningTrainer:
    """A double of Lightning's trainer, of one process."""

    def __init__(self, epoch: int = 0, **metrics: float) -> None:
        self.current_epoch = epoch
        self.callback_metrics = metrics
        self.sanity_checking = False
        self.is_global_zero = True
        self.should_stop = False
        self.strategy = SimpleNamespace(broadcast=lambda found: found)

    def save_checkpoint(self, path: str) -> None:
        Path(path).write_text("weights")


def test_lightning_reports_epochs_and_stops(
    lightning: ModuleType, trial: Trial, channel: Channel
) -> None:
    callback = lightning.TunewellCallback(trial, monitor="val_acc", metric="accuracy")
    channel.stop_after = 2
    first, second = LightningTrainer(0, val_acc=0.5), LightningTrainer(1, val_acc=0.6)
    callback.on_validation_end(first, None)
    callback.on_validation_end(first, None)  # a second validation within the epoch
    callback.on_validation_end(second, None)
    assert channel.reports == [(1, {"accuracy": 0.5}), (2, {"accuracy": 0.6})]
    assert (first.should_stop, second.should_stop) == (False, True)


def test_lightning_says_nothing_of_its_sanity_check_and_on_other_ranks(
    lightning: ModuleType, trial: Trial, channel: Channel
) -> None:
    checking = LightningTrainer(0, val_acc=0.5)
    checking.sanity_checking = True
    lightning.TunewellCallback(trial, monitor="val_acc").on_validation_end(checking, None)
    other = LightningTrainer(0, val_acc=0.5)
    other.is_global_zero = False
    other.strategy.broadcast = lambda found: (True, None)  # what rank 0 has decided
    lightning.TunewellCallback(None, monitor="val_acc").on_validation_end(other, None)
    assert channel.reports == []
    assert other.should_stop


def test_lightning_saves_when_a_checkpoint_is_wanted_and_goes_on_from_it(
    lightning: ModuleType, trial: Trial, channel: Channel
) -> None:
    callback = lightning.TunewellCallback(trial, monitor="val_acc")
    assert callback.ckpt_path is None
    channel.should_checkpoint = True
    callback.on_validation_end(LightningTrainer(0, val_acc=0.5), None)
    assert channel.saved == [(1, ".")]
    assert callback.ckpt_path == str(trial.checkpoint_dir / "lightning.ckpt")


def test_a_lost_lease_stops_all_ranks(
    lightning: ModuleType, trial: Trial, channel: Channel
) -> None:
    channel.error = refusal(409, {"code": "stale-lease"})
    assert isinstance(channel.error, StaleLease)
    trainer = LightningTrainer(0, val_acc=0.5)
    lightning.TunewellCallback(trial, monitor="val_acc").on_validation_end(trainer, None)
    assert trainer.should_stop


def test_a_metric_that_the_trainer_has_not_is_named_with_a_near_miss(
    lightning: ModuleType, trial: Trial
) -> None:
    callback = lightning.TunewellCallback(trial, monitor="val_accuracy")
    with pytest.raises(ValueError, match="'val_accuracy'; did you mean 'val_accurcy'"):
        callback.on_validation_end(LightningTrainer(0, val_accurcy=0.5), None)


def test_huggingface_reports_global_steps_stops_and_saves(
    huggingface: ModuleType, trial: Trial, channel: Channel, tmp_path: Path
) -> None:
    callback = huggingface.TunewellCallback(trial, monitor="eval_loss", metric="loss")
    assert callback.resume_from is None
    args = SimpleNamespace(output_dir=str(tmp_path))
    control = SimpleNamespace(should_training_stop=False)
    state = SimpleNamespace(global_step=50, is_world_process_zero=True)
    (tmp_path / "checkpoint-50").mkdir()
    callback.on_save(args, state, control)  # nothing is reported yet
    callback.on_evaluate(args, state, control, metrics={"eval_loss": 0.5})
    callback.on_save(args, state, control)
    assert channel.reports == [(50, {"loss": 0.5})]
    assert channel.saved == [(50, "checkpoint-50")]
    assert not control.should_training_stop
    channel.stop_after = 100
    state.global_step = 100
    callback.on_evaluate(args, state, control, metrics={"eval_loss": 0.4})
    assert control.should_training_stop


def test_huggingface_goes_on_from_the_newest_and_is_silent_on_other_ranks(
    huggingface: ModuleType, trial: Trial, channel: Channel
) -> None:
    for step in (50, 100):
        (trial.checkpoint_dir / f"checkpoint-{step}").mkdir()
    callback = huggingface.TunewellCallback(trial, monitor="eval_loss")
    assert callback.resume_from == str(trial.checkpoint_dir / "checkpoint-100")
    state = SimpleNamespace(global_step=50, is_world_process_zero=False)
    control = SimpleNamespace(should_training_stop=False)
    callback.on_evaluate(None, state, control, metrics={"eval_loss": 0.5})
    callback.on_save(None, state, control)
    assert (channel.reports, channel.saved) == ([], [])


@pytest.mark.parametrize(
    ("name", "libraries"),
    [("lightning", ("lightning", "pytorch_lightning")), ("huggingface", ("transformers",))],
)
def test_without_the_library_the_error_says_what_to_install(
    name: str, libraries: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (*libraries, "lightning.pytorch"):
        monkeypatch.setitem(sys.modules, each, None)  # type: ignore[arg-type]
    monkeypatch.delitem(sys.modules, f"tunewell.{name}", raising=False)
    with pytest.raises(NotInstalled, match="pip install"):
        importlib.import_module(f"tunewell.{name}")


@pytest.mark.skipif(
    importlib.util.find_spec("lightning") is None, reason="lightning is not installed"
)
def test_it_is_a_callback_of_lightnings() -> None:
    from lightning.pytorch import Callback

    from tunewell.lightning import TunewellCallback

    assert issubclass(TunewellCallback, Callback)


@pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
def test_it_is_a_callback_of_the_trainers() -> None:
    from transformers import TrainerCallback

    from tunewell.huggingface import TunewellCallback

    assert issubclass(TunewellCallback, TrainerCallback)
