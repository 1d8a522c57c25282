"""What the callbacks for training libraries share: the value that a trial is judged by."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from .errors import StaleLease
from .objective import Trial


class Monitor:
    """Reports one of a trainer's metrics and says whether to stop; for the process of rank 0.

    Args:
        trial: where it is reported.
        monitor: name of the trainer's metric.
        metric: name of the study's; the same when None.
    """

    def __init__(self, trial: Trial, monitor: str, metric: str | None) -> None:
        self.trial = trial
        self.monitor = monitor
        self._metric = metric or monitor

    def report(self, step: int, metrics: Mapping[str, Any]) -> bool:
        """Reports the metric after a step, once; whether the training is to stop.

        Raises:
            ValueError: the trainer has no such metric.
        """
        if self.monitor not in metrics:
            near = difflib.get_close_matches(self.monitor, list(metrics), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f": {', '.join(metrics) or 'none'}"
            raise ValueError(f"the trainer has no metric {self.monitor!r}{hint}")
        if step > self.trial.last_step:
            try:
                self.trial.report(step, **{self._metric: metrics[self.monitor]})
            except StaleLease:
                # The block of the trial is told so too. Here the other ranks have to stop with us.
                return True
        return self.trial.should_stop
