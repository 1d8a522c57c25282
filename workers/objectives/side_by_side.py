"""Works done in steps, on as many threads at once as there are cores for them at the moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

Work = Iterator[None]
"""Does its next step whenever it is advanced, and is over when it is exhausted."""


@dataclass(slots=True, eq=False)
class _Counted:
    """A work, and how many of its steps are done."""

    work: Work
    n_steps: int = 0

    def advance(self) -> bool:
        """Does one step; False: there was none left."""
        for _ in self.work:
            self.n_steps += 1
            return True
        return False


def _n_steps(of: _Counted) -> int:
    return of.n_steps


def finish(works: Iterable[Work], n_cores: Callable[[], int]) -> None:
    """Does all works to their end.

    No work is advanced by two threads at once. With one core no thread is started, and one work is
    done after the other; with several the one that is furthest behind goes first, so that all come
    to their ends together.

    Args:
        works: those to do, which share nothing that is not safe to share among threads.
        n_cores: how many steps may be done at once now; asked again before each step, so that a
            core is given up after one step at most.

    Raises:
        Exception: what a work has raised; the others are left where they are.
    """
    waiting = [_Counted(work) for work in works]
    running: dict[Future[bool], _Counted] = {}
    with ThreadPoolExecutor(max(1, len(waiting)), thread_name_prefix="step") as threads:
        while waiting or running:
            n_now = max(1, n_cores())
            if n_now == 1 and not running:
                ahead = max(waiting, key=_n_steps)
                if not ahead.advance():
                    waiting.remove(ahead)
                continue
            while waiting and len(running) < n_now:
                behind = min(waiting, key=_n_steps)
                waiting.remove(behind)
                running[threads.submit(behind.advance)] = behind
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                advanced = running.pop(each)
                if each.result():
                    waiting.append(advanced)
