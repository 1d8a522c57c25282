"""Downloads MNIST through torchvision into the data folder, when that is allowed and somebody
answers.

`TUNEWELL_DOWNLOAD=0` forbids it. Without an answer within ten seconds it gives up, and does not ask
again for an hour, so that a machine without a network waits once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import data

ANSWER_S = 10.0
"""How long to wait for a sign of the server."""
FORGET_S = 3600.0
"""How long a failed attempt is remembered."""


def is_allowed() -> bool:
    """Whether data sets may be downloaded at all."""
    return os.environ.get("TUNEWELL_DOWNLOAD", "1").lower() not in {"0", "false", "no", "off"}


def fetch_mnist() -> bool:
    """Downloads the full MNIST; False when it is forbidden, not reachable or cannot be stored."""
    if not is_allowed():
        return False
    with _one_at_a_time() as folder:
        if folder is None or _failed_lately(folder):
            return False
        if data.locate(data.MNIST) is not None:
            return True
        if _download():
            return True
        with contextlib.suppress(OSError):
            (folder / "download-failed").touch()
        return False


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[Path | None]:
    """The cache folder, locked against other processes' downloads; None when it cannot be made."""
    folder = data.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "download.lock").open("w")
    except OSError:
        yield None
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _failed_lately(folder: Path) -> bool:
    try:
        return time.time() - (folder / "download-failed").stat().st_mtime < FORGET_S
    except OSError:
        return False


def _download() -> bool:
    from torchvision.datasets import MNIST

    mirrors = _answering(MNIST.mirrors)
    if not mirrors:
        return False
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWER_S)
    try:
        MNIST.mirrors = mirrors
        MNIST(str(data.data_folder()), download=True)
        return data.verify(data.MNIST)
    except (OSError, RuntimeError):
        return False
    finally:
        socket.setdefaulttimeout(before)


def _answering(mirrors: Sequence[str]) -> list[str]:
    """Those of the servers that answer in time; name look-ups have no limit of their own."""
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for mirror in mirrors:
        threading.Thread(target=_ask, args=(mirror, answers), daemon=True).start()
    deadline = time.monotonic() + ANSWER_S
    found = []
    for _ in mirrors:
        try:
            found.append(answers.get(timeout=max(0.0, deadline - time.monotonic())))
        except queue.Empty:
            break
    return [mirror for mirror in mirrors if mirror in found]


def _ask(mirror: str, answers: queue.SimpleQueue[str | None]) -> None:
    request = urllib.request.Request(f"{mirror}t10k-labels-idx1-ubyte.gz", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S):
            answers.put(mirror)
    except (OSError, ValueError):
        answers.put(None)
