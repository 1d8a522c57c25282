"""The browser that the tests drive: found, or installed.

In this order: `TUNEWELL_CHROMIUM`; a Chromium or Chrome on the PATH; playwright's own, if it has
been downloaded; Debian's package, where there is an `apt-get` and we are root; playwright's
download.

Run: python -m tests.browser.chromium
     prints the browser's path and its version.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

VARIABLE = "TUNEWELL_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-liberation")
ADVICE = f"""\
The browser tests need a Chromium or Chrome, and none was found or could be installed.
One of these helps:
  apt-get install {" ".join(PACKAGES)}                    as root, on Debian
  {sys.executable} -m playwright install --with-deps chromium
  export {VARIABLE}=/path/to/chrome                       where there is one already"""
ANSWER_S = 30.0
INSTALL_S = 600.0


class NoBrowser(Exception):
    """There is none; the text says what was tried and what to type."""


def find() -> Path:
    """The path of a browser that runs. One process at a time looks and installs.

    Raises:
        NoBrowser: there is none and none could be installed, or `TUNEWELL_CHROMIUM` names none.
    """
    if given := os.environ.get(VARIABLE):
        return _given(Path(given))
    with _alone():
        return _there() or _installed()


def version(path: Path) -> str | None:
    """What the browser says when asked for its version; None when it does not run."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() if said.returncode == 0 and said.stdout.strip() else None


def _given(path: Path) -> Path:
    if version(path) is None:
        raise NoBrowser(f"{VARIABLE} is {str(path)!r}, and no browser runs from there")
    return path


def _there() -> Path | None:
    # A name on the PATH is not a browser yet: Ubuntu's package is a note on where to get one.
    return next((place for place in _places() if version(place) is not None), None)


def _places() -> Iterator[Path]:
    for name in NAMES:
        if found := shutil.which(name):
            yield Path(found)
    # In a thread of its own: playwright refuses a second one in a thread that has it open.
    with ThreadPoolExecutor(1) as apart:
        downloaded = apart.submit(_downloaded).result()
    if downloaded.exists():
        yield downloaded


def _downloaded() -> Path:
    """Where playwright's own browser is, or would be."""
    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path)


def _installed() -> Path:
    tried = []
    for steps in _ways():
        error = next((said for step in steps if (said := _run(step)) is not None), None)
        if error is None and (found := _there()) is not None:
            return found
        tried.append(error or f"{shlex.join(steps[-1])}: done, but no browser runs")
    raise NoBrowser("\n".join([ADVICE, "What was tried:", *tried]))


def _ways() -> Iterator[list[list[str]]]:
    apt = shutil.which("apt-get")
    if apt is not None and os.geteuid() == 0:
        install = [apt, "install", "--yes", "--no-install-recommends", *PACKAGES]
        yield [[apt, "update"], install]
    yield [[sys.executable, "-m", "playwright", "install", "chromium"]]


def _run(command: list[str]) -> str | None:
    """Runs an installer; what went wrong, or None."""
    shown = shlex.join(command)
    print(f"to have a browser for the tests: {shown}", file=sys.stderr, flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, env=quiet, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{shown}: {error}"
    said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
    return None if done.returncode == 0 else f"{shown}: exit status {done.returncode}: {said[-1]}"


@contextmanager
def _alone() -> Iterator[None]:
    """Held by one process of this user at a time: the others find what the first has installed."""
    lock = Path(tempfile.gettempdir()) / f"tunewell-chromium-{os.getuid()}.lock"
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Prints the browser's path and version; 1 when there is none."""
    try:
        path = find()
    except NoBrowser as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: {version(path)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
