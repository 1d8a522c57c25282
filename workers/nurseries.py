"""The processes that fork trials off, one for each built-in objective that was asked for so far."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .devices import cores
from .objectives.offers import BUILT_IN
from .processes import HAS_PIDFD, Nursery


def trial_environment(n_slots: int) -> dict[str, str]:
    """The trials' environment: each gets its share of the cores, unless the user says else.

    OpenMP's variable is the one that torch, MKL, OpenBLAS and scikit-learn all go by.
    """
    share = max(1, len(cores()) // n_slots)
    return {"OMP_NUM_THREADS": str(share), **os.environ}


def threads_of(environment: Mapping[str, str]) -> int:
    """How many threads a trial has in an environment; 1 where the user's word is no number."""
    said = environment["OMP_NUM_THREADS"].split(",")[0]
    return max(1, int(said)) if said.isdigit() else 1


class Nurseries:
    """Makes them when they are first needed, and anew when one has died.

    Args:
        environment: of the trials.
        n_spares: how many processes of each wait for the next trials.
    """

    def __init__(self, environment: Mapping[str, str], n_spares: int = 1) -> None:
        # For trials on the CPU only: a GPU's driver that was looked at before a fork fails after
        # it.
        self._environment = {**environment, "CUDA_VISIBLE_DEVICES": ""}
        self._n_spares = n_spares
        self._made: dict[str, Nursery] = {}

    def of(self, objective: str) -> Nursery | None:
        """The one of an objective; None where a trial has to be started anew.

        To be called in the thread that runs the worker: a nursery dies with the thread it is made
        in.
        """
        if objective not in BUILT_IN or not HAS_PIDFD:
            return None
        nursery = self._made.get(objective)
        if nursery is None or not nursery.is_alive:
            if nursery is not None:
                nursery.close()
            nursery = Nursery(objective, self._environment, self._n_spares)
            self._made[objective] = nursery
        return nursery

    def close(self) -> None:
        """Ends them all."""
        for nursery in self._made.values():
            nursery.close()
