"""The suggesters and early-stopping rules by name, with their options: for checks and docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """What one option, limit or other scalar setting may be.

    Attributes:
        type: "int", "float", "bool" or "str".
        default: used when it is left out; None means that it is unset (the help says what then).
        low: smallest value, or None; excluded when `is_low_open`.
        high: largest value, or None; excluded when `is_high_open`.
        choices: the accepted words of a "str", or None.
        help: one sentence for a person.
    """

    type: str
    default: Any = None
    low: float | None = None
    high: float | None = None
    is_low_open: bool = False
    is_high_open: bool = False
    choices: tuple[str, ...] | None = None
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggesterInfo:
    """A suggester or an early-stopping rule as a person reads of it, and its options by name."""

    name: str
    summary: str
    options: Mapping[str, OptionSpec] = field(default_factory=dict)


_N_INITIAL_MODEL = OptionSpec(
    type="int",
    low=1,
    high=1_000,
    help="Points of the initial design before the model takes over; left out: the suggester "
    "chooses.",
)
_N_INITIAL_PLAIN = OptionSpec(
    type="int",
    low=1,
    high=1_000,
    help="Accepted for every suggester; this one has no model, so it changes nothing.",
)


def _table(*entries: SuggesterInfo) -> Mapping[str, SuggesterInfo]:
    return MappingProxyType({entry.name: entry for entry in entries})


SUGGESTERS: Mapping[str, SuggesterInfo] = _table(
    SuggesterInfo(
        name="auto",
        summary="Chooses by the space, budget and results; `provenance` says which and why.",
        options={"n_initial": _N_INITIAL_MODEL},
    ),
    SuggesterInfo(
        name="random",
        summary="Independent draws; uniform, or log-uniform where `log` is set.",
        options={"n_initial": _N_INITIAL_PLAIN},
    ),
    SuggesterInfo(
        name="grid",
        summary="Every point of the space exactly once; ends with `space_exhausted`.",
        options={
            "n_initial": _N_INITIAL_PLAIN,
            "shuffle": OptionSpec(
                type="bool",
                default=False,
                help="Go through the points in an order drawn from the seed, not in turn.",
            ),
        },
    ),
    SuggesterInfo(
        name="sobol",
        summary="A scrambled Sobol sequence: random-like, but evenly spread.",
        options={"n_initial": _N_INITIAL_PLAIN},
    ),
    SuggesterInfo(
        name="gp",
        summary="A Gaussian process with log expected improvement; best up to some hundred trials.",
        options={"n_initial": _N_INITIAL_MODEL},
    ),
    SuggesterInfo(
        name="tpe",
        summary="Tree-structured Parzen estimator; for conditional and categorical spaces.",
        options={
            "n_initial": _N_INITIAL_MODEL,
            "n_candidates": OptionSpec(
                type="int", default=24, low=1, high=10_000, help="Candidates drawn per suggestion."
            ),
            "gamma": OptionSpec(
                type="float",
                default=0.1,
                low=0.0,
                high=0.5,
                is_low_open=True,
                help="Share of the finished trials that count as good (25 trials at most).",
            ),
        },
    ),
    SuggesterInfo(
        name="cmaes",
        summary="Covariance matrix adaptation with restarts; for numeric spaces and some hundred "
        "trials or more.",
        options={
            "n_initial": _N_INITIAL_MODEL,
            "population": OptionSpec(
                type="int",
                low=4,
                high=10_000,
                help="Results of a generation of the first run; left out: 4 + 3 ln d for d "
                "parameters.",
            ),
            "sigma": OptionSpec(
                type="float",
                default=0.2,
                low=0.0,
                high=1.0,
                is_low_open=True,
                help="Standard deviation of the first generation, in shares of a range.",
            ),
            "restarts": OptionSpec(
                type="str",
                default="ipop",
                choices=("ipop", "bipop", "none"),
                help="What follows a run that has converged: one of twice the population; large "
                "and small ones by turns; none.",
            ),
            "lr_adapt": OptionSpec(
                type="bool",
                default=False,
                help="Adapt the learning rates, for noisy results; for continuous parameters only.",
            ),
        },
    ),
    SuggesterInfo(
        name="evolution",
        summary="Regularised evolution for one objective, NSGA-II for several; bears any space.",
        options={
            "n_initial": _N_INITIAL_MODEL,
            "population": OptionSpec(
                type="int",
                default=50,
                low=2,
                high=10_000,
                help="Trials that parents are chosen from: the newest ones, or with several "
                "objectives the best ones.",
            ),
            "tournament": OptionSpec(
                type="int",
                default=25,
                low=1,
                high=10_000,
                help="Members drawn for a parent, of which the best is taken; 2 with several "
                "objectives.",
            ),
        },
    ),
    SuggesterInfo(
        name="skopt",
        summary="scikit-optimize's Optimizer; slower, for comparison with studies made by it.",
        options={
            "n_initial": _N_INITIAL_MODEL,
            "base_estimator": OptionSpec(
                type="str",
                default="gp",
                choices=("gp", "rf", "et"),
                help="Its model: Gaussian process, random forest or extra trees.",
            ),
            "acq_func": OptionSpec(
                type="str",
                default="ei",
                choices=("ei", "pi", "lcb", "gp_hedge"),
                help="Its acquisition function.",
            ),
            "initial_point_generator": OptionSpec(
                type="str",
                default="sobol",
                choices=("sobol", "lhs", "halton", "hammersly", "random"),
                help="Its sampler for the initial design.",
            ),
        },
    ),
)
"""Suggesters of this version, by name."""

_MIN_RESOURCE = OptionSpec(
    type="int", default=1, low=1, high=2**31, help="First step at which a trial may be judged."
)
_MAX_RESOURCE = OptionSpec(
    type="int",
    low=1,
    high=2**31,
    help="Steps of a full training; left out: what the objective says.",
)
_ETA = OptionSpec(
    type="int", default=3, low=2, high=100, help="One trial in so many goes on at a rung."
)
_RUNGS = {"min_resource": _MIN_RESOURCE, "max_resource": _MAX_RESOURCE, "eta": _ETA}
_STARTUP = OptionSpec(
    type="int", default=5, low=1, high=10_000, help="Completed trials before any is stopped."
)


def _percentile(summary: str) -> OptionSpec:
    return OptionSpec(
        type="float",
        default=50.0,
        low=0.0,
        high=100.0,
        is_low_open=True,
        is_high_open=True,
        help=summary,
    )


EARLY_STOPPING: Mapping[str, SuggesterInfo] = _table(
    SuggesterInfo(name="none", summary="Every trial runs to its end."),
    SuggesterInfo(
        name="median",
        summary="Stops a trial whose best value is behind the median of the completed trials' "
        "running means.",
        options={
            "min_resource": _MIN_RESOURCE,
            "max_resource": _MAX_RESOURCE,
            "n_startup_trials": _STARTUP,
            "percentile": _percentile("50 is the median."),
        },
    ),
    SuggesterInfo(
        name="percentile",
        summary="The median rule with another share to keep up with.",
        options={
            "min_resource": _MIN_RESOURCE,
            "max_resource": _MAX_RESOURCE,
            "n_startup_trials": _STARTUP,
            "percentile": _percentile("Percent: 25 asks for the best quarter."),
        },
    ),
    SuggesterInfo(
        name="asha",
        summary="Asynchronous successive halving: at each rung the best of those seen so far go "
        "on.",
        options={
            **_RUNGS,
            "mode": OptionSpec(
                type="str",
                default="promote",
                choices=("promote", "stop"),
                help="Whether the others pause, and may be promoted later, or are stopped.",
            ),
        },
    ),
    SuggesterInfo(
        name="hyperband",
        summary="Brackets of synchronous halving, from many short trainings to few full ones.",
        options=_RUNGS,
    ),
    SuggesterInfo(
        name="bohb",
        summary="Hyperband's brackets with a model of its own in place of the suggester.",
        options=_RUNGS,
    ),
    SuggesterInfo(
        name="patience",
        summary="Stops a trial that no longer gains, whatever the others do.",
        options={
            "min_resource": _MIN_RESOURCE,
            "max_resource": _MAX_RESOURCE,
            "steps": OptionSpec(
                type="int", default=5, low=1, high=2**31, help="Steps without a gain."
            ),
            "min_delta": OptionSpec(
                type="float", default=0.0, low=0.0, help="A gain is more than this."
            ),
        },
    ),
    SuggesterInfo(
        name="auto",
        summary="Stops by what the study's own curves say of their ends, and hardly where they "
        "mislead.",
        options=_RUNGS,
    ),
)
"""Early-stopping rules by name."""
