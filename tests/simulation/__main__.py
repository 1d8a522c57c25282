"""Runs schedules by seed: `python -m tests.simulation --seed 17 --trace`."""

from __future__ import annotations

import argparse
import sys
import time

from .run import simulate


def main() -> int:
    """Prints what came of each seed; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds to run")
    parser.add_argument("--trace", action="store_true", help="print everything that happened")
    given = parser.parse_args()
    is_well = True
    for seed in range(given.seed, given.seed + given.count):
        began = time.perf_counter()
        outcome = simulate(seed)
        if given.trace:
            sys.stdout.write("\n".join(outcome.trace) + "\n")
        sys.stdout.write(
            f"seed {seed}: {len(outcome.trace)} events in {time.perf_counter() - began:.1f} s,"
            f" {len(outcome.faults)} faults\n"
        )
        for fault in outcome.faults:
            sys.stdout.write(f"  {fault}\n")
        is_well = is_well and not outcome.faults
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
