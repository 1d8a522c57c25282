"""Registers the worker, and again when the service has forgotten it or the data at hand change."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from .link import Link
from .log import Log
from .offers import Offers


class Registration:
    """What the service knows of this worker. Safe to use from several threads.

    Args:
        link: to the service.
        log: the worker's lines.
        offers: the objectives.
        about: `name`, `boot_id`, `labels`, `devices`, `slots`.
    """

    def __init__(self, link: Link, log: Log, offers: Offers, about: Mapping[str, Any]) -> None:
        self._link = link
        self._log = log
        self._offers = offers
        self._about = dict(about)
        self._lock = threading.Lock()
        self.worker_id = ""
        self.heartbeat_s = 15.0

    def register(self, reason: str = "start") -> None:
        """Registers under the same name and boot id, which keeps the worker's id and leases.

        Raises:
            Away: nobody answered.
            Refused: the service does not want this worker.
        """
        with self._lock:
            self._register(reason)

    def register_again(self, known_id: str) -> None:
        """Registers because the service answered 404 to `known_id`, unless that is done already."""
        with self._lock:
            if self.worker_id == known_id:
                self._register("forgotten")

    def offer_data(self, objective: str, used: Mapping[str, str] | None) -> None:
        """Tells the service of a data set that a trial has used and that was not at hand before."""
        with self._lock:
            if used is not None and self._offers.add_data(objective, used):
                self._register("new-data")

    def _register(self, reason: str) -> None:
        body = {**self._about, "objectives": self._offers.as_registered()}
        answer = self._link.call("POST", "/v1/workers", body)
        self.worker_id = answer["id"]
        self.heartbeat_s = float(answer["heartbeat_s"])
        self._log.bind(worker_id=self.worker_id)
        self._log(
            "worker_registered",
            worker_id=self.worker_id,
            name=self._about["name"],
            url=self._link.url,
            reason=reason,
            slots=self._about["slots"],
            objectives=[offer["name"] for offer in body["objectives"]],
        )
