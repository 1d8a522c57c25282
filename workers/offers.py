"""The objectives that this worker offers: built-in ones whose imports work, and the user's own."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from .command_objective import objective_of
from .command_spec import BadSpec, CommandSpec, read_spec
from .log import Log
from .objectives import data
from .objectives.offers import BUILT_IN, BuiltIn
from .processes import command

PROBE_S = 120.0
"""How long the import of a user's module may take."""


class CannotOffer(Exception):
    """An objective that was asked for cannot be had; the message says why."""


class Offers:
    """What is offered, by name. Safe to use from several threads.

    Attributes:
        targets: "module:name" of each of the user's own functions.
        commands: the user's own commands.
        memory: bytes that a trial takes, of those whose authors say it.
        fusable: the names of those whose trials may be trained as one.
        folder: the user's folder, where these are looked for first.
    """

    def __init__(
        self,
        wanted: Sequence[str],
        log: Log,
        *,
        commands: Sequence[str] = (),
        folder: str | None = None,
    ) -> None:
        """Looks for the objectives.

        Args:
            wanted: "module:name" for each of the user's own; plain names restrict the built-in
                ones.
            log: told of data that cannot be used.
            commands: NAME=FILE.toml for each command of the user's.
            folder: the user's; the working folder when None.

        Raises:
            CannotOffer: one that was asked for does not work.
        """
        self.folder = folder or os.getcwd()
        self.targets: dict[str, str] = {}
        self.commands: dict[str, CommandSpec] = {}
        self.memory: dict[str, int] = {}
        self.fusable: set[str] = set()
        self._lock = threading.Lock()
        self._offers: dict[str, dict[str, Any]] = {}
        names = [each for each in wanted if ":" not in each]
        for name in names or BUILT_IN:
            self._add_built_in(name, log, is_asked_for=bool(names))
        for target in wanted:
            if ":" in target:
                self._add_own(target)
        for named in commands:
            self._add_command(named)

    def _add_built_in(self, name: str, log: Log, *, is_asked_for: bool) -> None:
        built_in = BUILT_IN.get(name)
        if built_in is None:
            raise CannotOffer(
                f"there is no built-in objective {name!r}; an own one is named module:name"
            )
        if built_in.is_available():
            self._offers[name] = {**built_in.offer, "data": _at_hand(built_in, log)}
            if built_in.fuses:
                self.fusable.add(name)
        elif is_asked_for:
            raise CannotOffer(
                f"the objective {name!r} needs {', '.join(built_in.needs)}: "
                "pip install 'tunewell[worker]'"
            )

    def _add_own(self, target: str) -> None:
        offer = probe(target, self.folder)
        name, memory = str(offer["name"]), offer.pop("memory", None)
        if name in self.targets:
            raise CannotOffer(f"the objective {name!r} is offered twice")
        if memory is not None:
            self.memory[name] = int(memory)
        if offer.pop("fuses", False):
            self.fusable.add(name)
        self._offers[name] = offer
        self.targets[name] = target

    def _add_command(self, named: str) -> None:
        try:
            spec = read_spec(named)
        except BadSpec as error:
            raise CannotOffer(str(error)) from error
        if spec.name in self.targets or spec.name in self.commands:
            raise CannotOffer(f"the objective {spec.name!r} is offered twice")
        self._offers[spec.name] = objective_of(spec).offer()
        self.commands[spec.name] = spec

    @property
    def own_folder(self) -> str | None:
        """The user's folder, where what is offered may be code or files of theirs; else None."""
        return self.folder if self.targets or self.commands else None

    def as_registered(self) -> list[dict[str, Any]]:
        """As the service takes them."""
        with self._lock:
            return [dict(offer) for offer in self._offers.values()]

    @property
    def names(self) -> list[str]:
        """The names of those offered."""
        with self._lock:
            return list(self._offers)

    def has(self, name: str) -> bool:
        """Whether this worker offers an objective of that name."""
        with self._lock:
            return name in self._offers

    def add_data(self, objective: str, used: Mapping[str, str]) -> bool:
        """Adds a data set to an offer that names others or none; False when it is there already."""
        with self._lock:
            offer = self._offers.get(objective)
            if offer is None or used["digest"] in {
                each["digest"] for each in offer.get("data") or ()
            }:
                return False
            self._offers[objective] = {
                **offer,
                "data": [*(offer.get("data") or ()), dict(used)],
            }
            return True


def _at_hand(built_in: BuiltIn, log: Log) -> list[dict[str, str]]:
    found = []
    for data_set in built_in.data_sets:
        try:
            if data.verify(data_set):
                found.append(data.described(data_set))
        except data.CorruptFile as error:
            log("data_corrupt", dataset=data_set.name, detail=str(error))
    return found


def probe(target: str, folder: str) -> dict[str, Any]:
    """What a user's objective takes and reports, asked of a short-lived process that imports it.

    Raises:
        CannotOffer: it cannot be imported, or is no objective.
    """
    try:
        done = subprocess.run(
            command("user_objective", target, folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",  # what the module prints may be anything
            timeout=PROBE_S,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotOffer(f"importing {target!r} took longer than {PROBE_S:g} s") from error
    # What the module itself prints comes before our line.
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode != 0:
        raise CannotOffer(f"{target!r} cannot be used: {done.stderr.strip() or 'no reason given'}")
    try:
        offer = json.loads(last)
    except ValueError as error:
        raise CannotOffer(f"{target!r} ended before it said what it takes") from error
    if not isinstance(offer, dict):
        raise CannotOffer(f"{target!r} said nothing of what it takes")
    if "refused" in offer:
        raise CannotOffer(f"{target!r} cannot be used: {offer['refused']}")
    return offer
