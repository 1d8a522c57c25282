"""How good the points are that the suggesters propose: a service of its own under qbench.

qbench, our benchmark of suggesters, is kept outside this repository; `--qbench` is the folder that
holds the package and its `baselines.json`. A service is started on a free port with a new SQLite
database; qbench drives it over REST like any client and compares what it finds with recorded peers.
The JSON lines go to benchmarks/results/quality/<suggester>-b<batch>.jsonl; of every run a line in
<suggester>-b<batch>.about.jsonl beside them says on what it was measured. Cells that a file holds
already are not run again, unless `--anew` is given.

Run: python benchmarks/quality.py --qbench PATH [--suggesters auto,gp,tpe] [--batch 1]
     [--tasks public] [--trials 100] [--seeds 5] [--procs 2] [--at 20,50,100] [--anew]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "quality"
PACKAGES = ("numpy", "scipy", "cmaes", "scikit-optimize", "scikit-learn", "sqlalchemy")
START_S = 60.0
"""How long the service may take to listen."""
END_S = 30.0
"""How long it may take to end when it is asked to."""
THREADS = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


@contextmanager
def service(n_processes: int) -> Iterator[str]:
    """A service with an empty database for as long as the block lasts; gives its address.

    Raises:
        RuntimeError: it did not start; with the end of what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="tunewell-quality-") as name:
        folder = Path(name)
        said, errors = folder / "stdout", folder / "stderr"
        command = [
            sys.executable, "-P", "-m", "tunewell", "serve", "--json", "--port", "0",
            "--database-url", f"sqlite:///{folder / 'tunewell.sqlite'}",
            "--suggest-processes", str(n_processes),
        ]  # fmt: skip
        path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        environment = {**os.environ, **THREADS, "PYTHONPATH": path}
        with said.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        try:
            yield _address(process, said, errors)
        finally:
            process.terminate()
            try:
                process.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], said: Path, errors: Path) -> str:
    """The address that a starting service prints."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        for line in said.read_text().splitlines():
            if "ready" in line and line.endswith("}"):
                return str(json.loads(line)["url"])
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start:\n{errors.read_text()[-2_000:]}")


def result_file(suggester: str, batch: int) -> Path:
    """Where the lines of a suggester go; its options are part of the name."""
    return RESULTS / f"{plain(suggester)}-b{batch}.jsonl"


def plain(name: str) -> str:
    """A name as part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", name)


def run(args: argparse.Namespace, suggester: str, url: str, out: Path) -> int:
    """Runs a suggester's cells; the exit status of qbench."""
    command = [
        args.python, "-m", "qbench.run", "--optimizer", f"tunewell:{suggester}",
        "--tasks", args.tasks, "--trials", str(args.trials), "--seeds", str(args.seeds),
        "--procs", str(args.procs), "--batch", str(args.batch), "--out", str(out),
    ]  # fmt: skip
    return called(args.qbench, command, {"TUNEWELL_URL": url})


def report(args: argparse.Namespace, out: Path) -> int:
    """Prints the comparison with the recorded peers; 1 when ours is behind one of them."""
    command = [args.python, "-m", "qbench.report", "--check", "baselines.json", str(out)]
    return called(args.qbench, [*command, "--at", args.at] if args.at else command, {})


def called(folder: Path, command: list[str], more: Mapping[str, str]) -> int:
    """Runs a command of a benchmark that is kept elsewhere; its exit status."""
    sys.stdout.flush()
    environment = {**os.environ, **THREADS, **more}
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def note(out: Path, **asked: Any) -> None:
    """Adds a line beside the results: what is run, on which code and machine."""
    about: dict[str, Any] = {
        **machine(PACKAGES),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "is_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        **asked,
    }
    with about_file(out).open("a") as lines:
        lines.write(json.dumps(about) + "\n")


def about_file(out: Path) -> Path:
    """Where it is said on what the lines of a file were measured."""
    return out.with_suffix(".about.jsonl")


def _git(*words: str) -> str:
    """What git says of this checkout; nothing where there is no git."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--qbench", type=Path, required=True, help="folder with the package qbench")
    parser.add_argument(
        "--suggesters",
        default="auto,gp,tpe",
        help="ours, with commas; options as in `gp?n_initial=8`",
    )
    parser.add_argument("--tasks", default="public", help="all, a family, names or patterns")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--procs", type=int, default=2, help="studies run at once")
    parser.add_argument("--batch", type=int, default=1, help="trials asked for, then told, at once")
    parser.add_argument("--at", help="checkpoints of the report, with commas")
    parser.add_argument("--python", default=sys.executable, help="runs qbench; this one if unset")
    parser.add_argument("--anew", action="store_true", help="drop what the files hold first")
    args = parser.parse_args()
    args.qbench = args.qbench.resolve()
    if not (args.qbench / "qbench" / "run.py").is_file():
        parser.error(f"no package qbench in {args.qbench}")
    return args


def main() -> int:
    """Runs each suggester, keeps its lines, prints the reports; the worst exit status."""
    args = _arguments()
    names = args.suggesters.split(",")
    files = {name: result_file(name, args.batch) for name in names}
    RESULTS.mkdir(parents=True, exist_ok=True)
    worst = 0
    with service(args.procs) as url:
        for name, out in files.items():
            if args.anew:
                out.unlink(missing_ok=True)
                about_file(out).unlink(missing_ok=True)
            note(out, tasks=args.tasks, trials=args.trials, seeds=args.seeds, batch=args.batch)
            worst = max(worst, run(args, name, url, out))
    for name, out in files.items():
        print(f"\n{name}, batches of {args.batch}\n")
        worst = max(worst, report(args, out))
    return worst


if __name__ == "__main__":
    sys.exit(main())
