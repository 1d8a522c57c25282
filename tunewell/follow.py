"""Follows a study to its end.

Only this file decides when something is shown; `reporters.py` decides how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from .client import Client
from .models import ENDED_TRIAL, Event, Study, Trial, read
from .reporters import Reporter

PATIENCE_S = 60.0
"""For how long a call is tried again while following: an upgrade of the service is waited out."""

_FRONT_SIZE = 100


def follow(
    client: Client,
    study_id: str,
    reporter: Reporter,
    *,
    check: Callable[[], None] | None = None,
    until: Callable[[Study], bool] | None = None,
) -> Study:
    """Shows each trial when it ends, until the study has ended or paused itself, then its best;
    returns the study.

    Args:
        client: where the study is.
        study_id: the study.
        reporter: shows what happens.
        check: called when nothing has happened for a while, about 15 s; raises when there is no
            use in waiting.
        until: whether a study need be followed no further; None: to its end or pause.

    Raises:
        Unreachable: the service stayed away.
        ApiError: the study is gone.
    """
    client.retry_s = max(client.retry_s, PATIENCE_S)
    view = _View(client, study_id, reporter)
    with reporter:
        reporter.begin(view.study)
        view.catch_up()
        done = until or _never
        if not (_is_over(view.study) or done(view.study)):
            _attend(client, view, check or _nothing, done)
    best = [view.study.best] if view.study.best else _front(client, view.study)
    reporter.end(view.study, best)
    return view.study


def _is_over(study: Study) -> bool:
    """Whether nothing more comes of it unless a person does something."""
    return study.has_ended or study.has_paused_itself


def _nothing() -> None:
    """No check."""


def _never(study: Study) -> bool:
    """No goal before the end."""
    return False


def _attend(
    client: Client, view: _View, check: Callable[[], None], done: Callable[[Study], bool]
) -> None:
    check()
    for raw in client.stream_events(view.study.id, after=view.study.change_seq):
        if _is_news(raw, view.study.change_seq):
            view.catch_up()
            if _is_over(view.study) or done(view.study):
                return
        if raw["event"] in ("tick", "reset"):
            check()


def _is_news(raw: dict[str, object], known_seq: int) -> bool:
    """Whether the study has to be read again. A burst of events is read once: what the study said
    after its first one covers the others.
    """
    if raw["event"] in ("tick", "reset"):
        return True
    if raw["event"] == "trial.measurement":
        return False
    return read(Event, raw).seq > known_seq


def _front(client: Client, study: Study) -> list[Trial]:
    """The Pareto front of a study with several objectives; nothing of another without a best."""
    roles = [metric.get("role") or "objective" for metric in study.definition["metrics"]]
    if roles.count("objective") < 2:
        return []
    return [read(Trial, trial) for trial in client.best(study.id, _FRONT_SIZE)]


class _View:
    """What is known of the study, and which of its trials' ends have been shown."""

    def __init__(self, client: Client, study_id: str, reporter: Reporter) -> None:
        self._client = client
        self._reporter = reporter
        self._shown: dict[str, datetime | None] = {}
        self._last: dict[str, Trial] = {}
        self._seen_seq = 0
        self.study = read(Study, client.get_study(study_id))

    def catch_up(self) -> None:
        """Reads what has changed and shows it."""
        # The study before its trials: what ended in between comes again and is known by then.
        study = read(Study, self._client.get_study(self.study.id))
        changed = self._client.trials(study.id, changed_since=self._seen_seq)
        trials = [read(Trial, raw) for raw in changed]
        self._show_rungs(trials)
        ended = [t for t in trials if t.state in ENDED_TRIAL]
        for trial in sorted(ended, key=_when):
            if self._shown.get(trial.id, False) != trial.ended_at:
                self._shown[trial.id] = trial.ended_at
                self._reporter.trial(trial, study)
        self.study, self._seen_seq = study, study.change_seq
        self._reporter.progress(study)

    def _show_rungs(self, trials: Sequence[Trial]) -> None:
        """Shows which trials wait at a rung, which go on beyond one, which are tried again."""
        for trial in trials:
            before = self._last.get(trial.id)
            self._last[trial.id] = trial
            if trial.state == "paused" and (before is None or _rung(before) != _rung(trial)):
                self._reporter.paused(trial)
            elif before is not None and _goes_further(before, trial):
                self._reporter.promoted(trial)
            elif _has_failed_again(before, trial):
                self._reporter.retried(trial, self.study)


def _rung(trial: Trial) -> tuple[str, int]:
    return trial.state, len(trial.rungs)


def _goes_further(before: Trial, now: Trial) -> bool:
    if before.to_step is None or now.state in ENDED_TRIAL:
        return False
    return now.to_step is None or now.to_step > before.to_step


def _has_failed_again(before: Trial | None, now: Trial) -> bool:
    """Whether an attempt has failed since, of a trial that gets another one."""
    if now.failure is None or now.state in ENDED_TRIAL:
        return False
    return now.n_attempts > (0 if before is None else before.n_attempts)


def _when(trial: Trial) -> tuple[float, int]:
    return (trial.ended_at.timestamp() if trial.ended_at else 0.0, trial.number)
