"""Requests and answers about what the trials' processes print."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, Strict

from ...service.trial_logs import MAX_CHUNK_BYTES
from .common import Count, Name, Wire


class LogBody(Wire):
    """A piece of output under a lease. The same piece again changes nothing."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
                    "offset": 0,
                    "text": "epoch 1: loss 0.31\n",
                }
            ]
        },
    )

    lease_id: Name = Field(description="The lease that the trial was handed out under.")
    offset: Count = Field(
        description="Bytes of UTF-8 that the attempt had printed before; a gap is what was left "
        "out."
    )
    text: Annotated[str, Strict(), Field(max_length=MAX_CHUNK_BYTES)] = Field(
        description=f"At most {MAX_CHUNK_BYTES:,} bytes of UTF-8."
    )


class LogSizeOut(Wire):
    """How much is known of an attempt's output."""

    size_bytes: int = Field(description="Bytes of UTF-8 that the attempt has printed so far.")


class LogPartOut(Wire):
    """A piece of output without a gap."""

    offset: int = Field(description="Its first byte.")
    text: str = Field(description="What was printed.")


class LogOut(Wire):
    """An attempt's output, as far as it is kept."""

    trial_id: str = Field(description="The trial.")
    lease_id: str | None = Field(description="The attempt; null where none has printed anything.")
    size_bytes: int = Field(description="Bytes of UTF-8 that it has printed in all.")
    omitted_bytes: int = Field(description="How many of them are not kept, or were not asked for.")
    parts: list[LogPartOut] = Field(description="In order; between two something was left out.")
