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
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from .errors import ApiError, Retryable
from .exchange import Call, Request, sendable
from .state_folder import state_folder

log = logging.getLogger("tunewell")

_MOST_SLOTS = 10_000

_slots: dict[str, tuple[str, IO[str]]] = {}
"""Address of a service -> our id there, and the file that is locked for it."""


def client_id(url: str) -> str:
    """This process's id at a service: host, script and slot, the same in the script's next run.

    Raises:
        OSError: the state folder cannot be written.
    """
    if url not in _slots:
        _slots[url] = _take_slot(url)
    return _slots[url][0]


def _take_slot(url: str) -> tuple[str, IO[str]]:
    script = _script()
    key = hashlib.sha256(f"{script}\0{url}".encode()).hexdigest()[:16]
    folder = state_folder() / "clients" / key
    folder.mkdir(parents=True, exist_ok=True)
    for slot in range(_MOST_SLOTS):
        file = (folder / f"slot-{slot}").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        file.seek(0)
        known = file.read().strip()
        if not known:
            known = uuid.uuid4().hex[:12]
            file.write(known)
            file.flush()
        name = re.sub(r"[^\w.-]+", "-", Path(script).name)[:60]
        return f"{socket.gethostname()[:60]}/{name}/{slot}/{known}", file
    raise OSError(f"all of {_MOST_SLOTS} slots in {folder} are taken")


def _script() -> str:
    found = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(found) if found else os.path.join(os.getcwd(), "interactive")


def _forget() -> None:
    """In the child of a fork: the slots are the parent's."""
    while _slots:
        _, (_, file) = _slots.popitem()
        # Not unlocked, only closed: the lock is the parent's as long as it has the file.
        file.close()


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
