"""A fitting process ends with its service, however that ends."""

from __future__ import annotations

import os
from multiprocessing import Pipe

from app.service import fitting


def test_it_ends_quietly_when_its_service_was_killed() -> None:
    ours, theirs = Pipe()
    ours.close()
    with theirs:
        fitting.main(os.dup(theirs.fileno()))
