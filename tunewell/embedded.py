"""`tunewell.local`: a service of a script's own, in a folder of its own.

The first process that comes starts it; others that come while it runs attach to it. It ends with
the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from .client import Client, connect
from .errors import NotInstalled
from .private import Local

_NEEDED = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "numpy", "scipy")
"""Of the extra `server`: what a service does not start without."""

_WHERE = "service.json"
"""Where a running service says its address and token."""


@contextlib.contextmanager
def local(folder: str | os.PathLike[str] = ".tunewell", *, workers: int = 0) -> Iterator[Client]:
    """A client of a private service, for the time of the block.

    ```python
    with tw.local() as client:
        study = client.studies.get_or_create(...)
    ```

    Args:
        folder: where its database, its token and its logs are kept; made when it is not there.
            What studies are in it is there again the next time.
        workers: slots of a worker that runs beside it, for studies with an objective; 0: none.

    Raises:
        NotInstalled: the service's part is not: the extra `server`.
        LocalFailed: it does not start; the text says what it said.
    """
    _see_that_it_is_installed()
    kept = Path(folder).resolve()
    kept.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        url, token = _started_or_found(kept, workers, stack)
        yield stack.enter_context(connect(url, token))


def _see_that_it_is_installed() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise NotInstalled(
            f"a local service needs {missing[0]}, which is not installed",
            next_step="pip install 'tunewell[server]'",
        )


def _started_or_found(folder: Path, workers: int, stack: contextlib.ExitStack) -> tuple[str, str]:
    """Address and token of the folder's service.

    Three locks: `gate` is held by whoever looks or starts, so one after another; `owner` by the
    process that the service belongs to; `serving` by that process and, inherited, by the service
    itself, so that a new owner waits until the service of a killed one has ended.
    """
    with _locked(folder / "gate"):
        owner = (folder / "owner.lock").open("a")
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(FileNotFoundError):
                found = json.loads((folder / _WHERE).read_text(encoding="utf-8"))
                owner.close()
                return found["url"], found["token"]
            # It is ending.
            fcntl.flock(owner, fcntl.LOCK_EX)
        stack.callback(owner.close)
        serving = stack.enter_context((folder / "serving.lock").open("a"))
        fcntl.flock(serving, fcntl.LOCK_EX)
        return _start(folder, workers, serving, stack)


def _start(
    folder: Path, workers: int, serving: IO[str], stack: contextlib.ExitStack
) -> tuple[str, str]:
    service = stack.enter_context(Local(folder, pass_fds=(serving.fileno(),)))
    where = folder / _WHERE
    token = _token(folder, service)
    service.token = token
    _write_privately(where, json.dumps({"url": service.url, "token": token}))
    stack.callback(where.unlink, missing_ok=True)
    if workers:
        service.start_worker(workers)
    return service.url, token


def _token(folder: Path, service: Local) -> str:
    """The service's own token: made at its first start, from which on it takes no call without."""
    path = folder / "token"
    if path.exists():
        return path.read_text(encoding="utf-8").strip()
    with service.client() as client:
        made = client.create_token("local", "admin")
    secret = str(made["secret"])
    _write_privately(path, secret)
    return secret


def _write_privately(path: Path, text: str) -> None:
    """Writes a file that nobody else may read, all of it or nothing."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    part.rename(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
