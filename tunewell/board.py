"""What `study watch` knows of a study: kept current by threads, read by whoever draws it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from .client import Client
from .errors import ApiError, TunewellError, Unreachable
from .models import Study, Trial, TrialDetail, read

LONGEST_S = 5.0
"""A study is read again after so long without an event."""
SHORTEST_S = 0.5
"""A study is read no more often than that."""

_RUNNING_SHOWN, _LIST_SHOWN = 50, 100
_DETAILS_READ = 12
"""Of how many running trials the last measurement is asked for; of others an event brings it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A study at one moment.

    Attributes:
        study: the study.
        trend: best value so far, where it improved, oldest first.
        rate_per_h, left_s: trials finished per hour of work, seconds to the budget's end; or None.
        running: trials that run, by number.
        latest: the newest trials.
        failed: the newest failed trials.
        steps: last step and first metric of running trials, by id.
        workers: names by id.
        last_number: number of the newest trial.
    """

    study: Study
    trend: Sequence[tuple[int, float]] = ()
    rate_per_h: float | None = None
    left_s: float | None = None
    running: Sequence[Trial] = ()
    latest: Sequence[Trial] = ()
    failed: Sequence[Trial] = ()
    steps: Mapping[str, tuple[int, float | None]] = field(default_factory=dict)
    workers: Mapping[str, str] = field(default_factory=dict)
    last_number: int = 0

    @property
    def failures(self) -> Counter[str]:
        """How many of the newest failed trials failed in which way."""
        return Counter(trial.failure.kind for trial in self.failed if trial.failure)


class Board:
    """Keeps a study's standing current.

    Args:
        client: where the study is; closed by whoever made it, which ends the threads.
        study: the study as it was read last.

    Attributes:
        standing: what is known.
        trouble: why it is not current; empty when it is.
        error: what ended it for good, or None.
        changed: set when any of these is another one.
    """

    def __init__(self, client: Client, study: Study) -> None:
        self.standing = Standing(study=study)
        self.trouble = ""
        self.error: TunewellError | None = None
        self.changed = threading.Event()
        self._client = client
        self._is_stale = threading.Event()
        self._steps: dict[str, tuple[int, float | None]] = {}
        self._workers: dict[str, str] = {}
        self._is_over = threading.Event()

    def start(self) -> None:
        """Reads the study, then keeps it current.

        Raises:
            TunewellError: it cannot be read.
        """
        self.standing = self._read()
        for work in (self._listen, self._keep_current):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """No more reads; one that is under way ends with the client."""
        self._is_over.set()
        self._is_stale.set()

    def refresh(self) -> None:
        """Has the study read again soon."""
        self._is_stale.set()

    def _listen(self) -> None:
        """Notes that something has happened, and how far running trials are."""
        after = self.standing.study.change_seq
        try:
            for event in self._client.stream_events(self.standing.study.id, after=after):
                if self._is_over.is_set():
                    return
                if event["event"] == "trial.measurement":
                    self._note_step(event)
                elif event["event"] != "tick":
                    self._is_stale.set()
        except TunewellError:
            # The other thread meets the same and says so; it reads on without events.
            self._is_stale.set()

    def _note_step(self, event: Mapping[str, Any]) -> None:
        metric, data = self.standing.study.metrics[0], event["data"]
        value = data["values"].get(metric)
        number = value if isinstance(value, (int, float)) else None
        self._steps[str(event["trial_id"])] = (int(data["step"]), number)
        self.changed.set()

    def _keep_current(self) -> None:
        while not self._is_over.wait(SHORTEST_S):
            self._is_stale.wait(LONGEST_S)
            self._is_stale.clear()
            if self._is_over.is_set():
                return
            try:
                self.standing, self.trouble = self._read(), ""
            except Unreachable as error:
                self.trouble = error.reason
            except ApiError as error:
                self.trouble = error.detail
                self.error = None if error.retryable else error
            except TunewellError as error:
                self.error = error
            self.changed.set()

    def _read(self) -> Standing:
        known = self.standing.study
        raw = self._client.get_study(known.id)
        study = read(Study, raw)
        running = self._trials(_RUNNING_SHOWN, state="running")
        latest = self._trials(_LIST_SHOWN, order_by="-number")
        is_news = study.trial_counts.get("failed") != known.trial_counts.get("failed")
        failed = self.standing.failed
        if is_news or not failed:
            failed = self._trials(_LIST_SHOWN, state="failed", order_by="-number")
        self._learn(running)
        summary = self._summary(study)
        return Standing(
            study=study,
            trend=[(int(n), float(v)) for n, v in summary.get("trend") or ()],
            rate_per_h=summary.get("rate_per_h"),
            left_s=summary.get("time_left_s"),
            running=running,
            latest=latest,
            failed=failed,
            steps=dict(self._steps),
            workers=dict(self._workers),
            last_number=max((trial.number for trial in latest), default=0),
        )

    def _trials(self, most: int, **filters: Any) -> list[Trial]:
        query = {"page_size": most, **filters}
        page = self._client.request(
            "GET", f"/v1/studies/{self.standing.study.id}/trials", params=query
        )
        return [read(Trial, raw) for raw in page["trials"]]

    def _summary(self, study: Study) -> Mapping[str, Any]:
        """What only lists of studies say: rate, time left, trend."""
        for each in self._client.list_studies(view="summary", name_prefix=study.name):
            if each["id"] == study.id:
                return dict(each.get("summary") or {})
        return {}

    def _learn(self, running: Sequence[Trial]) -> None:
        """Steps and workers that no event has told of yet; forgets trials that no longer run."""
        ids = {trial.id for trial in running}
        self._steps = {key: value for key, value in self._steps.items() if key in ids}
        unknown = (trial for trial in running if trial.id not in self._steps)
        for trial in islice(unknown, _DETAILS_READ):
            last = read(TrialDetail, self._client.get_trial(trial.id)).measurements
            if last.last_step is not None:
                value = last.last_values.get(self.standing.study.metrics[0])
                self._steps[trial.id] = (last.last_step, value)
        if any(trial.worker_id not in self._workers for trial in running if trial.worker_id):
            self._workers = {w["id"]: str(w["name"]) for w in self._client.list_workers()}
