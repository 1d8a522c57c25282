"""What the callbacks for PyTorch Lightning and the Hugging Face Trainer share, and what they say
where the library is not installed.

In the libraries' own trainers they are tested by tests/sdk/test_lightning.py and
tests/sdk/test_huggingface.py: `make test-callbacks`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tunewell.errors import NotInstalled, StaleLease, refusal
from tunewell.monitor import Monitor
from tunewell.objective import Trial


class Channel:
    """Notes reports; stops after a step."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, dict[str, float]]] = []
        self.stop_after = 99
        self.to_step = None
        self.error: Exception | None = None

    def report(self, step: int, values: Any, elapsed_s: float) -> None:
        if self.error is not None:
            raise self.error
        self.reports.append((step, dict(values)))

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
    return Trial(
        id="tr_1", number=1, params={}, options={}, channel=channel, checkpoint_dir=tmp_path
    )


def test_a_step_is_reported_once_under_the_studys_name(trial: Trial, channel: Channel) -> None:
    monitor = Monitor(trial, "val_acc", "accuracy")
    channel.stop_after = 2
    told = [monitor.report(step, {"val_acc": step / 10, "loss": 1.0}) for step in (1, 1, 2)]
    assert channel.reports == [(1, {"accuracy": 0.1}), (2, {"accuracy": 0.2})]
    assert told == [False, False, True]


def test_a_lost_lease_ends_the_training(trial: Trial, channel: Channel) -> None:
    channel.error = refusal(409, {"code": "stale-lease"})
    assert isinstance(channel.error, StaleLease)
    assert Monitor(trial, "val_acc", None).report(1, {"val_acc": 0.5})


def test_a_metric_that_the_trainer_has_not_is_named(trial: Trial) -> None:
    monitor = Monitor(trial, "val_accuracy", None)
    with pytest.raises(ValueError, match="'val_accuracy'; did you mean 'val_accurcy'"):
        monitor.report(1, {"val_accurcy": 0.5})
    with pytest.raises(ValueError, match="'val_accuracy': none"):
        monitor.report(1, {})


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
    with pytest.raises(NotInstalled, match=rf"pip install 'tunewell\[{name}\]'"):
        importlib.import_module(f"tunewell.{name}")
