"""What it costs to train networks of different batch sizes as one stack, beside stacks of one size.

For the middle of a bucket: a stack of one batch size, a stack of sizes over the whole bucket, the
same in the fixed shapes that a GPU needs, and the bucket's sizes one network after the other. Each
trains over as many images; the ways take turns, the first round is left out. On a CPU the figures
are CPU seconds, on a GPU wall seconds.

Run: python benchmarks/stacked.py [--sizes 23,64,92] [--lanes 8] [--images 12000] [--rounds 5]
     [--device cpu] [--out results.jsonl]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from machine import machine

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tunewell.together import Together  # noqa: E402
from workers.objectives import mnist, mnist_data  # noqa: E402
from workers.objectives.mixed_batches import bucket  # noqa: E402
from workers.objectives.mnist_data import Part  # noqa: E402
from workers.objectives.mnist_stacked import Lane, Stack  # noqa: E402

Run: TypeAlias = Callable[[], None]
"""Trains over the images once."""


def over_bucket(size: int, n_lanes: int) -> list[int]:
    """Sizes at equal distances from the smallest to the largest of the bucket of a size."""
    sizes = [each for each in range(1, 2 * size) if bucket(each) == bucket(size)]
    last = max(n_lanes - 1, 1)
    return [sizes[round(k * (len(sizes) - 1) / last)] for k in range(n_lanes)]


def settings(sizes: Sequence[int], device: str) -> list[mnist.Settings]:
    """What is trained: a seed for each network."""
    return [
        mnist.Settings(batch_size=size, seed=seed, epochs=1_000, device=device)
        for seed, size in enumerate(sizes)
    ]


def stacked(wanted: Sequence[mnist.Settings], train: Part, *, is_fixed: bool) -> Run:
    """Trains networks as one."""
    seat = Together().expect()
    lanes = [Lane(each, train, train, seat=seat, key=None, epoch_s=1.0) for each in wanted]
    stack = Stack(lanes)
    stack.has_fixed_shapes |= is_fixed
    return lambda: stack.train([lane.next_batches() for lane in lanes])


def in_turn(wanted: Sequence[mnist.Settings], train: Part) -> Run:
    """Trains networks one after the other."""
    steps = [mnist.Training(each, train).steps() for each in wanted]

    def run() -> None:
        for each in steps:
            next(each)

    return run


def seconds(run: Run, device: str) -> float:
    """What a run takes."""
    if device == "cpu":
        began = time.process_time()
        run()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def compared(size: int, n_lanes: int, rounds: int, train: Part, device: str) -> dict[str, float]:
    """Medians of the rounds, in seconds."""
    even = settings([size] * n_lanes, device)
    mixed = settings(over_bucket(size, n_lanes), device)
    ways = {
        "one_size_s": stacked(even, train, is_fixed=False),
        "bucket_s": stacked(mixed, train, is_fixed=False),
        "bucket_fixed_s": stacked(mixed, train, is_fixed=True),
        "in_turn_s": in_turn(mixed, train),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(rounds + 1):
        for way, run in ways.items():
            took_s = seconds(run, device)
            if round_ > 0:
                taken[way].append(took_s)
    return {way: statistics.median(each) for way, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="23,64,92", help="batch sizes, with commas")
    parser.add_argument("--lanes", type=int, default=8, help="networks in a stack")
    parser.add_argument("--images", type=int, default=12_000, help="trained on, up to 60,000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    images = mnist_data.load(mnist_data.choose("mnist", None, may_download=False)).train
    train = Part(
        x=images.x[: chosen.images].to(chosen.device), y=images.y[: chosen.images].to(chosen.device)
    )
    for size in map(int, chosen.sizes.split(",")):
        found = compared(size, chosen.lanes, chosen.rounds, train, chosen.device)
        ratios = {way[:-2]: each / found["one_size_s"] for way, each in found.items()}
        shown = "  ".join(f"{way} {ratio:.3f}" for way, ratio in ratios.items())
        print(f"batch {size}  one_size {found['one_size_s']:.3f} s  by it: {shown}", flush=True)
        if chosen.out is not None:
            about = {"lanes": chosen.lanes, "images": chosen.images, "device": chosen.device}
            line = {**machine(("torch",)), "batch_size": size, **about, **found}
            with chosen.out.open("a") as out:
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
