"""What one ask and one tell cost: CPU and wall time by the number of finished trials.

Spaces of 8 or 20 parameters (real, logarithmic, stepped, integer, categorical). Every round draws
histories of random points and asks every suggester at every size in turn, so that a busy machine
slows all alike; the tables give medians. BLAS has one thread. Ours are measured twice:

- warm: what the fitting process does when a result has come in: the request and the reply are
  pickled and unpickled, as they are between processes; the process knows the study but for that
  result. The mean of ten asks with a result each, since a model is not fitted anew at every one.
- cold: the pure function of the whole history, nothing kept from an ask before.

Peers keep their own state: their history is told beforehand, and one ask with its tell is timed.

Run: python benchmarks/suggest.py [--suggesters gp,tpe,skopt] [--n 10,100,300,1000] [--rounds 5]
     [--parameters 8] [--limit-s 20] [--out benchmarks/results/suggest.jsonl]
     python benchmarks/suggest.py --goals [--rounds 5] [--out ...]
"""

from __future__ import annotations

import os

# Read when numpy is loaded, so they come before every other import.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import gc
import math
import pickle
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import suggest_peers
from suggest_cases import COLD, WARM, Case, Figures, Found, cpu_ms
from suggest_goals import GOALS, verdicts
from suggest_peers import NEEDS as PEERS
from suggest_peers import Step
from suggest_report import table, write

from app.domain.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
)
from app.domain.study import Direction, Metric, ObjectiveRef, StudyDefinition, SuggesterRef
from app.domain.trial import TrialState
from app.service.fitting import BOOTSTRAP, FitReply, FitRequest, Fitter, child_environment
from app.service.history import TrialRecord
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.encode import Encoder
from app.suggest.registry import ENTRIES, suggest

ROOT = Path(__file__).resolve().parent.parent


def _parameters(suffix: str = "") -> tuple[Parameter, ...]:
    """Eight parameters of all kinds."""
    return (
        FloatParameter(name=f"learning_rate{suffix}", low=1e-5, high=1.0, log=True),
        FloatParameter(name=f"weight_decay{suffix}", low=1e-8, high=1e-1, log=True),
        FloatParameter(name=f"momentum{suffix}", low=0.0, high=0.99),
        FloatParameter(name=f"dropout{suffix}", low=0.0, high=0.6, step=0.05),
        IntParameter(name=f"units{suffix}", low=8, high=1024, log=True),
        IntParameter(name=f"layers{suffix}", low=1, high=8),
        CategoricalParameter(name=f"activation{suffix}", choices=("relu", "tanh", "gelu")),
        CategoricalParameter(name=f"optimizer{suffix}", choices=("sgd", "adam", "rmsprop", "lion")),
    )


SPACES: Mapping[int, Space] = {
    8: Space(parameters=_parameters()),
    20: Space(parameters=(*_parameters(), *_parameters("_2"), *_parameters("_3")[:4])),
}
"""By the number of parameters."""

METRICS = (Metric(name="loss", direction=Direction.MINIMIZE),)
OURS = ("gp", "tpe", "auto", "skopt")
N_ASKS = 10
"""Warm asks of which the mean is taken: so often comes a refit of a model of some hundred results.
"""


@dataclass(frozen=True, slots=True)
class History:
    """Random points with the values of a smooth, slightly noisy function of them."""

    space: Space
    points: tuple[dict[str, Any], ...]
    values: tuple[float, ...]
    seed: int

    @classmethod
    def of(cls, n: int, seed: int, case: Case) -> History:
        """Draws `n` points; others for every case, so that none profits from what another left."""
        space = SPACES[case.parameters]
        rng = np.random.default_rng([seed, n, zlib.crc32(repr(case).encode())])
        encoder = Encoder(space)
        u = rng.random((n, encoder.d))
        points = tuple(encoder.from_unit(row) for row in u)
        values = ((u - 0.4) ** 2).sum(axis=1) + 0.01 * rng.standard_normal(n)
        return cls(space, points, tuple(float(y) for y in values), seed)

    def records(self) -> list[TrialRecord]:
        """The trials as they go to a fitting process."""
        return [
            TrialRecord(
                id=f"trial-{number:026d}",
                number=number,
                params=params,
                state=TrialState.COMPLETED,
                values=(value,),
                failure=None,
            )
            for number, (params, value) in enumerate(
                zip(self.points, self.values, strict=True), start=1
            )
        ]

    def definition(self, name: str) -> StudyDefinition:
        """A study of one of ours."""
        return StudyDefinition(
            name="benchmark",
            objective=ObjectiveRef(name="none"),
            metrics=METRICS,
            space=self.space,
            suggester=SuggesterRef(name=name, seed=self.seed),
        )

    def requests(self, name: str, n_asks: int) -> tuple[FitRequest, list[FitRequest]]:
        """Requests to a fitting process: one before the last `n_asks` results, one after each."""
        records = self.records()
        split = len(records) - n_asks
        first = FitRequest(
            study_id="benchmark",
            definition=self.definition(name),
            fresh=True,
            delta=tuple(records[:split]),
            index=split + 1,
            count=1,
        )
        later = [
            replace(first, definition=None, fresh=False, delta=(told,), index=told.number + 1)
            for told in records[split:]
        ]
        return first, later


