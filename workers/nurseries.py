"""The processes that fork trials off, one for each objective that was asked for so far."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from .devices import cores
from .forkable import signed
from .objectives.offers import BUILT_IN
from .processes import HAS_PIDFD, Nursery
from .processor import same_bits


def trial_environment(n_slots: int) -> dict[str, str]:
    """The trials' environment: each gets its share of the cores, unless the user says else.

    OpenMP's variable is the one that torch, MKL, OpenBLAS and scikit-learn all go by. No result
    depends on the cores that a trial is lent while it runs.
    """
    share = max(1, len(cores()) // n_slots)
    return {"OMP_NUM_THREADS": str(share), **same_bits(), **os.environ}


def threads_of(environment: Mapping[str, str]) -> int:
    """How many threads a trial has in an environment; 1 where the user's word is no number."""
    said = environment["OMP_NUM_THREADS"].split(",")[0]
    return max(1, int(said)) if said.isdigit() else 1


class Nurseries:
    """Makes them when they are first needed, and anew when one has died.

    Args:
        environment: of the trials.
        n_spares: how many processes of each wait for the next trials.
        targets: "module:name" of each of the user's own objectives.
        folder: the user's.
        log: the worker's lines.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        n_spares: int = 1,
        *,
        targets: Mapping[str, str] | None = None,
        folder: str = "",
        log: Callable[..., None] = lambda event, **fields: None,
    ) -> None:
        # For trials on the CPU only: a GPU's driver that was looked at before a fork fails after
        # it.
        self._environment = {**environment, "CUDA_VISIBLE_DEVICES": ""}
        self._n_spares = n_spares
        self._made: dict[str, Nursery] = {}
        self._targets = dict(targets or {})
        self._folder = folder
        self._log = log
        self._asked_for: set[str] = set()
        self._unforkable: set[str] = set()
        self._retired: list[Nursery] = []

    def of(self, objective: str) -> Nursery | None:
        """The one of an objective; None where a trial has to be started anew.

        To be called in the thread that runs the worker: a nursery dies with the thread it is made
        in.
        """
        if not HAS_PIDFD:
            return None
        if objective in self._targets:
            return self._own(objective)
        if objective not in BUILT_IN:
            return None
        nursery = self._made.get(objective)
        if nursery is None or not nursery.is_alive:
            if nursery is not None:
                nursery.close()
            nursery = Nursery(objective, self._environment, self._n_spares)
            self._made[objective] = nursery
        return nursery

    def _own(self, objective: str) -> Nursery | None:
        """The one of a user's objective, once it has imported it and found nothing against a fork.

        It is begun with the second trial: one alone would have it for nothing. While it imports,
        which may take any time, trials are started anew.
        """
        if objective in self._unforkable:
            return None
        if objective not in self._asked_for:
            self._asked_for.add(objective)
            return None
        nursery = self._made.get(objective)
        hello = None if nursery is None else nursery.hello()
        if hello is not None and hello["obstacle"] is not None:
            self._unforkable.add(objective)
            self._log("objective_not_forked", objective=objective, reason=hello["obstacle"])
            return None
        if nursery is not None and hello is not None and self._is_stale(nursery, hello):
            self._retired.append(self._made.pop(objective))  # its trials may run on
            nursery = None
        if nursery is None:
            own = self._targets[objective], self._folder
            self._made[objective] = Nursery(objective, self._environment, self._n_spares, own)
            return None
        return nursery if hello is not None else None

    def _is_stale(self, nursery: Nursery, hello: Mapping[str, Any]) -> bool:
        """Whether it has died, or the user has changed a file that it has read."""
        read = {path: tuple(signature) for path, signature in hello["files"].items()}
        return not nursery.is_alive or signed(read) != read

    def close(self) -> None:
        """Ends them all."""
        for objective, nursery in self._made.items():
            if objective in self._targets and nursery.hello() is None:
                nursery.kill()
        for nursery in (*self._made.values(), *self._retired):
            nursery.close()
