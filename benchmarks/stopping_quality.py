"""What early stopping finds per unit of training: a service of its own under mfbench.

mfbench, our benchmark of early stopping, is kept outside this repository; `--mfbench` is the folder
that holds the package and its recorded peers. A service is started on a free port with a new SQLite
database; mfbench drives it over REST, a client for each simulated worker, on a simulated clock. The
JSON lines go to benchmarks/results/stopping/<method>.jsonl; beside them <method>.about.jsonl says
of every run on what it was measured. Cells that a file holds already are not run again, unless
`--anew` is given.

Run: python benchmarks/stopping_quality.py --mfbench PATH [--methods auto+auto,random+asha]
     [--workers 1,8] [--tasks public] [--seeds 5] [--procs 2] [--anew]
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from quality import about_file, called, note, plain, service

RESULTS = Path(__file__).resolve().parent / "results" / "stopping"
METHODS = "auto+auto,random+median,random+asha,random+hyperband,random+bohb"


def result_file(method: str) -> Path:
    """Where the lines of a method go; its options are part of the name."""
    return RESULTS / f"{plain(method)}.jsonl"


def run(args: argparse.Namespace, method: str, url: str) -> int:
    """Runs a method's cells; the exit status of mfbench."""
    command = [
        args.python, "-m", "mfbench.run", "--method", f"tunewell:{method}",
        "--tasks", args.tasks, "--workers", args.workers, "--seeds", str(args.seeds),
        "--out", str(result_file(method)),
    ]  # fmt: skip
    return called(args.mfbench, command, {"TUNEWELL_URL": url})


def report(args: argparse.Namespace, files: list[Path]) -> int:
    """Prints the comparison with the recorded peers on these very tasks."""
    peers = args.mfbench / "mfbench" / "results" / "peers.jsonl"
    command = [args.python, "-m", "mfbench.report", *map(str, files), str(peers), "--per-task"]
    return called(args.mfbench, [*command, "--resample", "seeds"], {})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mfbench", type=Path, required=True, help="folder with package mfbench")
    parser.add_argument("--methods", default=METHODS, help="SUGGESTER+RULE of ours, with commas")
    parser.add_argument("--workers", default="1,8", help="simulated workers, with commas")
    parser.add_argument("--tasks", default="public", help="public, or names of tasks")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--procs", type=int, default=2, help="methods run at once")
    parser.add_argument("--python", default=sys.executable, help="runs mfbench; this one if unset")
    parser.add_argument("--anew", action="store_true", help="drop what the files hold first")
    args = parser.parse_args()
    args.mfbench = args.mfbench.resolve()
    if not (args.mfbench / "mfbench" / "run.py").is_file():
        parser.error(f"no package mfbench in {args.mfbench}")
    return args


def main() -> int:
    """Runs each method, keeps its lines, prints the report; the worst exit status."""
    args = _arguments()
    methods = args.methods.split(",")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for method in methods:
        out = result_file(method)
        if args.anew:
            out.unlink(missing_ok=True)
            about_file(out).unlink(missing_ok=True)
        note(out, tasks=args.tasks, workers=args.workers, seeds=args.seeds)
    with service(args.procs) as url, ThreadPoolExecutor(args.procs) as pool:
        worst = max(pool.map(lambda method: run(args, method, url), methods))
    return max(worst, report(args, [result_file(method) for method in methods]))


if __name__ == "__main__":
    sys.exit(main())
