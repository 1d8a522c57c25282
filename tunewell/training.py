"""Objectives that are classes: what they train and save is theirs, the loop is ours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, runtime_checkable

from . import together
from .together import Many, Wish

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


@runtime_checkable
class StackedTraining(Protocol):
    """What a `Training` has of which several can be trained as one: a class method that the worker
    calls for trials with the same `pack_key`, each set up by itself.
    """

    def advance_many(
        self, trainings: Sequence[Any], to_steps: Sequence[int]
    ) -> Sequence[Mapping[str, float]]:
        """Trains each on to a step of its own; the metrics of each then, as `advance` gives them.

        What is kept from one call to the next is the trainings' own: others may have come, and
        some be gone, by the next one.
        """
        ...


def stacks(code: object) -> bool:
    """Whether several trainings of a class (not an instance) can be advanced by one call."""
    return isinstance(code, type) and isinstance(code, StackedTraining)


def saves(code: object) -> bool:
    """Whether a class (not an instance) has checkpoints; a function does not say."""
    return isinstance(code, type) and isinstance(code, SavingTraining)


PackKey: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], Hashable | None]
"""Names the trials that may be trained as one, by their parameters and options; None: alone."""
Cost: TypeAlias = Callable[[Mapping[str, Any], int], float]
"""Seconds that so many steps at a point are thought to take."""


def driven(
    made: type[Training],
    max_resource: int | None,
    pack_key: PackKey | None = None,
    cost: Cost | None = None,
) -> Callable[[Trial], None]:
    """The function that trains, reports, saves and stops for a class.

    Args:
        made: makes what is trained.
        max_resource: steps of a full training, where the class does not say.
        pack_key: of those that may be trained as one, where the class can do that.
        cost: of a number of steps, where its author says.
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
        advance = _advancing(training, trial, pack_key, cost)
        while trial.last_step < n_steps:
            step = _next_report(trial.last_step, every, n_steps, trial.to_step)
            trial.report(step, **advance(step))
            if saving is not None and trial.should_checkpoint:
                saving.save(trial.checkpoint_dir)
                trial.save()
            if trial.should_stop:
                break

    return run


def _advancing(
    training: Training, trial: Trial, pack_key: PackKey | None, cost: Cost | None
) -> Callable[[int], Mapping[str, float]]:
    """How a training is advanced: in a process of several trials with those of its key."""
    seat = together.seat()
    if seat is None:
        return training.advance
    key = None if pack_key is None else pack_key(trial.params, trial.options)
    if key is None or not isinstance(training, StackedTraining):
        return lambda step: seat.alone(lambda: training.advance(step))

    many: Many = cast(Any, type(training)).advance_many

    def advance(step: int) -> Mapping[str, float]:
        prior_s = None if cost is None else cost(trial.params, step - trial.last_step)
        wish = Wish(
            training=training,
            to_step=step,
            key=(type(training), key),
            many=many,
            prior_s=prior_s,
        )
        found: Mapping[str, float] = seat.advance(wish)
        return found

    return advance


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
