"""A user's objective in a process that forks trials off: imported once, if a fork is then as good
as a process that imports it anew.

It is not where threads run, which a fork does not take along, or where files or connections are
open, which all trials would read from and write to: then each trial has an interpreter of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewell.failures import of_exception

from .loading import prepare_once
from .user_objective import load

SHOWN_BYTES = 32 * 1024
"""How much of what an import prints is shown with each trial: it fits in a pipe that nobody reads
yet."""
SEED_BITS = 64
"""A seed of more bits comes from the system, not from the user."""


_INSTALLED = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import has left.

    Attributes:
        obstacle: why no trial is to be forked off; None: nothing speaks against it.
        printed: what it printed.
        files: the modules of the user's folder, each with its time and size.
        unseeded: generators of random numbers that would draw the same in each forked process.
    """

    obstacle: str | None
    printed: bytes
    files: Mapping[str, tuple[int, int]]
    unseeded: Sequence[Any]


def imported(target: str, folder: str) -> Imported:
    """Imports an objective and prepares it; from now on what this process prints is not shown."""
    output_fd = os.memfd_create("printed")
    for standard in (1, 2):
        os.dup2(output_fd, standard)
    before = _open()
    try:
        found = load(target, folder)
        if found.prepare is not None:
            prepare_once(found.prepare)
        obstacle = _obstacle(before)
    except BaseException as error:
        # To be told by a trial, which meets the same.
        obstacle = of_exception(error).message
    sys.stdout.flush()
    sys.stderr.flush()
    return Imported(
        obstacle=obstacle,
        printed=os.pread(output_fd, SHOWN_BYTES, 0),
        files=_files_below(folder),
        unseeded=_unseeded(),
    )


def _open() -> set[str]:
    """What this process has open, as the system names it; not its devices."""
    names = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder that is being read
            names.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {name for name in names if not name.startswith(("/dev/", "/proc/"))}


def _obstacle(was_open: set[str]) -> str | None:
    # OpenBLAS ends its threads when its process forks, and makes them anew when they are needed.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    n_threads = len(os.listdir("/proc/self/task"))
    if n_threads > 1:
        return f"{n_threads - 1} more threads run once it is imported"
    if opened := sorted(_open() - was_open):
        return f"{opened[0]} is open once it is imported"
    return None


def _unseeded() -> list[Any]:
    """numpy's generators of random numbers that nobody has given a seed, its own one among them."""
    random = sys.modules.get("numpy.random")
    if random is None:
        return []
    found = [each for each in gc.get_objects() if isinstance(each, random.BitGenerator)]
    return [each for each in found if _is_of_the_system(getattr(each, "_seed_seq", None))]


def _is_of_the_system(sequence: Any) -> bool:
    # One that was given a number later has no sequence any more.
    entropy = getattr(sequence, "entropy", 0)
    return isinstance(entropy, int) and entropy.bit_length() > SEED_BITS


def reseed(generators: Sequence[Any]) -> None:
    """Has a forked process draw numbers of its own where nobody has set a seed. Python's `random`
    does so by itself.
    """
    for each in generators:
        each.state = type(each)().state


def end_as_an_interpreter() -> None:
    """Waits for threads, and runs what was registered for the exit. What an interpreter does then,
    taking all modules apart, takes a third of a second where many are imported, and nobody has it
    promised.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # ends idle executors too
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


def _files_below(folder: str) -> dict[str, tuple[int, int]]:
    """The modules of a folder; not what is installed in one below it."""
    root = Path(folder).resolve()
    paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    below = {path for path in paths if path and Path(path).resolve().is_relative_to(root)}
    return signed(path for path in below if not _INSTALLED.intersection(Path(path).parts))


def signed(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Files with their times and sizes, without those that are not there."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            found[path] = stat.st_mtime_ns, stat.st_size
    return found
