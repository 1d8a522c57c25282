"""A trial that a script evaluates itself: the same `Trial` that a worker's code gets, as the target
of `with` or `async with`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from . import calls, failures, identity
from .ending import INTERRUPTED_S, Evaluated
from .errors import ApiError, NotFound, StaleLease, TunewellError, Unreachable
from .exchange import Await, Call, Request
from .leased import AsyncRunner, LeaseChannel, Runner, Session
from .models import Study, Suggested, SuggestedTrial, read
from .objective import Infeasible, Trial, final_values
from .sender import Held, Sender

log = logging.getLogger("tunewell")


class AskedBase(Trial):
    """What both kinds of asked trials have; see `Trial` and the attributes here.

    Attributes:
        attempt: which attempt at the trial this is, from 1.
        checkpoint: the folder with the checkpoint to go on from, None to begin anew.
        has_ended: whether the service has been told how it ended.
        slot: what it is evaluated under.
        wants_next: whether its end is to bring back the trial that is evaluated after it.
        then: what came of that; None where nothing was asked for.
    """

    def __init__(
        self,
        given: SuggestedTrial,
        study: Study,
        session: Session,
        folder: Path,
        slot: identity.Slot,
        *,
        is_resumed: bool,
        on_error: str,
    ) -> None:
        held = Held(
            given.id,
            given.lease_id,
            last_seq=given.last_seq,
            last_step=given.last_step or 0,
            to_step=given.budget.to_step,
        )
        self._lease = LeaseChannel(held, session)
        options = (study.definition.get("objective") or {}).get("options") or {}
        super().__init__(
            id=given.id,
            number=given.number,
            params=given.params,
            options=options,
            channel=self._lease,
            device=_device(),
            checkpoint_dir=folder,
            last_step=given.checkpoint.step if is_resumed and given.checkpoint else 0,
        )
        self.attempt = given.attempt
        self.checkpoint = folder if is_resumed else None
        self.has_ended = False
        self.wants_next = False
        self.then: Suggested | None = None
        self.slot = slot
        self._declared = {m["name"]: str(m["direction"]) for m in study.definition["metrics"]}
        self._study_name = study.name
        self._on_error = on_error
        self._returned: dict[str, float] | None = None
        slot.take()
        # One that is forgotten unended is not kept alive: its lease runs out.
        self._give_up = weakref.finalize(self, _let_go, session.sender, held, slot, folder)
        session.sender.hold(held)

    def __reduce__(self) -> NoReturn:
        """Its lease is kept alive by threads of this process, so it stays here.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"trial {self.number} cannot be sent to another process: send its params and report "
            "what comes back, or have each process ask for its trials"
        )

    def __repr__(self) -> str:
        return f"<Trial {self.number} of {self._study_name}: {self.params}>"

    def returned(self, result: Any) -> None:
        """Takes what a function of the trial returned for its final values: a number, a dictionary,
        or None for those of the last report.

        Raises:
            ValueError: it is one number, and the study has several metrics.
            TypeError: a value is no number.
        """
        if result is not None:
            self._returned = final_values(self, result, self._declared)

    def _see_that_it_is_open(self) -> None:
        if self.has_ended:
            raise TunewellError(
                f"trial {self.number} has ended: nothing more is taken for it",
                next_step="ask for another one: study.ask()",
            )

    def _put(self, step: int, metrics: Mapping[str, float]) -> None:
        self._see_that_it_is_open()
        step, values = self._checked(step, metrics)
        self._lease.put(step, values, self._lease.elapsed_s())
        self.last_step, self.last_values = step, values

    def releasing(self, reason: str) -> Call[None]:
        """Gives the trial back without a result."""
        self._end()
        yield calls.release(self._lease.held.lease_id, reason)

    def _end(self) -> None:
        self.has_ended = True
        self._give_up()

    def leaving(self, error: BaseException | None) -> Call[bool]:
        """What leaving the block brings; whether its exception goes no further.

        Raises:
            Unreachable: the service does not take the result; it is kept on disk.
            ApiError: it refused the result.
        """
        held, session = self._lease.held, self._lease.session
        is_told_to_end = error is not None and not isinstance(error, Exception)
        patience_s = INTERRUPTED_S if is_told_to_end else session.retry_s
        try:
            if not (yield from self._ending_at_once(error, patience_s)):
                is_sent = yield Await(session.sender.flush(held), patience_s)
                if not self._is_lost(held.problem):
                    yield from self._telling(self._ending(error), is_sent, patience_s)
        except Unreachable:
            if not is_told_to_end:
                raise
            log.warning("trial %d could not be given back; its lease will run out", self.number)
        finally:
            self._end()
        if isinstance(error, (Infeasible, StaleLease)):
            return True
        if self._on_error != "continue" or not isinstance(error, Exception):
            return False
        log.warning("trial %d failed: %s", self.number, failures.of_exception(error).message)
        return True

    def _is_lost(self, problem: ApiError | None) -> bool:
        if not isinstance(problem, (StaleLease, NotFound)):
            return False
        log.warning("trial %d is somebody else's now: %s", self.number, problem.detail)
        return True

    def _ending_at_once(self, error: BaseException | None, patience_s: float) -> Call[bool]:
        """Ends the trial by a call that brings its last measurements along; False where they have
        to go by themselves: they are on their way, the trial is given back, or the service will
        not have it all together and is to say of each why.
        """
        held, ending = self._lease.held, self._ending(error)
        is_end = ending.body is not None and "lease_id" in ending.body
        if not is_end or not self._lease.session.sender.keep_back(held):
            return False
        then = self._ask_for_next() if self._goes_on(error) else None
        whole = calls.bringing(ending, held.next_batch(), then)
        try:
            yield from self._telling(ending, True, patience_s, whole)
        except ApiError:
            if whole is ending:
                raise
            return False
        return True

    def _goes_on(self, error: BaseException | None) -> bool:
        """Whether the next trial is wanted now: also after a failure, where that ends no loop."""
        is_passed_over = self._on_error == "continue" or isinstance(error, (Infeasible, StaleLease))
        is_over = error is not None and not (is_passed_over and isinstance(error, Exception))
        return self.wants_next and not is_over and self.slot.n_open == 1

    def _ask_for_next(self) -> dict[str, Any]:
        return {"client_id": self.slot.client_id, "lease_s": identity.LEASE_S}

    def _note_next(self, then: Suggested) -> None:
        self.then = then
        for _ in then.trials:
            self.slot.take()  # nobody else may ask under it meanwhile: it would get the same trial

    def taking_next(self) -> Iterator[SuggestedTrial]:
        """The trials that came with the end of this one, each once; its slot is theirs."""
        given, self.then = self.then, None
        for each in given.trials if given else ():
            yield each
            self.slot.leave()

    def declining(self) -> Call[None]:
        """Gives back the next trial, which nobody will evaluate."""
        for each in self.taking_next():
            yield calls.release(each.lease_id, "interrupted", retry_s=INTERRUPTED_S)

    def _telling(
        self, ending: Request, is_sent: bool, patience_s: float, whole: Request | None = None
    ) -> Call[None]:
        """Tells the service how the trial ended, or writes it down.

        Args:
            whole: the same with all that goes along.
        """
        held = self._lease.held
        try:
            if not is_sent:
                raise Unreachable(self._lease.session.url, "it takes no reports")
            answer = yield whole or ending
            if answer.get("next") is not None:
                self._note_next(read(Suggested, answer["next"]))
        except (StaleLease, NotFound) as error:
            self._is_lost(error)
        except Unreachable as error:
            if patience_s == INTERRUPTED_S:
                raise
            path = identity.keep(
                self._lease.session.url, held.lease_id, [*held.take_unsent(), ending]
            )
            raise Unreachable(error.url, error.reason, spool=str(path)) from error

    def _ending(self, error: BaseException | None) -> Request:
        """How the trial ends, as a request."""
        evaluated = Evaluated(
            number=self.number,
            held=self._lease.held,
            has_seen_end=self._lease.has_seen_end,
            values=self.last_values if self._returned is None else self._returned,
            last_step=self.last_step,
            declared=self._declared,
            data=self.data,
        )
        return evaluated.ending(error)


