"""A callback for PyTorch Lightning: reports what validation finds, stops and saves with the study.

```python
with trial:
    callback = TunewellCallback(trial, monitor="val_accuracy", metric="accuracy")
    trainer = Trainer(max_epochs=10, callbacks=[callback])
    trainer.fit(model, data, ckpt_path=callback.ckpt_path)
```
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import NotInstalled
from .monitor import Monitor
from .objective import Trial

if TYPE_CHECKING:
    Callback: Any = object
else:
    try:
        from lightning.pytorch import Callback
    except ModuleNotFoundError:
        try:
            from pytorch_lightning import Callback
        except ModuleNotFoundError as error:
            raise NotInstalled(
                "TunewellCallback needs lightning, which is not installed",
                next_step="pip install 'tunewell[lightning]'",
            ) from error

FILE = "lightning.ckpt"
"""Name of the checkpoint's file in the trial's folder."""


class TunewellCallback(Callback):  # type: ignore[misc]
    """Reports a metric at the end of each validation, the step being the epochs done.

    Args:
        trial: the trial; in processes of another rank than 0 it may be None.
        monitor: name under which the module logs the metric.
        metric: name of the study's metric; the same when None.
    """

    def __init__(self, trial: Trial | None, monitor: str, metric: str | None = None) -> None:
        super().__init__()
        self._monitor = None if trial is None else Monitor(trial, monitor, metric)

    @property
    def ckpt_path(self) -> str | None:
        """The checkpoint to go on from, for `Trainer.fit`; None to begin anew."""
        if self._monitor is None:
            return None
        path = self._monitor.trial.checkpoint_dir / FILE
        return str(path) if path.exists() else None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Reports on rank 0; all ranks stop, and save, together."""
        if trainer.sanity_checking:
            return
        stop, folder = False, None
        if trainer.is_global_zero and self._monitor is not None:
            trial = self._monitor.trial
            stop = self._monitor.report(trainer.current_epoch + 1, trainer.callback_metrics)
            folder = str(trial.checkpoint_dir) if trial.should_checkpoint else None
        stop, folder = trainer.strategy.broadcast((stop, folder))
        if folder is not None:
            # Every rank has its part in it.
            trainer.save_checkpoint(str(Path(folder) / FILE))
            if self._monitor is not None:
                self._monitor.trial.save()
        if stop:
            trainer.should_stop = True
