"""What a user's own training code uses: an objective is a function of a `Trial` that reports as it
goes.

```python
@tunewell.objective(name="cnn", metrics={"accuracy": "maximize"})
def cnn(trial: tunewell.Trial) -> None:
    for epoch in range(1, 11):
        trial.report(epoch, accuracy=train(trial.params))
        if trial.should_stop:
            break
```

The values of the last report are the trial's final values, unless the function returns others.

An objective made with `checkpoints=True` may save its state after a report and, when the trial is
run again after its worker was lost, go on from there:

```python
file = trial.checkpoint_dir / "state.json"
state = json.loads(file.read_text()) if file.exists() else new_state()
for epoch in range(trial.last_step + 1, 11):
    trial.report(epoch, accuracy=train(state))
    if trial.should_checkpoint:
        file.write_text(json.dumps(state))
        trial.save()
```

An objective may be a class instead, which leaves the loop to us: see `Training`.
"""

from __future__ import annotations

import json
import math
import operator
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from .training import Cost, PackKey, Training, driven, saves, stacks

Values: TypeAlias = Mapping[str, float]

MAX_STEP = 2**53
"""The largest step: every reader of JSON keeps an integer up to it exact."""


class TrialEnded(BaseException):
    """Raised by `Trial.report` in code that trains on after a report returned with `should_stop`
    set; not to be caught. The trial's last values are those of that earlier report.
    """


class Infeasible(Exception):
    """Raised in an objective, or in a trial's block, to say that the point cannot be evaluated: the
    trial ends as infeasible, which is no failure.
    """


class Channel(Protocol):
    """Where a trial's reports go and its directives come from; the worker gives one to each
    trial.
    """

    def report(self, step: int, values: Values, elapsed_s: float) -> None:
        """Sends a measurement; at `to_step` and beyond waits for what comes next.

        Raises:
            TrialEnded: the trial should have ended after the report before.
        """
        ...

    @property
    def to_step(self) -> int | None:
        """The step up to which the trial may be trained now; None: to its end."""
        ...

    @property
    def should_stop(self) -> bool:
        """Whether the service has said to stop early, or to pause."""
        ...

    @property
    def stop_reason(self) -> str | None:
        """Why `should_stop` is set, in words; None while it is not."""
        ...

    @property
    def should_checkpoint(self) -> bool:
        """Whether a checkpoint is wanted now."""
        ...

    def save(self, step: int, path: Path, name: str) -> None:
        """Takes a checkpoint: a copy of a file or folder, which the next attempt finds under a name
        in its `checkpoint_dir`; "." is that folder itself.
        """
        ...

    def elapsed_s(self) -> float:
        """Seconds since the trial began."""
        ...


