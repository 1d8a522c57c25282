"""A real service with a real worker, for all tests of the examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tunewell.private import Local

from .commands import STARTED


@pytest.fixture(scope="package")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A service with one worker of two slots that finds no data but the shipped ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWELL_DATA_DIR", str(tmp_path_factory.mktemp("no-data")))
        with Local(tmp_path_factory.mktemp("local")) as running:
            running.start_worker(2)
            yield running


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
