"""optuna-dashboard's first view of a study of the same size, where it is installed."""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .opening import chromium, open_page, window

_VERSION = "from importlib.metadata import version; print(version('optuna-dashboard'))"
_FILL = """
import math, random, sys
import optuna, sqlalchemy
optuna.logging.set_verbosity(optuna.logging.ERROR)
url, n, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(1)
dists = {f"x{d}": optuna.distributions.FloatDistribution(0, 1) for d in range(8)}
storage = optuna.storages.RDBStorage(url)

@sqlalchemy.event.listens_for(storage.engine, "connect")
def unsynced(connection, _):
    connection.execute("PRAGMA synchronous = OFF")  # for the filling alone

storage.engine.dispose()
study = optuna.create_study(storage=storage, study_name="main")
trials = []
for _ in range(n):
    params = {name: draw.random() for name in dists}
    value = sum((x - 0.3) ** 2 / (d + 1) for d, x in enumerate(params.values()))
    curve = {s: value + math.exp(-0.4 * s) + draw.gauss(0, 0.01) for s in range(1, steps + 1)}
    trials.append(optuna.trial.create_trial(
        params=params, distributions=dists, value=value, intermediate_values=curve))
study.add_trials(trials)
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen: bytes over the wire, and seconds until nothing was loading any more."""

    version: str
    n_bytes: int
    quiet_s: float


def is_there(python: str) -> bool:
    """Whether the interpreter has optuna-dashboard."""
    return (
        subprocess.run([python, "-c", _VERSION], capture_output=True, check=False).returncode == 0
    )


def first_view(python: str, folder: Path, browser: Path, trials: int, steps: int) -> Seen:
    """Fills a study of its own, serves it and opens it once, with an empty browser cache.

    Its page says nowhere that it is drawn: the time is that of the last answer.
    """
    url = f"sqlite:///{folder / 'rival.db'}"
    subprocess.run([python, "-c", _FILL, url, str(trials), str(steps)], check=True)
    version = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(python).parent / "optuna-dashboard"), "--port", str(port), url]
    serving = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        base = f"http://127.0.0.1:{port}"
        with chromium(browser) as running, window(running, base) as context:
            began = time.perf_counter()
            page, found = open_page(context, "/dashboard/studies/1", mark=None)
            page.wait_for_load_state("networkidle", timeout=120_000)
            quiet_s = time.perf_counter() - began - 0.5  # "networkidle" is half a second of quiet
    finally:
        serving.terminate()
        serving.wait(timeout=30)
    return Seen(version.stdout.strip(), found.total_bytes, quiet_s)


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