class AskedTrial(AskedBase):
    """A trial of `Study.ask`, to be evaluated in a `with` block.

    Leaving the block ends the trial: with its last values; as `stopped` where `should_stop` was
    seen true; as failed with the traceback of an exception; given back where the script is told to
    end (Ctrl-C, SIGTERM).
    """

    def __init__(self, *args: Any, runner: Runner, **given: Any) -> None:
        super().__init__(*args, **given)
        self._runner = runner
        self._guard = contextlib.ExitStack()

    def __enter__(self) -> AskedTrial:
        self._see_that_it_is_open()
        self._guard.enter_context(sigterm_raises())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> bool:
        with self._guard:
            return bool(self._runner.run(self.leaving(error)))

    def report(self, step: int, **metrics: float) -> None:
        """Reports metrics after `step` units of resource; see `Trial.report`. Returns at once, but
        for the end of the trial's budget, where it waits for what comes next.

        Raises:
            ValueError, TypeError: as `Trial.report`.
            StaleLease: the trial is somebody else's now.
            TunewellError: its block has been left.
        """
        self._put(step, metrics)
        self._runner.run(self._lease.reaching(step))

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Saves the state after the last report; see `Trial.save`. Returns when the service has it.

        Raises:
            ValueError, FileNotFoundError: as `Trial.save`.
            ApiError, Unreachable: the service does not take it.
        """
        self._runner.run(self._lease.saving(*self._saved(path), self.last_values))


class AsyncAskedTrial(AskedBase):
    """A trial of `AsyncStudy.ask`, to be evaluated in an `async with` block; see `AskedTrial`."""

    def __init__(self, *args: Any, runner: AsyncRunner, **given: Any) -> None:
        super().__init__(*args, **given)
        self._runner = runner

    async def __aenter__(self) -> AsyncAskedTrial:
        self._see_that_it_is_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> bool:
        return bool(await self._runner.run(self.leaving(error)))

    async def report(self, step: int, **metrics: float) -> None:  # type: ignore[override]
        """As `AskedTrial.report`."""
        self._put(step, metrics)
        await self._runner.run(self._lease.reaching(step))

    async def save(  # type: ignore[override]
        self, path: str | os.PathLike[str] | None = None
    ) -> None:
        """As `AskedTrial.save`."""
        await self._runner.run(self._lease.saving(*self._saved(path), self.last_values))


def _let_go(sender: Sender, held: Held, slot: identity.Slot, folder: Path) -> None:
    sender.let_go(held)
    slot.leave()
    shutil.rmtree(folder, ignore_errors=True)


def _device() -> str:
    """The device for a script's own training: the first GPU where torch is loaded and sees one."""
    torch = sys.modules.get("torch")
    return "cuda:0" if torch is not None and torch.cuda.is_available() else "cpu"


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """In the main thread, SIGTERM ends the block as Ctrl-C would, unless somebody else handles
    it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