class Trial:
    """One trial, as training code sees it.

    Attributes:
        id: the trial's id.
        number: counts from 1 within its study.
        params: the active parameters.
        options: the objective's options as the study gives them.
        device: "cpu", or a device such as "cuda:0".
        seed: from the options, else one that is the same whenever this trial runs.
        last_step: the step of the last report; before the first one that of the checkpoint to go on
            from, 0 to begin at the beginning.
        last_values: the values reported at that step.
        data: which data set was used, `{"dataset": ..., "digest": ...}`; set it to have it kept.
        store_dir: a folder for what trials of this objective can use of one another on this
            machine; it outlives them, and several may use it at once. None where there is none.
    """

    def __init__(
        self,
        *,
        id: str,
        number: int,
        params: Mapping[str, Any],
        options: Mapping[str, Any],
        channel: Channel,
        device: str = "cpu",
        data_digest: str | None = None,
        metrics: Mapping[str, str] | None = None,
        checkpoint_dir: Path | None = None,
        last_step: int = 0,
        last_values: Values | None = None,
        store_dir: Path | None = None,
        cores_now: Callable[[], int] | None = None,
    ) -> None:
        self.id = id
        self.number = number
        self.params = dict(params)
        self.options = dict(options)
        self.device = device
        self.data_digest = data_digest
        self.data: dict[str, str] | None = None
        self.store_dir = store_dir
        self.last_step = last_step
        self.last_values: dict[str, float] = dict(last_values or {})
        self._metrics = metrics
        self._checkpoint_dir = checkpoint_dir
        self._channel = channel
        self._cores_now = cores_now

    @property
    def n_cores(self) -> int:
        """How many cores the trial may compute on now, at least 1: those of its slot, or as many
        as its study asks for; 1 outside a worker. To trials of `random-forest` and `mnist-mlp` the
        worker lends those of its idle slots too and takes them back when a slot is taken: to be
        asked for again every second or so.
        """
        return 1 if self._cores_now is None else self._cores_now()

    @property
    def seed(self) -> int:
        """The option `seed`, else the trial's number."""
        given = self.options.get("seed")
        return self.number if given is None else int(given)

    @property
    def should_stop(self) -> bool:
        """Whether to end now: the service has stopped the trial early, or has it pause. Return
        after seeing it (and after saving, if `should_checkpoint` says so too). Code that reports on
        is ended by `TrialEnded`.
        """
        return self._channel.should_stop

    @property
    def stop_reason(self) -> str | None:
        """Why `should_stop` is set, in words; None while it is not."""
        return self._channel.stop_reason

    @property
    def to_step(self) -> int | None:
        """The step up to which the trial may be trained now; None: to its end.

        The report at that step waits for what comes next; when it returns, `to_step` has grown or
        `should_stop` is set. An objective that chooses when to report reports at this step.
        """
        return self._channel.to_step

    @property
    def should_checkpoint(self) -> bool:
        """Whether to save now: some seconds have passed since the last time, the trial is to pause,
        or the worker is about to end. Always false where nothing would keep it.
        """
        return self.last_step > 0 and self._channel.should_checkpoint

    @property
    def checkpoint_dir(self) -> Path:
        """A folder of this attempt's own, to write checkpoints in. At first it holds the checkpoint
        to go on from, under the names that were saved, and is empty where there is none.

        It goes when the trial's process is done; what is to be kept is sent by `save`.
        """
        if self._checkpoint_dir is None:  # in a test, or in a notebook: nothing is kept
            # Here: few need them, and they take a while to load.
            import shutil
            import tempfile

            self._checkpoint_dir = Path(tempfile.mkdtemp(prefix="tunewell-"))
            weakref.finalize(self, shutil.rmtree, self._checkpoint_dir, ignore_errors=True)
        return self._checkpoint_dir

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Saves the state after the last report, so that another attempt goes on from there.

        Args:
            path: a file or folder with the state, of which a copy is sent; the next attempt finds
                it in its `checkpoint_dir`, in the same place if it lies in that folder now, else
                under its own name. None: the whole of `checkpoint_dir`.

        Raises:
            ValueError: nothing was reported yet.
            FileNotFoundError: there is no such file or folder.
        """
        self._channel.save(*self._saved(path))

    def _saved(self, path: str | os.PathLike[str] | None) -> tuple[int, Path, str]:
        """Step, file or folder, and name of a checkpoint; see `save`."""
        if self.last_step < 1:
            raise ValueError("report a step before the first checkpoint")
        folder = self.checkpoint_dir
        saved = folder if path is None else Path(path)
        if not saved.exists():
            raise FileNotFoundError(f"there is no {saved} to save as a checkpoint")
        return self.last_step, saved, _name_in(folder, saved)

    def report(self, step: int, **metrics: float) -> None:
        """Reports metrics after `step` units of resource (epochs, trees, ...).

        Args:
            step: integer, larger than at the report before.
            metrics: numbers by metric name; NaN and infinities are kept but never win.

        Raises:
            ValueError: the step does not grow or is too large, there is no metric, or one is not
                declared.
            TypeError: a value is no number.
            TrialEnded: the report before returned with `should_stop` set.
        """
        step, values = self._checked(step, metrics)
        self._channel.report(step, values, self._channel.elapsed_s())
        self.last_step, self.last_values = step, values

    def _checked(self, step: int, metrics: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
        """Step and values of a report, as Python's own numbers; see `report`."""
        is_whole = not isinstance(step, bool) and hasattr(step, "__index__")  # numpy's too
        if not is_whole or (number := operator.index(step)) <= self.last_step:
            raise ValueError(f"step must be an integer above {self.last_step}, not {step!r}")
        if number > MAX_STEP:
            raise ValueError(f"step must be at most {MAX_STEP}, not {number}")
        if not metrics:
            raise ValueError("report at least one metric")
        if self._metrics is not None and (unknown := sorted(set(metrics) - set(self._metrics))):
            raise ValueError(
                f"the objective does not declare the metric {unknown[0]!r}; it declares "
                f"{', '.join(self._metrics)}: add it there with its direction, or do not report it"
            )
        return number, {name: as_number(name, value) for name, value in metrics.items()}


