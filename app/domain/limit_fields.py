"""What limits, failure policy and resources may be: tables for the checks and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .catalog import OptionSpec
from .sizes import SIZE_LIMITS

_LONGEST_S = 1e9  # about 31 years
_LARGEST = float(SIZE_LIMITS["integer"].value)


def _duration(text: str) -> OptionSpec:
    return OptionSpec(type="float", low=0.0, is_low_open=True, high=_LONGEST_S, help=text)


LIMIT_FIELDS: Mapping[str, OptionSpec] = MappingProxyType(
    {
        "max_trials": OptionSpec(
            type="int",
            low=1,
            high=1_000_000,
            help="Trials that may hold a place; a failed or cancelled one gives its place back.",
        ),
        "max_parallel": OptionSpec(
            type="int", low=1, high=10_000, help="Trials that may run at the same time."
        ),
        "max_duration_s": _duration("Seconds since the study's start, pauses included."),
        "max_trial_duration_s": _duration("Seconds that one attempt at a trial may run."),
        "target": OptionSpec(
            type="float", help="Value of the first objective metric at which the study ends."
        ),
        "max_resource_total": OptionSpec(
            type="int", low=1, high=_LARGEST, help="Steps that all ended trials may use together."
        ),
        "min_gain_per_h": OptionSpec(
            type="float",
            low=0.0,
            is_low_open=True,
            help="Expected gain of the best value per hour below which the study ends: what the "
            "model expected of the newest points (`expected_gain` in their provenance), times the "
            "trials per hour. Suggesters that do not say: what the last 10 finished trials "
            "gained, or the last 20 % if that is more. From 10 finished trials on.",
        ),
    }
)
"""The scalar limits; `no_progress` is an object of its own. The default of each is no limit."""

NO_PROGRESS_FIELDS: Mapping[str, OptionSpec] = MappingProxyType(
    {
        "trials": OptionSpec(
            type="int", low=1, high=1_000_000, help="Finished trials without enough gain."
        ),
        "seconds": _duration("Seconds without enough gain."),
        "min_gain": OptionSpec(
            type="float",
            default=0.0,
            low=0.0,
            help="Gain of the best value that counts as progress; 0: any gain at all.",
        ),
    }
)
"""`limits.no_progress`; at least one of `trials` and `seconds`."""


def _retry(default: bool, text: str) -> OptionSpec:
    return OptionSpec(type="bool", default=default, help=f"Whether to retry a trial after {text}.")


FAILURE_FIELDS: Mapping[str, OptionSpec] = MappingProxyType(
    {
        "max_attempts": OptionSpec(
            type="int", default=3, low=1, high=100, help="Failed attempts that end a trial."
        ),
        "max_losses": OptionSpec(
            type="int",
            default=5,
            low=0,
            high=1_000,
            help="Leases that a trial may lose; the next loss ends it as failed.",
        ),
        "max_failed": OptionSpec(
            type="int",
            low=1,
            high=1_000_000,
            help="Failed trials that end the study as failed; left out: 20, and 20 per good one.",
        ),
        "retry_user_error": _retry(True, "an exception of the objective's code"),
        "retry_oom": _retry(True, "want of memory, then only on a device with more of it"),
        "retry_nan": _retry(False, "a value that is not finite"),
        "retry_timeout": _retry(False, "`max_trial_duration_s`"),
        "backoff_s": OptionSpec(
            type="float",
            default=1.0,
            low=0.0,
            high=86_400.0,
            help="Longest wait before the second attempt, doubled for each further one; the wait "
            "is drawn between 0 and that. 0: no wait.",
        ),
        "max_backoff_s": OptionSpec(
            type="float", default=300.0, low=0.0, high=86_400.0, help="Bound of that doubling."
        ),
        "pause_after": OptionSpec(
            type="int",
            default=5,
            low=0,
            high=1_000,
            help="The study pauses when its first so many trials all fail with `user_error`; "
            "0: never.",
        ),
    }
)
"""`failure_policy`."""

RESOURCE_FIELDS: Mapping[str, OptionSpec] = MappingProxyType(
    {
        "gpu": OptionSpec(
            type="float", default=0.0, low=0.0, high=64.0, help="Share of a GPU; 0: none needed."
        ),
        "gpu_memory_bytes": OptionSpec(
            type="int", default=0, low=0, high=_LARGEST, help="Bytes of GPU memory."
        ),
        "cpu": OptionSpec(type="float", default=1.0, low=0.0, high=1_024.0, help="CPU cores."),
    }
)
"""`resources` of one trial."""

TOP_FIELDS: Mapping[str, OptionSpec] = MappingProxyType(
    {
        "priority": OptionSpec(
            type="int",
            default=0,
            low=-1_000,
            high=1_000,
            help="Studies of higher priority are served first.",
        ),
        "seed": OptionSpec(
            type="int",
            low=0,
            high=_LARGEST,
            help="Seed of the suggester; left out: one is drawn when the study is created.",
        ),
    }
)
"""Scalars that stand alone: `priority` and `suggester.seed`."""
