"""Requests and answers about checkpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ...domain.checkpoint import CheckpointState
from .common import Count, Instant, Name, Step, Wire

_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class NewCheckpointBody(Wire):
    """Announces a checkpoint, before its content is uploaded."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
                    "step": 3,
                    "size_bytes": 4,
                    "sha256": _SHA256,
                }
            ]
        },
    )

    lease_id: Name = Field(description="The lease that the trial was handed out under.")
    step: Step = Field(description="Resource consumed when it was saved.")
    size_bytes: Count = Field(description="Size of the whole content.")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", max_length=64)] = Field(
        description="SHA-256 of the whole content, 64 lower-case hex digits."
    )


class CommitBody(Wire):
    """Asks for an upload to be made the trial's checkpoint."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p"}]},
    )

    lease_id: Name = Field(description="The lease that the checkpoint was announced under.")


class CheckpointOut(Wire):
    """A checkpoint, and how much of its content is there."""

    id: str = Field(description="Id of the checkpoint, `ck_...`.")
    trial_id: str = Field(description="The trial that saved it.")
    study_id: str = Field(description="The trial's study.")
    lease_id: str = Field(description="The attempt that saved it.")
    step: int = Field(description="Resource consumed when it was saved.")
    size_bytes: int = Field(description="Size of the whole content.")
    sha256: str = Field(description="SHA-256 of the whole content.")
    state: CheckpointState = Field(description="`committed`: a next attempt may go on from it.")
    received_bytes: int = Field(description="How much is there; the next chunk begins here.")
    created_at: Instant = Field(description="When it was announced.")
    committed_at: Instant | None = Field(description="When it was committed.")


class ResumeOut(Wire):
    """The checkpoint that an attempt goes on from."""

    id: str = Field(description="Id of the checkpoint, `ck_...`.")
    url: str = Field(description="Path of its content, to be read with `GET`.")
    step: int = Field(description="The step that it was saved after; the attempt begins there.")
    size_bytes: int = Field(description="Size of the content.")
    sha256: str = Field(description="SHA-256 of the content.")