def as_number(name: str, value: Any) -> float:
    """A metric's value as a float: of a number, a scalar of numpy or a tensor without dimensions.

    Raises:
        TypeError: it is something else; None, strings and booleans are.
    """
    kind = type(value).__name__
    if value is None or isinstance(value, (str, bytes)) or kind in ("bool", "bool_"):
        raise TypeError(f"the metric {name!r} is a number, not {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"the metric {name!r} is a number, not {value!r}: {error}") from error


def _name_in(folder: Path, path: Path) -> str:
    """Where a checkpoint's file or folder is found again, below `checkpoint_dir`."""
    folder, path = folder.resolve(), path.resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


ObjectiveFunction: TypeAlias = Callable[[Trial], Values | float | None]

Equivalent: TypeAlias = Callable[[Trial], Mapping[str, Any] | None]
"""Gives the canonical point of a trial; None where it is equal to no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """An objective with what a service should know of it.

    Attributes:
        name: what studies call it.
        run: evaluates one trial; may return final values, or one number for the only metric.
        metrics: names of the metrics, each "minimize" or "maximize".
        params: JSON schema by parameter name; None takes any parameter.
        options: JSON schema by option name; None takes any option.
        version: of the code; shown with the worker.
        steps: what a step is, in words.
        max_resource: steps of a full evaluation where that does not depend on the point.
        checkpoints: whether it saves checkpoints and goes on from them.
        memory: bytes that a trial takes of its device (without a GPU: of the machine's memory), for
            the first trials; then the worker goes by what it has measured. None: not known.
        prepare: called once in a process before its first trial, e.g. to load data.
        data: called to say which data sets are at hand.
        equivalent: gives a trial's canonical point, plain JSON values: trials of a study for which
            it is the same give the very same result, so one that comes when another has completed
            is answered from it and not trained. What the result depends on beside the study's
            options belongs into it, `trial.seed` too where it is used. Asked before a trial and
            again after it, when more may be known.
        pack_key: gives for parameters and options a value that can be hashed: trials for which it
            is the same may be trained as one, with `advance_many` of a `Training`. None: alone.
        cost: gives for parameters and a number of steps the seconds that those are thought to
            take. What was measured goes before it; where several trainings share a process, the
            one that has had least by the end of its next step goes first.
        fuses: whether there are trials that may be trained as one.
    """

    name: str
    run: ObjectiveFunction
    metrics: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None
    version: str = ""
    steps: str = ""
    max_resource: int | None = None
    checkpoints: bool = False
    memory: int | None = None
    prepare: Callable[[], None] | None = None
    data: Callable[[], list[dict[str, str]]] | None = None
    equivalent: Equivalent | None = None
    pack_key: PackKey | None = None
    cost: Cost | None = None
    fuses: bool = False

    def __call__(self, trial: Trial) -> Values | float | None:
        return self.run(trial)

    def offer(self) -> dict[str, Any]:
        """What a worker sends of the objective when it registers."""
        return {
            "name": self.name,
            "version": self.version,
            "params_schema": _schema(self.params),
            "options_schema": _schema(self.options),
            "metrics": dict(self.metrics),
            "steps": self.steps,
            "checkpoints": self.checkpoints,
            "max_resource": self.max_resource,
            "data": self.data() if self.data is not None else [],
        }


def _schema(properties: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if properties is None:
        return None
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def objective(
    *,
    name: str,
    metrics: Mapping[str, str],
    params: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    version: str = "",
    steps: str = "",
    max_resource: int | None = None,
    checkpoints: bool = False,
    memory: int | None = None,
    equivalent: Equivalent | None = None,
    pack_key: PackKey | None = None,
    cost: Cost | None = None,
) -> Callable[[ObjectiveFunction | type[Training]], Objective]:
    """Makes an objective of a function, or of a class that is a `Training`; see `Objective` for the
    arguments. A class that has `save` and `load` has checkpoints.

    Raises:
        ValueError: a metric's direction is neither "minimize" nor "maximize", or `memory` is no
            positive number of bytes.
    """
    if memory is not None and (isinstance(memory, bool) or memory < 1):
        raise ValueError(f"memory is a number of bytes, at least 1, not {memory!r}")
    for metric, direction in metrics.items():
        if direction not in ("minimize", "maximize"):
            raise ValueError(f"{metric}: a direction is minimize or maximize, not {direction!r}")

    def wrap(code: ObjectiveFunction | type[Training]) -> Objective:
        return Objective(
            name=name,
            run=driven(code, max_resource, pack_key, cost) if isinstance(code, type) else code,
            metrics=dict(metrics),
            params=params,
            options=options,
            version=version,
            steps=steps,
            max_resource=max_resource,
            checkpoints=checkpoints or saves(code),
            memory=None if memory is None else int(memory),
            equivalent=equivalent,
            pack_key=pack_key,
            cost=cost,
            fuses=pack_key is not None and stacks(code),
        )

    return wrap


def final_values(
    trial: Trial, returned: Values | float | None, metrics: Values | Mapping[str, str]
) -> dict[str, float]:
    """The final values of a trial: what its function returned, else those of its last report.

    Args:
        trial: the trial, its function done.
        returned: what the function returned.
        metrics: the objective's metrics; one number is the value of the only one.

    Raises:
        ValueError: there are no values, or one number for several metrics.
    """
    if isinstance(returned, Mapping):
        return {str(k): as_number(str(k), v) for k, v in returned.items()}
    if returned is not None:
        if len(metrics) != 1:
            raise ValueError("one number was returned, but the objective has several metrics")
        (name,) = metrics
        return {name: as_number(name, returned)}
    if not trial.last_values:
        raise ValueError("the objective neither reported nor returned a value")
    return dict(trial.last_values)


def canonical_point(equivalent: Equivalent | None, trial: Trial) -> dict[str, Any] | None:
    """The canonical point of a trial; None where the objective says nothing of equal work.

    Raises:
        TypeError: it is no dictionary of plain JSON values.
        ValueError: it has a NaN or an infinity in it.
    """
    point = None if equivalent is None else equivalent(trial)
    if point is None:
        return None
    if not isinstance(point, Mapping):
        raise TypeError(f"equivalent returns a dictionary or None, not {type(point).__name__}")
    found: dict[str, Any] = json.loads(json.dumps(dict(point), allow_nan=False))
    return found


def is_finite(values: Values) -> bool:
    """Whether all values are finite."""
    return all(math.isfinite(v) for v in values.values())
