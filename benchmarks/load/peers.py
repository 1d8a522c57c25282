"""Optuna beside ours: its program, run by an interpreter that has it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from .lifecycle import Round
from .machines import Place

PEERS = {"journal": "sqlite", "rdb": "postgres", "grpc": "postgres"}
"""Each peer, and which of our databases it is held against."""

NAMES = {
    "journal": "Optuna, journal file",
    "rdb": "Optuna on Postgres",
    "grpc": "Optuna, gRPC proxy on Postgres",
}
_LIMIT_S = 300


def is_there(python: str) -> bool:
    """Whether an interpreter has what the peers need."""
    needed = "import optuna, grpc, psycopg"
    return subprocess.run([python, "-c", needed], capture_output=True, check=False).returncode == 0


def run(at: Place, python: str, kind: str, clients: int, seconds: float) -> Round:
    """One round of a peer on a fresh database or journal.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    if kind == "journal":
        where = str(Path(tempfile.mkdtemp(dir=at.folder)) / "journal.log")
    else:
        where = at.database("postgres").replace("postgresql://", "postgresql+psycopg://", 1)
    database = at.postgres.cpu_s if at.postgres is not None and kind != "journal" else None
    before = database() if database else 0.0
    program = Path(__file__).with_name("peer_program.py")
    done = subprocess.run(
        [python, str(program), kind, where, str(clients), str(seconds)],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{kind}: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    spent = {
        "client": said["client_cpu_s"],
        "server": said["server_cpu_s"],
        "database": database() - before if database else 0.0,
    }
    return Round(said["wall_s"], said["lasted"], said["by_client"], spent)
