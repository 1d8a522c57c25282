"""Answers about studies."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ...domain.delivery import DeliveryState
from ...domain.study import PauseReason, StopReason, StudyState
from ...domain.trial import TrialSource
from .common import Instant, Wire
from .definition import EXAMPLE
from .trials import TRIAL_EXAMPLE, TrialOut

STUDY_EXAMPLE: dict[str, Any] = {
    "id": "st_1b2c3d4e5f6g7h8j9k0m1n2p",
    "name": "mnist-lr-batch",
    "definition": EXAMPLE,
    "state": "active",
    "stop_reason": None,
    "stop_detail": None,
    "pause_reason": None,
    "pause_detail": None,
    "trial_counts": {"completed": 12, "running": 4},
    "places": 16,
    "resource_used": 36,
    "resource_granted": 9,
    "resource_saved": 0,
    "saved_s": 0.0,
    "best": TRIAL_EXAMPLE,
    "warnings": [],
    "webhook_deliveries": [],
    "labels": {"team": "vision"},
    "priority": 0,
    "description": "",
    "created_at": "2026-11-23T20:00:00.000000Z",
    "updated_at": "2026-11-23T20:05:00.000000Z",
    "started_at": "2026-11-23T20:00:04.000000Z",
    "ended_at": None,
    "deleted_at": None,
    "purge_at": None,
    "change_seq": 61,
    "revision": 1,
    "data_digest": None,
}


class DeliveryOut(Wire):
    """A message of the study's webhook: sent until the receiver takes it, for a day at most."""

    event_id: str = Field(description="Names the message: a receiver knows a second copy by it.")
    state: DeliveryState = Field(description="Where it stands.")
    attempts: int = Field(description="How often it was sent.")
    next_at: Instant | None = Field(description="When it is sent next; null at its end.")
    delivered_at: Instant | None = Field(description="When the receiver took it.")
    last_error: str | None = Field(description="Why the last attempt failed, in words.")
    created_at: Instant = Field(description="When the study ended or paused itself.")


class StudyOut(Wire):
    """A study."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [STUDY_EXAMPLE]})

    id: str = Field(description="Id of the study, `st_...`.")
    name: str = Field(description="Its name, unique among studies that are not deleted.")
    definition: dict[str, Any] = Field(
        description="The definition with every default filled in; it can be sent again as it is."
    )
    state: StudyState = Field(description="Where the study stands; changed by verbs only.")
    stop_reason: StopReason | None = Field(description="Why it ended, or null.")
    stop_detail: str | None = Field(description="The same with the figures, in a sentence.")
    pause_reason: PauseReason | None = Field(
        description="Why it is paused: `user`, or `failures` when it paused itself; else null."
    )
    pause_detail: str | None = Field(description="The same in a sentence, where it paused itself.")
    trial_counts: dict[str, int] = Field(description="Number of trials in each state that has any.")
    places: int = Field(description="Places taken in `max_trials`.")
    resource_used: int = Field(
        description="Steps trained so far as reported, those trained twice included."
    )
    resource_granted: int = Field(description="Steps that the present leases may still train.")
    resource_saved: int = Field(
        description="Steps to a full training that trials which stopped early were spared."
    )
    saved_s: float = Field(description="About how long these would have taken, in seconds.")
    best: TrialOut | None = Field(
        description="The best completed trial; null without one, or with several objectives."
    )
    warnings: list[str] = Field(description="What keeps the study from going on, in words.")
    webhook_deliveries: list[DeliveryOut] = Field(
        description="Its 10 latest webhooks, newest first; lists of studies leave them out."
    )
    labels: dict[str, str] = Field(description="Words to find it by.")
    priority: int = Field(description="Studies of higher priority are served first.")
    description: str = Field(description="For people.")
    created_at: Instant = Field(description="When it was created.")
    updated_at: Instant = Field(description="When anything of it last changed.")
    started_at: Instant | None = Field(description="When its first trial was handed out.")
    ended_at: Instant | None = Field(description="When it ended.")
    deleted_at: Instant | None = Field(description="When it was deleted.")
    purge_at: Instant | None = Field(description="Until when a deleted one can be restored.")
    change_seq: int = Field(description="Counts all changes; the id of its newest event.")
    revision: int = Field(description="Counts changes of definition, limits and state.")
    data_digest: str | None = Field(
        description="Digest of the data set that its first completed trial pinned."
    )


class FailureLine(Wire):
    """A recent failure of a study's trials."""

    number: int = Field(description="Number of the trial.")
    kind: str = Field(description="Kind of the failure.")
    message: str = Field(description="What the worker said.")


