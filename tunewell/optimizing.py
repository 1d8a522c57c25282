"""`Study.optimize`: a function evaluated until a study has ended, here or in processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, TypeAlias

from .asked import sigterm_raises
from .errors import TunewellError

if TYPE_CHECKING:
    from .handles import AsyncStudy, Study

Show: TypeAlias = Callable[[], None] | None
"""Shows how far the study is, as it was last read."""
_LOOK_S = 1.0
"""How often the bar is drawn anew while processes evaluate."""


def optimize(
    study: Study, fn: Callable[[Any], Any], n_workers: int, on_error: str, progress: bool | None
) -> None:
    """See `Study.optimize`."""
    _check(n_workers, on_error)
    with _bar(study, progress) as show:
        if n_workers == 1:
            _evaluate(study, fn, on_error, show)
        else:
            _in_processes(study, fn, n_workers, on_error, show)
        study.refresh()
        if show is not None:
            show()


async def optimize_async(
    study: AsyncStudy,
    fn: Callable[[Any], Coroutine[Any, Any, Any]],
    n_workers: int,
    on_error: str,
    progress: bool | None,
) -> None:
    """See `AsyncStudy.optimize`."""
    _check(n_workers, on_error)

    async def evaluate(show: Show) -> None:
        async for trial in study.going_on(on_error):
            try:
                async with trial:
                    trial.returned(await fn(trial))
                if show is not None:
                    await study.refresh()
                    show()
            except BaseException:
                await study._client.run(trial.declining())
                raise

    with _bar(study, progress) as show:
        async with asyncio.TaskGroup() as group:
            for _ in range(n_workers):
                group.create_task(evaluate(show))


def _check(n_workers: int, on_error: str) -> None:
    if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1:
        raise ValueError(f"n_workers is an integer from 1 on, not {n_workers!r}")
    if on_error not in ("raise", "continue"):
        raise ValueError(f'on_error is "raise" or "continue", not {on_error!r}')


def _evaluate(study: Study, fn: Callable[[Any], Any], on_error: str, show: Show) -> None:
    for trial in study.going_on(on_error):
        try:
            with trial:
                trial.returned(fn(trial))
            if show is not None:
                study.refresh()
                show()
        except BaseException:
            study._client.run(trial.declining())
            raise


def _in_processes(
    study: Study,
    fn: Callable[[Any], Any],
    n_workers: int,
    on_error: str,
    show: Show,
) -> None:
    context = _context()
    client = study._client
    given = (client.url, client.token, client.timeout_s, client.retry_s, study.id, fn, on_error)
    processes: list[BaseProcess] = []
    with sigterm_raises():
        try:
            for _ in range(n_workers):
                # Not a daemon's: what is evaluated may have processes of its own.
                process = context.Process(target=_child, args=(os.getpid(), *given))  # type: ignore[attr-defined]
                process.start()
                processes.append(process)
            _attend(study, processes, show)
        finally:
            for process in processes:
                process.terminate()  # SIGTERM: an open trial is given back
            for process in processes:
                process.join()


def _attend(study: Study, processes: list[BaseProcess], show: Show) -> None:
    """Waits for the processes; the first that fails ends the others."""
    running = {process.sentinel: process for process in processes}
    while running:
        ended = wait(list(running), timeout=_LOOK_S)
        for process in [running.pop(sentinel) for sentinel in list(running) if sentinel in ended]:
            process.join()
            if process.exitcode:
                raise TunewellError(
                    f"a process of optimize ended with status {process.exitcode}; its traceback "
                    "is above, and with the trial",
                    next_step=f"tunewell trial list {study.id} --state failed",
                )
        if show is not None:
            study.refresh()
            show()


def _context() -> BaseContext:
    """How processes are started: by a fork, so that any function will do, except where a fork does
    not get on with what is loaded.
    """
    torch = sys.modules.get("torch")
    has_gpu = torch is not None and torch.cuda.is_initialized()
    may_fork = sys.platform == "linux" and not has_gpu
    return multiprocessing.get_context("fork" if may_fork else "spawn")


def _child(
    parent: int,
    url: str,
    token: str,
    timeout_s: float,
    retry_s: float,
    study_id: str,
    fn: Callable[[Any], Any],
    on_error: str,
) -> None:
    """One process: a client of its own, and trials until the study has ended or the parent has."""
    from .client import Client

    with Client(url, token, timeout_s=timeout_s, retry_s=retry_s) as client:
        for trial in client.studies.get(study_id).going_on(on_error):
            with trial:
                trial.returned(fn(trial))
                # An orphan takes no trial only to give it back: that counts as a loss of it.
                trial.wants_next = trial.wants_next and os.getppid() == parent
            if os.getppid() != parent:
                client.run(trial.declining())
                return


@contextmanager
def _bar(study: Any, progress: bool | None) -> Iterator[Show]:
    """A progress bar on standard error, or lines where that is no terminal; a function that shows
    how far the study is, None where nothing is shown.
    """
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield None
        return
    from .reporters import Bar, standing
    from .terminal import say

    if sys.stderr.isatty():
        with Bar(study._client.url) as bar:
            bar.progress(study.info)
            yield lambda: bar.progress(study.info)
        return
    said = ""

    def tell() -> None:
        nonlocal said
        if said != (said := standing(study.info)):
            say(said)

    yield tell
