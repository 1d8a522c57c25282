"""A running service that asks for tokens, with studies to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.token import Role

from ..system.running import Service


@dataclass(frozen=True, slots=True)
class Site:
    """What a visitor finds.

    Attributes:
        service: its process; calls through it are the admin's.
        tokens: a secret of each role.
        studies: ids by the names of `seeding.STUDIES`.
    """

    service: Service
    tokens: Mapping[Role, str]
    studies: dict[str, str]

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return self.service.url

    def token(self, role: Role, **more: Any) -> Any:
        """A new token, with its `id` and `secret`."""
        return self.service.call("POST", "/v1/tokens", {"name": role.value, "role": role, **more})


def start(folder: Path, database_url: str) -> Site:
    """Starts a service and makes a token of each role, which turns auth on.

    Args:
        folder: empty, for the output of its processes.
        database_url: of an empty database; one with the newest schema starts quicker.
    """
    service = Service(folder, database_url, {"TUNEWELL_LEASE_TTL_S": "3600"})
    service.start()
    tokens: dict[Role, str] = {}
    site = Site(service, tokens, {})
    for role in sorted(Role, key=lambda role: role is not Role.ADMIN):
        tokens[role] = site.token(role)["secret"]
        service.http.headers["Authorization"] = f"Bearer {tokens[Role.ADMIN]}"
    return site
