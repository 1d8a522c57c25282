"""A study definition as it is sent: for the docs. The domain checks it as a whole, so that all
faults are named at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ...domain.sizes import limit_of
from ...domain.study import Direction
from .common import Flag, Integer, Name, Number, Value, Wire, at_most

Options = Annotated[dict[str, Any], at_most(limit_of("options"))]
Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=limit_of("label_chars"))]],
    at_most(limit_of("labels")),
]
Description = Annotated[str, Field(max_length=limit_of("description_chars"))]
Known = Annotated[str, Field(max_length=limit_of("name_chars"))]
Choices = Annotated[list[Value], Field(max_length=limit_of("choices"))]

EXAMPLE: dict[str, Any] = {
    "name": "mnist-lr-batch",
    "objective": {"name": "mnist-mlp", "options": {"epochs": 3}},
    "metrics": [{"name": "accuracy", "direction": "maximize"}],
    "space": [
        {"name": "learning_rate", "type": "float", "low": 0.001, "high": 0.01, "log": True},
        {"name": "batch_size", "type": "int", "low": 16, "high": 128, "step": 1},
        {"name": "model", "type": "categorical", "choices": ["simple", "batchnorm"]},
        {
            "name": "momentum",
            "type": "float",
            "low": 0.01,
            "high": 0.99,
            "when": {"param": "model", "in": ["batchnorm"]},
        },
    ],
    "suggester": {"name": "gp", "seed": 42, "options": {}},
    "limits": {"max_trials": 50, "max_parallel": 4, "max_duration_s": 3600, "target": 0.985},
    "failure_policy": {"max_attempts": 3, "max_losses": 5, "max_failed": 10},
    "labels": {"team": "vision"},
    "priority": 0,
}
"""A definition that the service takes as it stands."""


class WhenBody(Wire):
    """When a parameter is active: its parent has one of the choices, or lies in a range."""

    param: Name = Field(description="Name of a parameter that stands earlier in the space.")
    in_: Choices | None = Field(
        default=None, alias="in", description="Values of the parent that switch the parameter on."
    )
    low: Number | None = Field(
        default=None, description="Lowest value of a numeric parent, inclusive."
    )
    high: Number | None = Field(
        default=None, description="Highest value of a numeric parent, inclusive."
    )


class FloatBody(Wire):
    """A real number in a range."""

    name: Name = Field(description="Name of the parameter, unique in the space.")
    type: Literal["float"] = Field(description="The kind of parameter.")
    low: Number = Field(description="Lowest value, inclusive.")
    high: Number = Field(description="Highest value, inclusive.")
    log: Flag = Field(default=False, description="Model it on the logarithm; needs low > 0.")
    step: Number | None = Field(default=None, description="Only low, low + step, ... are tried.")
    default: Number | None = Field(default=None, description="A value known to be sensible.")
    when: WhenBody | None = Field(
        default=None, description="When the parameter is active; always if null."
    )


class IntBody(Wire):
    """An integer in a range."""

    name: Name = Field(description="Name of the parameter, unique in the space.")
    type: Literal["int"] = Field(description="The kind of parameter.")
    low: Integer = Field(description="Lowest value, inclusive.")
    high: Integer = Field(description="Highest value, inclusive.")
    log: Flag = Field(default=False, description="Model it on the logarithm; needs low > 0.")
    step: Integer = Field(default=1, description="Only low, low + step, ... are tried.")
    default: Integer | None = Field(default=None, description="A value known to be sensible.")
    when: WhenBody | None = Field(
        default=None, description="When the parameter is active; always if null."
    )


class CategoricalBody(Wire):
    """One of a list of choices."""

    name: Name = Field(description="Name of the parameter, unique in the space.")
    type: Literal["categorical"] = Field(description="The kind of parameter.")
    choices: Choices = Field(description="The values: strings, numbers, booleans.", min_length=1)
    ordered: Flag = Field(
        default=False, description="Whether the order of the choices carries meaning."
    )
    default: Value | None = Field(default=None, description="A choice known to be sensible.")
    when: WhenBody | None = Field(
        default=None, description="When the parameter is active; always if null."
    )


ParameterBody = Annotated[FloatBody | IntBody | CategoricalBody, Field(discriminator="type")]


class ObjectiveBody(Wire):
    """The objective that workers evaluate."""

    name: Name = Field(description="Its registered name.", examples=["mnist-mlp"])
    options: Options = Field(
        default_factory=dict, description="Its options, checked against the schema a worker sent."
    )


class MetricBody(Wire):
    """A metric that trials report."""

    name: Name = Field(description="Name of the metric.", examples=["accuracy"])
    direction: Direction = Field(description="Which values are better.")
    role: Literal["objective", "constraint"] = Field(
        default="objective", description="`constraint` metrics bound, they are not optimised."
    )
    threshold: Number | None = Field(
        default=None, description="Bound of a constraint: feasible at or within it."
    )


class SuggesterBody(Wire):
    """Which suggester proposes points."""

    name: Known = Field(
        default="auto", description="Its name; `/v1/meta` lists them.", examples=["gp"]
    )
    seed: Integer | None = Field(default=None, description="Seed of every draw; drawn when null.")
    options: Options = Field(default_factory=dict, description="Its options.")


class EarlyStoppingBody(Wire):
    """Which early-stopping rule applies."""

    name: Known = Field(
        default="none", description="Its name; `/v1/meta` lists them.", examples=["none"]
    )
    options: Options = Field(default_factory=dict, description="Its options.")


class NoProgressBody(Wire):
    """Ends a study that stands still."""

    trials: Integer | None = Field(
        default=None, description="Look at the last so many finished trials."
    )
    seconds: Number | None = Field(default=None, description="Look at the last so many seconds.")
    min_gain: Number = Field(
        default=0.0, description="A gain of the best value that counts as progress."
    )


class LimitsBody(Wire):
    """What bounds a study; null is no bound."""

    max_trials: Integer | None = Field(default=None, description="Places for trials.")
    max_parallel: Integer | None = Field(
        default=None, description="Trials that run at the same time."
    )
    max_duration_s: Number | None = Field(
        default=None, description="Seconds from the first trial on."
    )
    max_trial_duration_s: Number | None = Field(
        default=None, description="Seconds that one attempt may run."
    )
    target: Number | None = Field(
        default=None, description="The study ends when its best reaches this."
    )
    no_progress: NoProgressBody | None = Field(
        default=None, description="Ends a study that stands still."
    )
    max_resource_total: Integer | None = Field(
        default=None, description="Steps of all trials together."
    )
    min_gain_per_h: Number | None = Field(
        default=None, description="Expected gain per hour below which the study ends."
    )


class FailurePolicyBody(Wire):
    """How many failures are borne."""

    max_attempts: Integer = Field(
        default=3, description="Attempts at a trial that workers may report failed."
    )
    max_losses: Integer = Field(
        default=5, description="Lost leases, releases and pre-emptions of a trial."
    )
    max_failed: Integer | None = Field(
        default=None, description="Failed trials that end the study."
    )
    retry_user_error: Flag = Field(
        default=True, description="Retry after an exception of the objective's code."
    )
    retry_oom: Flag = Field(
        default=True, description="Retry after want of memory, on a device with more of it."
    )
    retry_nan: Flag = Field(default=False, description="Retry after a value that is not finite.")
    retry_timeout: Flag = Field(default=False, description="Retry after `max_trial_duration_s`.")
    backoff_s: Number = Field(
        default=1.0,
        ge=0,
        description="Longest wait before the second attempt; doubled for each further one.",
    )
    max_backoff_s: Number = Field(default=300.0, ge=0, description="Bound of that doubling.")
    pause_after: Integer = Field(
        default=5,
        description="First trials that all fail with `user_error` and pause the study; 0: never.",
    )


class ResourcesBody(Wire):
    """What one trial needs."""

    gpu: Number = Field(default=0.0, description="Share of a GPU, or a whole number of them.", ge=0)
    gpu_memory_bytes: Integer = Field(default=0, description="Bytes of a GPU's memory.", ge=0)
    cpu: Number = Field(default=1.0, description="CPU cores.", ge=0)


class ConstraintBody(Wire):
    """A known linear constraint on numeric parameters; an inactive one counts as 0."""

    terms: Annotated[dict[str, Number], at_most(limit_of("parameters"))] = Field(
        description="Coefficient of each parameter."
    )
    op: Literal["<=", ">=", "=="] = Field(description="How the sum compares to the bound.")
    bound: Number = Field(description="The right-hand side.")


class WebhookBody(Wire):
    """Who is told when the study ends or pauses itself."""

    url: str = Field(
        description="An https URL; its host has to be listed in the service's settings.",
        max_length=2_000,
        examples=["https://hooks.example/tunewell"],
    )


class StudyDefinitionBody(Wire):
    """A study definition; `name`, `metrics` and `space` are required."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    name: Name = Field(description="Unique among the studies that are not deleted.")
    objective: ObjectiveBody | None = Field(
        default=None, description="What workers evaluate; null: clients evaluate trials themselves."
    )
    metrics: list[MetricBody] = Field(
        description="What trials report; the first decides.",
        min_length=1,
        max_length=limit_of("metrics"),
    )
    space: list[ParameterBody] = Field(
        description="The search space.", min_length=1, max_length=limit_of("parameters")
    )
    constraints: list[ConstraintBody] = Field(
        default_factory=list,
        description="Known linear constraints on the space.",
        max_length=limit_of("constraints"),
    )
    suggester: SuggesterBody = Field(
        default_factory=SuggesterBody, description="Who proposes points."
    )
    early_stopping: EarlyStoppingBody = Field(
        default_factory=EarlyStoppingBody, description="Who stops trials early."
    )
    limits: LimitsBody = Field(default_factory=LimitsBody, description="What bounds the study.")
    failure_policy: FailurePolicyBody = Field(
        default_factory=FailurePolicyBody, description="How many failures it bears."
    )
    resources: ResourcesBody = Field(
        default_factory=ResourcesBody, description="What each trial needs."
    )
    labels: Labels = Field(default_factory=dict, description="Words to find it by.")
    priority: Integer = Field(default=0, description="Studies of higher priority are served first.")
    description: Description = Field(default="", description="For people.")
    webhook: WebhookBody | None = Field(
        default=None, description="Who is told when the study ends or pauses itself."
    )


class StudyChangesBody(Wire):
    """What of a study can be changed while it runs; what is absent stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"limits": {"max_trials": 80}, "priority": 5}]},
    )

    limits: LimitsBody | None = Field(
        default=None, description="Limits to change, one by one; null removes a limit."
    )
    priority: Integer | None = Field(default=None, description="The new priority.")
    labels: Labels | None = Field(default=None, description="The new labels, all of them.")
    description: Description | None = Field(default=None, description="The new description.")
    resources: ResourcesBody | None = Field(
        default=None, description="What one trial needs from now on."
    )
    webhook: WebhookBody | None = Field(
        default=None, description="Who is told from now on; null: nobody."
    )
