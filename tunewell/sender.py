"""Sends what trials report, in a thread of its own: in batches, with a beat where nothing was said
for a while, and again for as long as the service is away.

Training code only appends to a queue, so a report takes microseconds whatever the network does.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeAlias

from . import calls
from .errors import ApiError, Retryable, StaleLease, TunewellError, Unreachable
from .exchange import Request

log = logging.getLogger("tunewell")

BATCH_S = 0.5
"""How long points wait for others to go with them."""
BEAT_EVERY_S = 15.0
"""After so long without a report a lease is renewed by a beat."""
MOST_POINTS = 100_000
"""Points of one trial that are kept while the service is away; the oldest go first."""
_POINTS_A_CALL = 1_000
_LONGEST_PAUSE_S = 5.0

Point: TypeAlias = Mapping[str, Any]


class Held:
    """A lease that this process holds: what waits to be sent under it, and what the service says.

    Args:
        trial_id, lease_id: what it is a lease of.
        last_seq: the highest number of a report under it, -1 for none.
        last_step: the highest step reported under it, 0 for none: reports up to it are known.
        to_step: the step up to which the trial may be trained now; None: to its end.

    Attributes:
        directive: "stop" or "pause" once the service has said so.
        reason: why, in words.
        problem: why nothing more can be sent: the lease is somebody else's, or a point was refused.
        wants_checkpoint: whether the service has asked for a checkpoint.
        is_sending: whether points of it are on their way now.
        is_ending: whether what waits goes with the end of the trial, and is not sent before.
    """

    def __init__(
        self, trial_id: str, lease_id: str, *, last_seq: int, last_step: int, to_step: int | None
    ) -> None:
        self.trial_id = trial_id
        self.lease_id = lease_id
        self.to_step = to_step
        self.known_step = last_step
        self.step = last_step
        self.directive: str | None = None
        self.reason = ""
        self.problem: ApiError | None = None
        self.wants_checkpoint = self.is_sending = self.is_ending = False
        self.beat_at = 0.0
        self.waiting: list[Future[None]] = []
        self._points: deque[Point] = deque(maxlen=MOST_POINTS)
        self._batch: tuple[int, list[Point]] | None = None
        self._seq = last_seq

    @property
    def must_end(self) -> bool:
        """Whether the training is to end now."""
        return self.directive is not None or self.problem is not None

    def put(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        """Takes a point in; one that was reported under this lease before is left out."""
        self.step = step
        if step <= self.known_step:
            return
        if len(self._points) == MOST_POINTS:
            log.warning("trial %s: %d points wait, the oldest goes", self.trial_id, MOST_POINTS)
        self._points.append({"step": step, "values": dict(values), "elapsed_s": elapsed_s})

    def next_batch(self) -> tuple[int, list[Point]] | None:
        """What is to be sent next, the same until `sent`; None when nothing waits."""
        if self._batch is None and self._points:
            self._seq += 1
            n = min(len(self._points), _POINTS_A_CALL)
            self._batch = (self._seq, [self._points.popleft() for _ in range(n)])
        return self._batch

    def sent(self) -> None:
        """The batch has arrived."""
        self._batch = None

    @property
    def has_unsent(self) -> bool:
        """Whether points wait."""
        return self._batch is not None or bool(self._points)

    @property
    def fits_one_call(self) -> bool:
        """Whether one report brings all that waits."""
        return not self._points or (self._batch is None and len(self._points) <= _POINTS_A_CALL)

    def take_unsent(self) -> list[Request]:
        """All that waits, as requests; nothing waits then."""
        made = []
        while (batch := self.next_batch()) is not None:
            made.append(calls.report(self.trial_id, self.lease_id, *batch))
            self.sent()
        return made


class Sender:
    """The thread that sends for all leases of a client; it runs while there are any.

    Args:
        send: sends a request once or more and gives its answer; raises `TunewellError`.
        batch_s, beat_every_s: see the constants; shorter ones are for tests.
    """

    def __init__(
        self,
        send: Callable[[Request], Any],
        *,
        batch_s: float = BATCH_S,
        beat_every_s: float = BEAT_EVERY_S,
    ) -> None:
        self._send = send
        self._batch_s = batch_s
        self._beat_every_s = beat_every_s
        self._changed = threading.Condition()
        self._held: dict[str, Held] = {}
        self._is_urgent = False
        self._thread: threading.Thread | None = None
        self._pause_s = 0.0

    def hold(self, held: Held) -> None:
        """Begins to send and beat for a lease."""
        held.beat_at = time.monotonic()
        with self._changed:
            self._held[held.lease_id] = held
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="tunewell", daemon=True)
                self._thread.start()

    def let_go(self, held: Held) -> None:
        """Ends that."""
        with self._changed:
            self._held.pop(held.lease_id, None)
            self._is_urgent = self._is_urgent or not self._held
            self._changed.notify_all()

    def keep_back(self, held: Held) -> bool:
        """Leaves what waits to whoever ends the trial: `Held.next_batch` is theirs from here on.
        False where it is on its way already, or too much for one call. Beats go on.
        """
        with self._changed:
            is_free = not held.is_sending and held.problem is None and not held.waiting
            held.is_ending = is_free and held.fits_one_call
            return held.is_ending

    def flush(self, held: Held) -> Future[None]:
        """Has what waits sent at once; done when all of it has arrived, or none of it ever will."""
        done: Future[None] = Future()
        with self._changed:
            held.is_ending = False
            if not held.has_unsent or held.problem is not None:
                done.set_result(None)
            else:
                held.waiting.append(done)
                self._is_urgent = True
                self._changed.notify_all()
        return done

    def _loop(self) -> None:
        while True:
            with self._changed:
                # Who waits for an answer has one try at once, also while the service is away.
                self._changed.wait_for(lambda: self._is_urgent, self._pause_s or self._batch_s)
                self._is_urgent = False
                if not self._held:
                    self._thread = None
                    return
                held = list(self._held.values())
            self._round(held)

    def _round(self, all_held: list[Held]) -> None:
        try:
            for held in all_held:
                if self._begins(held):
                    self._report(held)
            self._beat([held for held in all_held if self._is_due(held)])
        except (Unreachable, Retryable) as error:
            longest = min(_LONGEST_PAUSE_S, 2 * max(self._pause_s, self._batch_s))
            # Spreads the tries of many clients; nothing secret hangs on it.
            self._pause_s = random.uniform(longest / 2, longest)
            log.debug("nothing was sent: %s", error.summary)
            return
        self._pause_s = 0.0

    def _is_due(self, held: Held) -> bool:
        return held.problem is None and time.monotonic() - held.beat_at >= self._beat_every_s

    def _begins(self, held: Held) -> bool:
        with self._changed:
            held.is_sending = held.has_unsent and not held.is_ending
            return held.is_sending

    def _report(self, held: Held) -> None:
        try:
            self._send_points(held)
        finally:
            held.is_sending = False
        self._settle(held)

    def _send_points(self, held: Held) -> None:
        while held.problem is None and (batch := held.next_batch()) is not None:
            seq, points = batch
            try:
                answer = self._send(
                    calls.report(held.trial_id, held.lease_id, seq, points, retry_s=0)
                )
            except (Unreachable, Retryable):
                raise
            except ApiError as error:
                held.problem = error
            else:
                held.sent()
                held.beat_at = time.monotonic()
                # The budget before the directive: who waits looks at both.
                held.to_step = answer["budget"]["to_step"]
                self._obey(held, str(answer["directive"]))

    def _settle(self, held: Held) -> None:
        with self._changed:
            if held.has_unsent and held.problem is None:
                return
            waiting, held.waiting = held.waiting, []
        for each in waiting:
            each.set_result(None)

    def _beat(self, due: list[Held]) -> None:
        if not due:
            return
        beats = [{"lease_id": h.lease_id, **({"step": h.step} if h.step else {})} for h in due]
        answers = self._send(calls.heartbeat(beats, None))["leases"]
        for held, answer in zip(due, answers, strict=True):
            held.beat_at = time.monotonic()
            self._obey(held, str(answer["directive"]))

    def _obey(self, held: Held, directive: str) -> None:
        if directive == "abort":
            held.problem = _stale(held)
        elif directive == "checkpoint":
            held.wants_checkpoint = True
        elif directive in ("stop", "pause") and held.directive != directive:
            held.reason = self._reason_of(held, directive)
            held.directive = directive

    def _reason_of(self, held: Held, directive: str) -> str:
        try:
            trial = self._send(replace(calls.get_trial(held.trial_id), retry_s=0))
        except TunewellError as error:
            log.debug("why trial %s is to %s: %s", held.trial_id, directive, error.summary)
            return directive
        return str(trial.get("directive_reason") or directive)


def _stale(held: Held) -> ApiError:
    detail = f"lease {held.lease_id} has ended: the trial is somebody else's now, or was cancelled"
    return StaleLease(409, {"code": "stale-lease", "detail": detail, "action": "abort"})