def served(fitter: Fitter, request: FitRequest) -> FitReply:
    """An answer of a fitting process with all that crosses its border, both ways.

    Raises:
        RuntimeError: the suggester failed.
    """
    reply = fitter.serve(pickle.loads(pickle.dumps(request)))
    back: FitReply = pickle.loads(pickle.dumps(reply))
    if back.decision is None:
        raise RuntimeError(back.error)
    return back


def warm(name: str, history: History) -> Step:
    """Asks of one of ours in a process that knows all but the last results, told one by one."""
    fitter = Fitter()
    first, later = history.requests(name, N_ASKS)
    served(fitter, first)

    def step() -> None:
        for request in later:
            served(fitter, request)

    return step


def cold(name: str, history: History) -> Step:
    """An ask of one of ours that knows nothing but the request."""
    known = tuple(
        FinishedTrial(number=k, params=p, state=TrialState.COMPLETED, values=(y,))
        for k, (p, y) in enumerate(zip(history.points, history.values, strict=True), start=1)
    )
    request = SuggestRequest(
        space=history.space,
        metrics=METRICS,
        finished=known,
        seed=history.seed,
        index=len(known) + 1,
    )
    return lambda: suggest(name, request)


def prepare(case: Case, n: int, seed: int) -> tuple[Step, int]:
    """Makes asks and tells ready, the last of them with `n` results or a few more; how many."""
    if case.how == WARM:
        return warm(case.name, History.of(n + N_ASKS - 1, seed, case)), N_ASKS
    history = History.of(n, seed, case)
    if case.how == COLD:
        return cold(case.name, history), 1
    step = suggest_peers.prepare(case.name, history.space, history.points, history.values, seed)
    return step, 1


