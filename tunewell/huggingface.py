"""A callback for the Hugging Face Trainer: reports what evaluation finds, stops and saves with the
study.

```python
with trial:
    callback = TunewellCallback(trial, monitor="eval_accuracy", metric="accuracy")
    trainer = Trainer(model, args, callbacks=[callback], ...)
    trainer.train(resume_from_checkpoint=callback.resume_from)
```
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import NotInstalled
from .monitor import Monitor
from .objective import Trial

if TYPE_CHECKING:
    TrainerCallback: Any = object
else:
    try:
        from transformers import TrainerCallback
    except ModuleNotFoundError as error:
        raise NotInstalled(
            "TunewellCallback needs transformers, which is not installed",
            next_step="pip install 'tunewell[huggingface]'",
        ) from error


class TunewellCallback(TrainerCallback):  # type: ignore[misc]
    """Reports a metric of each evaluation, the step being the trainer's global step.

    Args:
        trial: the trial; in processes of another rank than 0 it may be None.
        monitor: name of the evaluation's metric, such as "eval_loss".
        metric: name of the study's metric; the same when None.
    """

    def __init__(self, trial: Trial | None, monitor: str, metric: str | None = None) -> None:
        self._monitor = None if trial is None else Monitor(trial, monitor, metric)

    @property
    def resume_from(self) -> str | None:
        """The checkpoint to go on from, for `Trainer.train`; None to begin anew."""
        if self._monitor is None:
            return None
        found = sorted(self._monitor.trial.checkpoint_dir.glob("checkpoint-*"), key=_step_of)
        return str(found[-1]) if found else None

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Reports on rank 0; all ranks stop together, and save before a pause."""
        stop = save = False
        if state.is_world_process_zero and self._monitor is not None:
            stop = self._monitor.report(int(state.global_step), dict(metrics or {}))
            save = stop and self._monitor.trial.should_checkpoint
        stop, save = _from_rank_0((stop, save))
        if stop:
            control.should_training_stop = True
        if save:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keeps what the trainer has just saved as the trial's checkpoint, once it has reported."""
        if not state.is_world_process_zero or self._monitor is None:
            return
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self._monitor.trial.last_step > 0 and saved.is_dir():
            self._monitor.trial.save(saved)


def _step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _from_rank_0(decision: tuple[bool, bool]) -> tuple[bool, bool]:
    """What the process of rank 0 has decided."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available():
        return decision
    if not torch.distributed.is_initialized():
        return decision
    shared = [decision]
    torch.distributed.broadcast_object_list(shared, src=0)
    return shared[0]
