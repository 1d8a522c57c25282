"""Works done in steps, on as many threads at once as there are cores for them at the moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

Work = Iterator[None]
"""Does its next step whenever it is advanced, and is over when it is exhausted."""


def finish(works: Iterable[Work], n_cores: Callable[[], int]) -> None:
    """Does all works to their end.

    No work is advanced by two threads at once. With one core no thread is started, and one work is
    done after the other; with several they take turns, so that all come to their ends together.

    Args:
        works: those to do, which share nothing that is not safe to share among threads.
        n_cores: how many steps may be done at once now; asked again before each step, so that a
            core is given up after one step at most.

    Raises:
        Exception: what a work has raised; the others are left where they are.
    """
    waiting = deque(works)
    running: dict[Future[bool], Work] = {}
    with ThreadPoolExecutor(max(1, len(waiting)), thread_name_prefix="step") as threads:
        while waiting or running:
            n_now = max(1, n_cores())
            if n_now == 1 and not running:
                if not _advance(waiting[0]):
                    waiting.popleft()
                continue
            while waiting and len(running) < n_now:
                work = waiting.popleft()
                running[threads.submit(_advance, work)] = work
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                work = running.pop(each)
                if each.result():
                    waiting.append(work)


def _advance(work: Work) -> bool:
    """Does one step; False: there was none left."""
    for _ in work:
        return True
    return False
