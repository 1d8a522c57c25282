"""Objectives that are classes: when they are advanced, saved, loaded and left alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tunewell


class Channel:
    """Says what a trial may do by the step that it has reported.

    Attributes:
        budgets: reported step -> new end of the budget.
        stop_at: at this step the trial is told to end.
        save_at: steps at which a checkpoint is wanted.
    """

    def __init__(
        self,
        to_step: int | None = None,
        *,
        budgets: Mapping[int, int | None] | None = None,
        stop_at: int | None = None,
        save_at: tuple[int, ...] = (),
    ) -> None:
        self.to_step = to_step
        self.budgets = dict(budgets or {})
        self.stop_at = stop_at
        self.save_at = save_at
        self.reports: list[tuple[int, dict[str, float]]] = []
        self.saved: list[tuple[int, str]] = []

    @property
    def _step(self) -> int:
        return self.reports[-1][0] if self.reports else 0

    @property
    def should_stop(self) -> bool:
        return self.stop_at is not None and self._step >= self.stop_at

    @property
    def should_checkpoint(self) -> bool:
        return self._step in self.save_at

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        self.reports.append((step, dict(values)))
        self.to_step = self.budgets.get(step, self.to_step)

    def save(self, step: int, path: Path, name: str) -> None:
        assert name == "."
        self.saved.append((step, (path / "total").read_text()))

    def elapsed_s(self) -> float:
        return 0.0


class Sum:
    """Sums up the steps that it is trained; `steps` and `every` of the options say how far."""

    def setup(self, trial: tunewell.Trial) -> None:
        self.total, self.done = 0, 0
        if "steps" in trial.options:
            self.n_steps = trial.options["steps"]
        if "every" in trial.options:
            self.report_every = trial.options["every"]

    def advance(self, to_step: int) -> Mapping[str, float]:
        self.total += sum(range(self.done + 1, to_step + 1))
        self.done = to_step
        return {"total": float(self.total)}


class SavingSum(Sum):
    """The same with checkpoints."""

    def save(self, folder: Path) -> None:
        (folder / "total").write_text(f"{self.done} {self.total}")

    def load(self, folder: Path) -> None:
        self.done, self.total = map(int, (folder / "total").read_text().split())


def made(code: Any, max_resource: int | None = 6) -> tunewell.Objective:
    decorate = tunewell.objective(
        name="sum", metrics={"total": "maximize"}, max_resource=max_resource
    )
    return decorate(code)


def run(
    channel: Channel, code: Any = SavingSum, *, max_resource: int | None = 6, **fields: Any
) -> list[int]:
    """Evaluates a trial; the steps that it reported."""
    given: dict[str, Any] = {"id": "tr_1", "number": 1, "params": {}, "options": {}, **fields}
    made(code, max_resource)(tunewell.Trial(channel=channel, **given))
    assert all(values == {"total": step * (step + 1) / 2} for step, values in channel.reports)
    return [step for step, _ in channel.reports]


def test_it_is_advanced_step_by_step_to_its_end() -> None:
    assert run(Channel()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "to_step", "budgets", "steps"),
    [
        ({"every": 4}, None, {}, [4, 6]),
        ({"every": 4, "steps": 9}, None, {}, [4, 8, 9]),
        ({"every": 4, "steps": 9}, 3, {3: 5, 5: None}, [3, 4, 5, 8, 9]),
        ({"steps": 3}, 99, {}, [1, 2, 3]),
        # An answer that grants nothing more lets the training come to its end.
        ({"every": 2, "steps": 5}, 2, {}, [2, 4, 5]),
    ],
)
def test_it_reports_at_multiples_at_its_budgets_end_and_at_its_end(
    options: dict[str, int], to_step: int | None, budgets: dict[int, int | None], steps: list[int]
) -> None:
    assert run(Channel(to_step, budgets=budgets), options=options) == steps


def test_it_is_stopped_after_the_report_that_says_so() -> None:
    assert run(Channel(stop_at=2)) == [1, 2]


def test_it_is_saved_when_that_is_wanted_also_when_it_is_to_end() -> None:
    channel = Channel(stop_at=4, save_at=(2, 4))
    run(channel)
    assert channel.saved == [(2, "2 3"), (4, "4 10")]


def test_it_goes_on_from_what_it_saved(tmp_path: Path) -> None:
    (tmp_path / "total").write_text("4 10")
    assert run(Channel(), checkpoint_dir=tmp_path, last_step=4) == [5, 6]


def test_one_that_was_saved_at_its_end_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / "total").write_text("6 21")
    assert run(Channel(), checkpoint_dir=tmp_path, last_step=6) == []


@pytest.mark.parametrize(("code", "expected"), [(Sum, False), (SavingSum, True)])
def test_a_class_has_checkpoints_when_it_can_save_and_load(code: Any, expected: bool) -> None:
    assert made(code).offer()["checkpoints"] is expected


def test_one_without_checkpoints_is_asked_for_none() -> None:
    channel = Channel(save_at=(1, 2))
    run(channel, Sum)
    assert channel.saved == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "n_steps has to be an integer from 1 on, not None.*max_resource"),
        ({"steps": 0}, "n_steps has to be"),
        ({"steps": 3, "every": 0.5}, "report_every has to be"),
    ],
)
def test_a_length_that_is_none_is_named(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        run(Channel(), max_resource=None, options=options)


def test_a_checkpoint_of_a_class_that_can_no_longer_load_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"no load\(folder\)"):
        run(Channel(), Sum, checkpoint_dir=tmp_path, last_step=4)
