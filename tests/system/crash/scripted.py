"""A scripted worker in a process of its own, killed or stopped while it saves a checkpoint."""

from __future__ import annotations

import contextlib
import os
from multiprocessing.connection import Connection as Pipe
from typing import Any

from tests.warm import processes

from . import saving
from .client import Client, Stale
from .record import Ack, Record

SAID_S = 90.0
"""How long the process may say nothing on a busy machine."""
STALE = "stale"


class ScriptedWorker:
    """Claims a trial, reports, saves a checkpoint, completes the trial.

    Args:
        url: of the service.
        study_id: of the study.
        record: where its acknowledged writes go, when they are taken over.
    """

    def __init__(self, url: str, study_id: str, record: Record) -> None:
        self._record = record
        self._pipe, theirs = processes.Pipe()
        self._process = processes.Process(target=_work, args=(url, study_id, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def signal(self, number: int) -> None:
        """To the process alone."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def take_over(self) -> None:
        """Notes what was acknowledged to it up to now."""
        while self._pipe.poll():
            said = self._pipe.recv()
            assert isinstance(said, Ack), said
            self._record.acks.append(said)

    def wait_refused(self) -> None:
        """Waits until a write of its own was refused as stale."""
        while True:
            assert self._pipe.poll(SAID_S), "the worker says nothing"
            said = self._pipe.recv()
            if said == STALE:
                return
            self._record.acks.append(said)

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.join(30)
        self._pipe.close()


class _Told(Record):
    """A record that tells another process."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(budget=None, lease_s=0.0)
        self.acks = _Sent(pipe)


class _Sent(list[Ack]):
    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def append(self, ack: Ack) -> None:
        self._pipe.send(ack)


def _work(url: str, study_id: str, pipe: Pipe) -> None:
    client = Client(lambda: url, _Told(pipe))
    client.register()
    lease: Any = client.must_claim(study_id)
    with contextlib.closing(client):
        try:
            client.report(lease, 0, 1, 2)
            saving.save(client, lease, 2)
            client.complete(lease)
        except Stale:
            pipe.send(STALE)
