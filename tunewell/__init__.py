"""Tunewell's client: talk to a service, write objectives of your own. No torch, no SQL.

The HTTP client is loaded when it is first used, so a process that only evaluates an objective never
loads it. The decorator is loaded at once: it has the name of its module, and the last one to be set
wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ApiError, StaleLease, TunewellError, Unreachable
from .objective import Objective, Trial, TrialEnded, objective

if TYPE_CHECKING:
    from .client import Client

__all__ = [
    "ApiError",
    "Client",
    "Objective",
    "StaleLease",
    "Trial",
    "TrialEnded",
    "TunewellError",
    "Unreachable",
    "objective",
]


def __getattr__(name: str) -> Any:
    """The client, when it is first asked for (PEP 562)."""
    if name != "Client":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .client import Client

    globals()["Client"] = Client
    return Client


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