def timed(step: Step, n_asks: int) -> tuple[float, float]:
    """CPU and wall time of an ask, in milliseconds; earlier garbage is collected first."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    cpu = time.process_time() - cpu
    wall = time.perf_counter() - wall
    return 1_000 * cpu / n_asks, 1_000 * wall / n_asks


def measure(
    wanted: Mapping[Case, Sequence[int]], rounds: int, limit_s: float
) -> tuple[Found, dict[tuple[Case, int], str]]:
    """Measures every case at each of its sizes.

    Args:
        wanted: numbers of finished trials, ascending, by case.
        rounds: measurements of each.
        limit_s: a size is left out when the cost at the size before says that one call would
            take more CPU seconds than this, growing with n below 100, with its square above.

    Returns:
        The figures, and why others are missing.
    """
    found: Found = {}
    missing: dict[tuple[Case, int], str] = {}
    for case in wanted:
        timed(*prepare(case, 12, 0))  # imports and first calls
    every = sorted({(n, case.parameters) for case, sizes in wanted.items() for n in sizes})
    for seed in range(1, rounds + 1):
        for n, parameters in every:
            for case, sizes in wanted.items():
                if n not in sizes or case.parameters != parameters or (case, n) in missing:
                    continue
                expected_s = _expected_s(found, case, sizes[: sizes.index(n)], n)
                if expected_s > limit_s:
                    missing[case, n] = _why_left_out(expected_s)
                    continue
                cpu, wall = timed(*prepare(case, n, seed))
                figures = found.setdefault((case, n), Figures())
                figures.cpu_ms.append(cpu)
                figures.wall_ms.append(wall)
    return found, missing


def _why_left_out(expected_s: float) -> str:
    if math.isinf(expected_s):
        return "left out, as the size before it was"
    return f"left out: about {expected_s:.0f} s a call expected"


def _expected_s(found: Found, case: Case, smaller: Sequence[int], n: int) -> float:
    """CPU seconds that a call at `n` will take, by the size before; infinite after a gap."""
    if (case, n) in found:
        return cpu_ms(found, case, n) / 1_000
    if not smaller:
        return 0.0
    before = smaller[-1]
    if (case, before) not in found:
        return math.inf
    growth = n / before if before < 100 else (n / before) ** 2  # small fits are mostly overhead
    return cpu_ms(found, case, before) / 1_000 * growth


# Memory


def memory_mib(name: str, n: int, parameters: int) -> float:
    """Largest resident memory of a fitting process that has served a study of `n` results.

    A process as the service starts it; nearly the whole history comes with the first ask.
    """
    ours, theirs = Pipe()
    process = subprocess.Popen(
        [
            sys.executable, "-P", "-c", BOOTSTRAP,
            "app", str(ROOT / "app" / "__init__.py"), str(theirs.fileno()),
        ],
        pass_fds=(theirs.fileno(),),
        env=child_environment(),
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    try:
        ours.recv()  # "ready"
        first, later = History.of(n, 1, Case(name, WARM, parameters)).requests(name, N_ASKS)
        for request in (first, *later):
            ours.send(request)
            reply = ours.recv()
            if reply.decision is None:
                raise RuntimeError(reply.error)
        return _peak_mib(process.pid)
    finally:
        ours.close()
        process.wait(timeout=60)


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1_024


# The command


def cases_of(names: Iterable[str], parameters: int) -> list[Case]:
    """What to measure of suggesters by name: ours warm and cold, peers that are installed."""
    cases: list[Case] = []
    for name in names:
        if name in ENTRIES:
            cases += [Case(name, WARM, parameters), Case(name, COLD, parameters)]
        elif suggest_peers.is_installed(name):
            cases.append(Case(name, "peer", parameters))
        else:
            print(f"{name}: not installed")
    return cases


def goal_cases() -> dict[Case, list[int]]:
    """The goals' cases with their sizes, the cold ones and the peers beside them."""
    wanted: dict[Case, list[int]] = {}
    for goal in GOALS:
        for how in (WARM, COLD):
            wanted.setdefault(replace(goal.case, how=how), []).append(goal.n)
    for case in cases_of(PEERS, 8):
        wanted[case] = [100, 1_000, 10_000] if case.name == "optuna-tpe" else [100, 300, 1_000]
    return wanted


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--goals", action="store_true", help="measure what has a goal, and say which are reached"
    )
    parser.add_argument(
        "--suggesters",
        default=",".join((*OURS, *PEERS)),
        help="ours and peers, with commas; peers that are not installed are left out",
    )
    parser.add_argument("--n", default="10,100,300,1000", help="finished trials, with commas")
    parser.add_argument("--parameters", type=int, default=8, choices=sorted(SPACES))
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each")
    parser.add_argument(
        "--limit-s", type=float, default=20.0, help="longest call, in CPU seconds; others left out"
    )
    parser.add_argument("--out", type=Path, help="file to append JSON lines to")
    args = parser.parse_args()
    if unknown := set(args.suggesters.split(",")) - {*ENTRIES, *PEERS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ENTRIES)}, "
                     f"{', '.join(PEERS)}")  # fmt: skip
    return args


def main() -> None:
    """Measures, prints the tables, and writes the lines when asked."""
    args = _arguments()
    wanted: Mapping[Case, Sequence[int]]
    if args.goals:
        wanted = goal_cases()
    else:
        sizes = sorted({int(n) for n in args.n.split(",")})
        wanted = {c: sizes for c in cases_of(args.suggesters.split(","), args.parameters)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn of experimental features and of repeats
        found, missing = measure(wanted, args.rounds, args.limit_s)
    memory = {name: memory_mib(name, 10_000, 20) for name in ("auto", "tpe")} if args.goals else {}
    for parameters in sorted({case.parameters for case in wanted}):
        cases = [case for case in wanted if case.parameters == parameters]
        print(f"{parameters} parameters")
        print(table(found, cases, sorted({n for case in cases for n in wanted[case]})))
    for (case, n), why in missing.items():
        print(f"{case} at n = {n}: {why}")
    if args.goals:
        print("\n".join(verdicts(found, memory)))
    if args.out is not None:
        write(args.out, found, missing, memory)


if __name__ == "__main__":
    main()
