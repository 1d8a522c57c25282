"""What a trial needs and where that fits: the memory expected of it, and the choice of a device.
Pure.

A worker's memory is one space for each GPU, or a single one for all the cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

KEPT_PEAKS = 20
"""Peaks that an estimate is made of: one trial of an unusual size is forgotten after as many."""
HEADROOM = 1.1
"""An estimate by the largest of these peaks: points differ a little in what they take."""
OOM_FACTOR = 1.5
"""An estimate after a trial ran out of memory. Its peak says what it had got, not what it asked for
when it was refused, so that alone would send it to the same place again; doubling would take two
trials at a time from a device that holds three.
"""
WHOLE = 0.8
"""The part of a device's memory that counts as all of it: its driver, a screen or the system take
the rest. Who needs more has the device alone.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a trial is expected to take.

    Attributes:
        memory_bytes: of the device's memory; None: nothing is known. On a GPU it then has the
            device alone; the cores' memory is the system's to share out.
        gpu: share of each GPU, 0 to 1.
        cores: of the CPU, at least 1.
        n_devices: GPUs that it needs at the same time; the memory is that of each.
    """

    memory_bytes: int | None = None
    gpu: float = 0.0
    cores: int = 1
    n_devices: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A device's memory, in bytes; `is_gpu`: else it is that of all cores.

    Attributes:
        idle_free_bytes: what was free when nothing of this worker's ran there last.
    """

    index: int
    is_gpu: bool
    total_bytes: int
    free_bytes: int
    idle_free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a running trial is expected to take on the device `index`.

    Attributes:
        used_bytes: what it takes of it now; None where the system does not tell.
        also: devices that it takes as much of at the same time.
    """

    index: int
    memory_bytes: int
    gpu: float = 0.0
    cores: int = 1
    used_bytes: int | None = None
    also: tuple[int, ...] = ()

    @property
    def indices(self) -> tuple[int, ...]:
        """All its devices."""
        return self.index, *self.also


def estimate(peaks: Sequence[int], prior: int | None, floor: int) -> int | None:
    """Bytes that a trial of an objective is expected to take; None where nothing is known.

    Args:
        peaks: of earlier trials, in bytes.
        prior: what its author says; what was measured goes before it.
        floor: what the study and the trial itself ask for at least.
    """
    known = math.ceil(max(peaks) * HEADROOM) if peaks else prior
    return max(known or 0, floor) or None


def after_oom(expected: int, peak: int) -> int:
    """Bytes to expect of a trial that ran out of memory.

    Args:
        expected: what was expected of it.
        peak: what it was seen to take.
    """
    return math.ceil(max(expected, peak) * OOM_FACTOR)


def expected_on(need: Need, space: Space) -> int:
    """Bytes that a trial is held to take of a space, at most all of it."""
    if need.memory_bytes is None:
        return space.total_bytes if space.is_gpu else 0
    return min(need.memory_bytes, space.total_bytes)


def left(space: Space, held: Sequence[Held]) -> int:
    """Bytes of a space that nobody takes now, nor a running trial is still expected to take."""
    here = [each for each in held if space.index in each.indices]
    expected = sum(each.memory_bytes for each in here)
    used = 0
    for each in here:
        if each.used_bytes is None:
            # By what has gone since the device held none of ours.
            used = max(0, space.idle_free_bytes - space.free_bytes)
            break
        used += min(each.used_bytes, each.memory_bytes)
    return max(0, space.free_bytes - max(0, expected - used))


def fits(need: Need, space: Space, held: Sequence[Held]) -> bool:
    """Whether a trial can begin on a device beside those that run there."""
    here = [each for each in held if space.index in each.indices]
    if space.is_gpu and need.gpu + sum(each.gpu for each in here) > 1.0 + 1e-9:
        return False
    if not space.is_gpu and not here:
        return True  # the system has ways to make room, and refusing would leave it idle for ever
    wanted = expected_on(need, space)
    if not here:
        wanted = min(wanted, int(WHOLE * space.total_bytes))
    return left(space, held) >= wanted


def choose(need: Need, spaces: Sequence[Space], held: Sequence[Held], n_cores: int) -> int | None:
    """The first device that `choose_all` gives; None where there are too few."""
    return next(iter(choose_all(need, spaces, held, n_cores)), None)


def choose_all(
    need: Need, spaces: Sequence[Space], held: Sequence[Held], n_cores: int
) -> tuple[int, ...]:
    """The indices of the devices with most left of those where a trial fits, as many as it needs;
    none where there are fewer.

    Args:
        n_cores: the worker's, for all its trials together.
    """
    if need.cores + sum(each.cores for each in held) > n_cores and held:
        return ()
    fitting = [space for space in spaces if fits(need, space, held)]
    if len(fitting) < need.n_devices:
        return ()
    roomiest = sorted(fitting, key=lambda space: (-left(space, held), space.index))
    return tuple(space.index for space in roomiest[: need.n_devices])


def how_many(
    need: Need, spaces: Sequence[Space], held: Sequence[Held], n_cores: int, most: int
) -> int:
    """How many such trials could begin now, one after the other; at most `most`."""
    placed = list(held)
    for count in range(most):
        indices = choose_all(need, spaces, placed, n_cores)
        if not indices:
            return count
        placed.append(hold(need, *(space for space in spaces if space.index in indices)))
    return most


def hold(need: Need, space: Space, *also: Space) -> Held:
    """What a trial that begins on devices is held to take of each; it takes nothing yet."""
    return Held(
        index=space.index,
        memory_bytes=max(expected_on(need, each) for each in (space, *also)),
        gpu=need.gpu,
        cores=need.cores,
        used_bytes=0,
        also=tuple(each.index for each in also),
    )
