"""Fixtures of the browser tests: a Chromium a test process, a service on each database, windows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from app.domain.token import Role

from ..postgres import Postgres
from .chromium import find
from .seeding import seed
from .site import Site, start
from .visiting import Theme, Visitor

expect.set_options(timeout=15_000)  # a busy machine is no fault of the page


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser process. Its loop ends with this folder's tests: others need the thread's own."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=find())
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def site(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service on SQLite with all the studies. Tests add to it and take nothing away."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copyfile(migrated_file, folder / "tunewell.db")
    yield from _seeded(folder, f"sqlite:///{folder / 'tunewell.db'}")


@pytest.fixture(scope="session")
def postgres_site(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """As `site`, on Postgres."""
    with postgres.database(is_migrated=True) as url:
        yield from _seeded(tmp_path_factory.mktemp("postgres_site"), url)


@pytest.fixture
def own_site(migrated_file: Path, tmp_path: Path) -> Iterator[Site]:
    """A service on SQLite for one test, which may end it; without studies."""
    shutil.copyfile(migrated_file, tmp_path / "tunewell.db")
    (tmp_path / "processes").mkdir()
    made = start(tmp_path / "processes", f"sqlite:///{tmp_path / 'tunewell.db'}")
    yield made
    made.service.end()


def _seeded(folder: Path, database_url: str) -> Iterator[Site]:
    processes = folder / "processes"
    processes.mkdir()
    made = start(processes, database_url)
    try:
        made.studies.update(seed(made.service.call))
        yield made
    finally:
        made.service.end()


class Visit(Protocol):
    """Opens a window on a site; see `Visitor`."""

    def __call__(
        self,
        site: Site,
        *,
        role: Role | None = Role.ADMIN,
        width: int = 1440,
        theme: Theme = "light",
    ) -> Visitor: ...


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens windows. At the end each is closed, and any fault not expected fails the test."""
    visitors: list[Visitor] = []
    with ExitStack() as stack:

        def opened(
            site: Site,
            *,
            role: Role | None = Role.ADMIN,
            width: int = 1440,
            theme: Theme = "light",
        ) -> Visitor:
            visitor = Visitor(browser, site, role, width, theme)
            stack.callback(visitor.close)
            visitors.append(visitor)
            return visitor

        yield opened
    faults = [fault for visitor in visitors for fault in visitor.watch.faults]
    assert not faults, "\n".join(faults)
