"""Asks for trials that the caller evaluates itself, and what they are answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ...domain.study import StudyState
from .checkpoints import ResumeOut
from .common import Instant, Name, Number, Step, Value, Wire


class BudgetOut(Wire):
    """Which steps an attempt covers."""

    from_step: int = Field(description="The attempt begins after this step.")
    to_step: int | None = Field(description="It ends at this step; null: at the end.")


class SuggestBody(Wire):
    """Asks for trials that the caller evaluates itself."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"count": 1, "client_id": "laptop"}, {}]}
    )

    count: Annotated[Step, Field(le=1_000)] = Field(
        default=1, description="How many trials, 1 to 1,000."
    )
    client_id: Name | None = Field(
        default=None, description="The client's name for itself: its open trials come back first."
    )
    wait_s: Annotated[Number, Field(ge=0, le=120)] = Field(
        default=0.0, description="Seconds to wait for a free place, 0 to 120."
    )
    lease_s: Annotated[Number, Field(ge=10, le=86_400)] = Field(
        default=600.0, description="How long the leases last unless renewed, 10 to 86,400 seconds."
    )


class NextBody(SuggestBody):
    """Asks for trials beside the end of one. The client has a name: so the same call again is
    answered with the same trials.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"client_id": "laptop", "lease_s": 60}]}
    )

    client_id: Name = Field(description="The client's name for itself, as in `:suggest`.")


class SuggestedTrial(Wire):
    """A trial to evaluate, in state `running`."""

    id: str = Field(description="Id of the trial.")
    number: int = Field(description="Its number within the study.")
    params: dict[str, Value] = Field(description="The point to evaluate.")
    lease_id: str = Field(description="Goes with every write about this trial.")
    expires_at: Instant = Field(description="When the lease ends unless renewed.")
    budget: BudgetOut = Field(description="Which steps to do.")
    checkpoint: ResumeOut | None = Field(description="Where to go on from; null: begin anew.")
    last_seq: int = Field(description="Highest `seq` reported under this lease; -1 for a new one.")
    last_step: int | None = Field(description="Highest step reported under this lease.")
    attempt: int = Field(
        description="Which attempt at the trial this is, from 1: one more than failed or were lost."
    )


class SuggestOut(Wire):
    """Trials to evaluate: as many as asked, or fewer where limits do not allow more."""

    trials: list[SuggestedTrial] = Field(description="The trials; may be none.")
    study_state: StudyState = Field(description="Where the study stands.")
