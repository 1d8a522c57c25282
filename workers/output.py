"""What a trial's process prints: bounded, sent as it comes, kept as a file when it is over.

The first MiB is sent while it grows; of what comes after it only the last four, once the trial is
over. All counts are of UTF-8 bytes; what is no UTF-8 is replaced.
"""

from __future__ import annotations

import codecs
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

HEAD_BYTES = 1024 * 1024
"""So much of a trial's output is kept from its beginning."""
TAIL_BYTES = 4 * 1024 * 1024
"""So much from its end."""
CHUNK_BYTES = 64 * 1024
"""What is sent at once."""
EVERY_S, LONGEST_S, SHARE = 2.0, 30.0, 0.02
"""How long a piece may wait for more: at least, at most, and as a share of the trial's age. What
prints a line a second for an hour is sent in some hundred pieces, not in thousands.
"""
SHOWN_BYTES = 64 * 1024
"""How much of the end stands in for a traceback."""
KEEP_FILES, KEEP_BYTES = 200, 256 * 1024 * 1024
"""How many trials' outputs are kept, and how large they may be together."""

Emit = Callable[[int, str], None]
"""Takes a piece: how many bytes were printed before it, and its text."""


def _drop(_start: int, _text: str) -> None:
    """Sends nothing."""


class Output:
    """The output of one process. Added to by one thread, read by any.

    Args:
        emit: takes the pieces that are to be sent.
        now: a clock that never goes back, in seconds.
    """

    def __init__(self, emit: Emit = _drop, now: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._now = now
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._size = 0
        self._sent = 0
        self._since: float | None = None
        self._began = now()

    def add(self, chunk: bytes) -> None:
        """Takes more output."""
        self._add(self._decoder.decode(chunk))
        self.send_due()

    def _add(self, text: str) -> None:
        # No database keeps a NUL in a text.
        data = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode()
        with self._lock:
            first, rest = _cut(data, 0 if self._tail else HEAD_BYTES - len(self._head))
            self._head += first
            self._to_tail(rest)
            self._size += len(data)
        if self._since is None and self._sent < len(self._head):
            self._since = self._now()

    def _to_tail(self, data: bytes) -> None:
        if not data:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_size -= len(self._tail.popleft())

    @property
    def due_in(self) -> float | None:
        """Seconds until a piece that waits has waited long enough; None when none waits."""
        if self._since is None:
            return None
        now = self._now()
        wait_s = max(EVERY_S, min(LONGEST_S, SHARE * (now - self._began)))
        return max(0.0, self._since + wait_s - now)

    def send_due(self) -> None:
        """Sends what is large enough, or has waited long enough."""
        while len(self._head) - self._sent >= CHUNK_BYTES:
            self._send_head()
        if self.due_in == 0.0:
            self._send_head()

    def _send_head(self) -> None:
        # With a byte more, to see whether the cut is within a character.
        piece, _ = _cut(bytes(self._head[self._sent : self._sent + CHUNK_BYTES + 1]), CHUNK_BYTES)
        start, self._sent = self._sent, self._sent + len(piece)
        self._since = self._now() if self._sent < len(self._head) else None
        if piece:
            self._emit(start, piece.decode())

    def end(self) -> None:
        """The process is over: sends what was not sent, of the end the last bytes."""
        self._add(self._decoder.decode(b"", final=True))
        while self._sent < len(self._head):
            self._send_head()
        tail = _whole(b"".join(self._tail)[-TAIL_BYTES:])
        start = self._size - len(tail)
        while tail:
            piece, tail = _cut(tail, CHUNK_BYTES)
            self._emit(start, piece.decode())
            start += len(piece)

    @property
    def text(self) -> str:
        """The end of the output."""
        with self._lock:
            data = b"".join(self._tail) if self._tail_size >= SHOWN_BYTES else None
            if data is None:
                data = bytes(self._head[-SHOWN_BYTES:]) + b"".join(self._tail)
        return _whole(data[-SHOWN_BYTES:]).decode()

    @property
    def kept(self) -> str:
        """The beginning and the end, with a line that says what was left out between them."""
        with self._lock:
            head, tail = bytes(self._head), _whole(b"".join(self._tail)[-TAIL_BYTES:])
            left_out = self._size - len(head) - len(tail)
        between = f"\n... {left_out:,} bytes left out ...\n" if left_out else ""
        return head.decode() + between + tail.decode()


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    """The first `size` bytes, or a few less so that no character is split, and the rest."""
    if len(data) <= size:
        return data, b""
    while size > 0 and (data[size] & 0xC0) == 0x80:
        size -= 1
    return data[:size], data[size:]


def _whole(data: bytes) -> bytes:
    """Without what is left of a character at the beginning."""
    first = 0
    while first < len(data) and (data[first] & 0xC0) == 0x80:
        first += 1
    return data[first:]


def keep(folder: Path, name: str, text: str) -> None:
    """Writes an output that is not empty to a file and removes the oldest files over the bounds."""
    if not text:
        return
    # The output is for people; a full disk must not fail the trial.
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.log").write_text(text, encoding="utf-8")
        stats = {path: path.stat() for path in folder.glob("*.log")}
        total = 0
        for count, path in enumerate(sorted(stats, key=lambda p: -stats[p].st_mtime_ns), start=1):
            total += stats[path].st_size
            if count > KEEP_FILES or total > KEEP_BYTES:
                path.unlink(missing_ok=True)