class SummaryOut(Wire):
    """What a list of studies shows beside each study (`view=summary`)."""

    rate_per_h: float | None = Field(
        description="Trials that end in an hour, by the last ten or the last ten minutes where "
        "these have more; null before three have ended."
    )
    time_left_s: float | None = Field(
        description="Seconds to `max_trials` at that rate, if as many fail as lately, or null."
    )
    eta_low_s: float | None = Field(
        description="The same if trials are short (25 % quantile of the last ones), never beyond "
        "`max_duration_s`; null where nobody knows."
    )
    eta_high_s: float | None = Field(description="The same if they are long (75 % quantile).")
    n_running: int = Field(description="Trials that run now.")
    trend: list[tuple[int, float]] = Field(
        description="Trial number and best value so far, where it improved: the last 32."
    )
    last_failures: list[FailureLine] = Field(description="The latest failed trials.")
    recent_failures: dict[str, int] = Field(
        description="By kind, how many of the last `n_recent` ended trials failed."
    )
    n_recent: int = Field(description="Up to 10.")


class StudyListItem(StudyOut):
    """A study in a list."""

    summary: SummaryOut | None = Field(
        default=None,
        description="Rate, time left, trend and last failures; with `view=summary` only.",
    )


class StudyListOut(Wire):
    """A page of studies, newest first unless `order_by` says otherwise."""

    studies: list[StudyListItem] = Field(description="The studies of the page.")
    next_page_token: str | None = Field(description="For the next page; null on the last.")
    state_counts: dict[str, int] = Field(
        description="Number of studies in each state that has any, on all pages and under the same "
        "filters but `state`."
    )


class DryRunOut(Wire):
    """What creating the study would bring; nothing was created."""

    definition: dict[str, Any] = Field(description="The definition with every default filled in.")
    warnings: list[str] = Field(description="What may not be meant, in words.")


class BestTrialOut(TrialOut):
    """One of the best trials."""

    posterior_mean: float | None = Field(
        default=None,
        description="Expected value at its point, in the metric's units; by `posterior_mean` only.",
    )
    posterior_sd: float | None = Field(
        default=None,
        description="How sure the model is of that, one sd, in the metric's units; likewise.",
    )


class PosteriorOut(Wire):
    """The Gaussian process behind the posterior means."""

    units: Literal["metric"] = Field(
        description="Units of mean and sd. The model works on bent values; these are bent back, "
        "exactly for the better half, between two observed values for the worse."
    )
    n_results: int = Field(description="How many values it was fitted to.")
    is_noisy: bool = Field(description="Whether it sees noise; if not, means are the values.")
    warp: str = Field(description="How the values were bent: `half-rank`, `rank` or `none`.")


class BestOut(Wire):
    """The best trials, best first."""

    trials: list[BestTrialOut] = Field(description="Completed trials by the first objective.")
    by: Literal["observed", "posterior_mean"] = Field(description="What they are ranked by.")
    posterior: PosteriorOut | None = Field(
        description="The model; null when they are ranked by observed values."
    )


class ReplayedOut(Wire):
    """What became of one trial's point when it was derived again."""

    id: str = Field(description="Id of the trial, `tr_...`.")
    number: int = Field(description="Its number.")
    source: TrialSource = Field(description="Where its point came from.")
    suggester: str | None = Field(description="The suggester that made it.")
    outcome: Literal["equal", "different", "skipped"] = Field(
        description="`equal`: the same to the last bit, provenance included."
    )
    reasons: list[str] = Field(description="What differs, or why it was skipped.")


class ReplayOut(Wire):
    """Points derived again, by number; points of the user's own are left out."""

    trials: list[ReplayedOut] = Field(description="One entry a suggested trial.")
    last_number: int = Field(description="The last trial that was looked at.")
    n_trials: int = Field(description="How many trials the study has.")
    next_after: int | None = Field(description="`after` of the next call; null at the end.")
    versions: dict[str, str] = Field(description="Versions of the libraries of this service.")


class ParetoOut(Wire):
    """The Pareto front of the completed trials."""

    trials: list[TrialOut] = Field(description="Trials that no other beats in every objective.")
    hypervolume: float | None = Field(description="Volume between the front and `reference`.")
    reference: list[float] | None = Field(
        description="The point that the volume is measured to, one number an objective."
    )
