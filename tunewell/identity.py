"""Who a script is, from one run to the next, and what it could not send: kept on disk.

A script that was killed and is started again has the same id, so the service gives it the trials
that it had open. Two runs of one script at the same time have different ones: each holds a lock on
its slot, which ends with its process however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import socket
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .errors import ApiError, Retryable
from .exchange import Call, Request, sendable
from .state_folder import state_folder

log = logging.getLogger("tunewell")

LEASE_S = 60.0
"""How long a script's leases last unless renewed: it beats, so a killed one is soon noticed."""
_MOST_SLOTS = 10_000


class Slot:
    """What one trial at a time, or several that were asked for together, is evaluated under.

    Attributes:
        client_id: host, script and slot, the same in the script's next run.
        n_open: how many trials are open under it, one more while some are asked for.
    """

    def __init__(self, client_id: str, fd: int) -> None:
        self.client_id = client_id
        self.fd = fd
        self.n_open = 0

    def take(self) -> None:
        """One more is open."""
        with _lock:
            self.n_open += 1

    def leave(self) -> None:
        """One has ended."""
        with _lock:
            self.n_open -= 1


_slots: dict[str, list[Slot]] = {}
"""Address of a service -> this process's slots there, each with a file that it holds a lock on."""
_lock = threading.Lock()


@contextlib.contextmanager
def free_slot(url: str) -> Iterator[Slot]:
    """A slot of this process at a service under which no trial is open, the lowest there is.

    Raises:
        OSError: the state folder cannot be written.
    """
    with _lock:
        mine = _slots.setdefault(url, [])
        free = next((slot for slot in mine if slot.n_open == 0), None)
        if free is None:
            free = _take_slot(url)
            mine.append(free)
        free.n_open += 1
    try:
        yield free
    finally:
        free.leave()


def _take_slot(url: str) -> Slot:
    script = _script()
    key = hashlib.sha256(f"{script}\0{url}".encode()).hexdigest()[:16]
    folder = state_folder() / "clients" / key
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(_MOST_SLOTS):
        fd = os.open(folder / f"slot-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        known = os.read(fd, 100).decode().strip()
        if not known:
            known = uuid.uuid4().hex[:12]
            os.write(fd, known.encode())
        name = re.sub(r"[^\w.-]+", "-", Path(script).name)[:60]
        return Slot(f"{socket.gethostname()[:60]}/{name}/{number}/{known}", fd)
    raise OSError(f"all of {_MOST_SLOTS} slots in {folder} are taken")


def _script() -> str:
    found = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(found) if found else os.path.join(os.getcwd(), "interactive")


def _forget() -> None:
    """In the child of a fork: the slots are the parent's."""
    global _lock
    _lock = threading.Lock()
    while _slots:
        for slot in _slots.popitem()[1]:
            # Not unlocked, only closed: the lock is the parent's as long as it has the file.
            os.close(slot.fd)


os.register_at_fork(after_in_child=_forget)


def keep(url: str, lease_id: str, requests: Sequence[Request]) -> Path:
    """Writes down what the service could not be told; the path of the file.

    Raises:
        OSError: the state folder cannot be written.
    """
    folder = _kept_folder(url)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{lease_id}.jsonl"
    lines = [
        json.dumps({"method": r.method, "path": r.path, "body": sendable(r.body)}) for r in requests
    ]
    part = path.with_suffix(".part")
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    part.rename(path)
    return path


def sending_kept(url: str) -> Call[None]:
    """Sends what earlier runs could not; what the service does not want any more is dropped.

    Raises:
        Unreachable, Retryable: it cannot be sent now either; it stays.
    """
    for path in sorted(_kept_folder(url).glob("*.jsonl")):
        for request in _requests(path):
            try:
                yield request
            except Retryable:
                raise
            except ApiError as error:
                log.warning("%s of an earlier run is dropped: %s", path.stem, error.summary)
                break
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _requests(path: Path) -> Iterator[Request]:
    with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
        for line in file:
            yield replace(Request("POST", ""), **json.loads(line))


def _kept_folder(url: str) -> Path:
    return state_folder() / "unsent" / hashlib.sha256(url.encode()).hexdigest()[:16]
