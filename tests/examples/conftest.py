"""A real service with a real worker, for all tests of the examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tunewell.private import Local

from .commands import STARTED
from .machines import Machines, set_up


@pytest.fixture(scope="package")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A service with one worker of two slots that finds no data but the shipped ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWELL_DATA_DIR", str(tmp_path_factory.mktemp("no-data")))
        with Local(tmp_path_factory.mktemp("local")) as running:
            running.start_worker(2)
            yield running


@pytest.fixture(scope="package")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A service with tokens that listens to other machines, and one of these."""
    folders = (tmp_path_factory.mktemp(name) for name in ("service", "other"))
    with set_up(*folders) as found:
        yield found


@pytest.fixture(autouse=True)
def no_command_left() -> Iterator[None]:
    """Kills the commands that a failed test left running."""
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
