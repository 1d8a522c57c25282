"""Objectives that are classes: what they train and save is theirs, the loop is ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .objective import Trial


class Training(Protocol):
    """An objective as a class, made anew without arguments for each trial.

    ```python
    @tunewell.objective(name="cnn", metrics={"accuracy": "maximize"}, max_resource=10)
    class Cnn:
        def setup(self, trial):
            self.model = build(trial.params)

        def advance(self, to_step):
            return {"accuracy": train_one_epoch(self.model)}

        def save(self, folder):
            self.model.save(folder / "model")

        def load(self, folder):
            self.model.load(folder / "model")
    ```

    Its attributes say when it reports; both may be set in `setup`, to depend on the point:

    - `n_steps`: steps of a full training; the decorator's `max_resource` where it has none.
    - `report_every`: so many steps lie between two reports, 1 where it has none. A trial with a
      budget is advanced to the end of that too.
    """

    def setup(self, trial: Trial) -> None:
        """Builds what is trained, as it is before the first step."""
        ...

    def advance(self, to_step: int) -> Mapping[str, float]:
        """Trains on until `to_step` steps are done in all; the metrics then."""
        ...


@runtime_checkable
class SavingTraining(Protocol):
    """What a `Training` has that goes on from checkpoints."""

    def save(self, folder: Path) -> None:
        """Writes the state, as it is now, to files in an own folder; those of the time before may
        be overwritten.
        """
        ...

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; called after `setup`."""
        ...


def saves(code: object) -> bool:
    """Whether a class (not an instance) has checkpoints; a function does not say."""
    return isinstance(code, type) and isinstance(code, SavingTraining)


def driven(made: Callable[[], Training], max_resource: int | None) -> Callable[[Trial], None]:
    """The function that trains, reports, saves and stops for a class.

    Args:
        made: makes what is trained.
        max_resource: steps of a full training, where the class does not say.
    """

    def run(trial: Trial) -> None:
        training = made()
        training.setup(trial)
        saving = training if isinstance(training, SavingTraining) else None
        if trial.last_step > 0:
            if saving is None:
                raise TypeError("there is a checkpoint, but the class has no load(folder)")
            saving.load(trial.checkpoint_dir)
        n_steps = _positive("n_steps", getattr(training, "n_steps", max_resource))
        every = _positive("report_every", getattr(training, "report_every", 1))
        while trial.last_step < n_steps:
            step = _next_report(trial.last_step, every, n_steps, trial.to_step)
            trial.report(step, **training.advance(step))
            if saving is not None and trial.should_checkpoint:
                saving.save(trial.checkpoint_dir)
                trial.save()
            if trial.should_stop:
                break

    return run


def _positive(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"self.{name} has to be an integer from 1 on, not {value!r}; "
            "n_steps may also be given as max_resource=... of the decorator"
        )
    return value


def _next_report(done: int, every: int, n_steps: int, to_step: int | None) -> int:
    """The step of the next report after `done` steps: a multiple of `every`, the end of the
    training or the end of the trial's budget, whichever comes first.
    """
    step = min((done // every + 1) * every, n_steps)
    return min(step, to_step) if to_step is not None and to_step > done else step
