"""Tunewell's client: talk to a service, write objectives of your own. No torch, no SQL."""

from .client import Client
from .errors import ApiError, ServiceUnreachable, StaleLeaseError, TunewellError
from .objective import Objective, Trial, objective

__all__ = [
    "ApiError",
    "Client",
    "Objective",
    "ServiceUnreachable",
    "StaleLeaseError",
    "Trial",
    "TunewellError",
    "objective",
]
