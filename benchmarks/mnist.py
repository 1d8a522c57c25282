"""One MNIST trial as the article writes it against one of ours: training and evaluation, side by
side.

Each measurement is a process of its own; imports and the reading of the files are left out of it.
The rounds alternate between the two, so that a busy machine slows both. The article's code (a
DataLoader, ToTensor and Normalize for every image of every epoch, Adam, its default number of
threads) is told anew here; ours is the objective `mnist-mlp` as the worker runs it, once with the
core of its slot alone and once with those of idle slots too, which is what a trial has when it is
the only one on the machine.

Run: python benchmarks/mnist.py [--batches 16,64,128] [--rounds 3] [--out results.jsonl]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nowhere import Nowhere

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LEARNING_RATE = 0.003
EPOCHS = 3
NEEDED = {16: 9.0, 64: 18.0, 128: 25.0}
"""Wall time of the article's code over ours, alone on the machine, at least."""


def article(batch_size: int, files: str) -> Callable[[], float]:
    """Makes the article's training and evaluation ready; running it gives the accuracy."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import MNIST

    class SimpleNN(nn.Module):
        """Two layers on the flattened image."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(28 * 28, 128)
            self.fc2 = nn.Linear(128, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Logits (n, 10) of images (n, 1, 28, 28)."""
            x = x.view(-1, 28 * 28)
            logits: torch.Tensor = self.fc2(torch.relu(self.fc1(x)))
            return logits

    normalize = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalize])
    train_set = MNIST(files, train=True, transform=transform)
    test_set = MNIST(files, train=False, transform=transform)

    def run() -> float:
        train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
        test_loader = DataLoader(test_set, batch_size=batch_size, shuffle=False)
        model = SimpleNN()
        criterion = nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        for _ in range(EPOCHS):
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
        n_right = n_all = 0
        model.eval()
        with torch.no_grad():
            for images, labels in test_loader:
                predicted = model(images).argmax(dim=1)
                n_all += labels.size(0)
                n_right += int((predicted == labels).sum())
        return n_right / n_all

    return run


def ours(batch_size: int, files: str, n_cores: int | None = None) -> Callable[[], float]:
    """Makes a trial of our objective ready; running it gives the accuracy.

    Args:
        n_cores: those it is lent; None: all there are.
    """
    from tunewell.objective import Trial
    from workers.objectives import mnist

    options = {"epochs": EPOCHS, "dataset": "mnist"}
    mnist.preload(options, None)
    params = {"learning_rate": LEARNING_RATE, "batch_size": batch_size}
    lent = n_cores or os.cpu_count() or 1
    trial = Trial(
        id="tr_1",
        number=1,
        params=params,
        options=options,
        channel=Nowhere(),
        cores_now=lambda: lent,
    )
    return lambda: mnist.evaluate(trial)["accuracy"]


WAYS = {"article": article, "one core": functools.partial(ours, n_cores=1), "ours": ours}


def measure_here(way: str, batch_size: int, files: str) -> dict[str, float]:
    """Times one trial in this process: wall and CPU seconds, and the accuracy."""
    import torch

    run = WAYS[way](batch_size, files)
    # torch imports more with the first optimiser step of a process, for either way alike.
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    torch.optim.Adam([weight]).step()
    wall, cpu = time.perf_counter(), time.process_time()
    accuracy = run()
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "accuracy": accuracy,
    }


def measure(way: str, batch_size: int, files: str) -> dict[str, float]:
    """The same in a process of its own."""
    from workers.processor import same_bits

    command = [sys.executable, __file__, "--one", way, "--batches", str(batch_size)]
    # Ours as the worker would run it; the article's as anybody would.
    environment = dict(os.environ) if way == "article" else {**same_bits(), **os.environ}
    done = subprocess.run(
        [*command, "--files", files], stdout=subprocess.PIPE, check=True, env=environment
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def lay_out(folder: Path) -> None:
    """Writes the files where torchvision looks for them."""
    from workers.objectives import data

    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in data.read(data.MNIST).items():
        (raw / name).write_bytes(content)


def compare(batch_size: int, rounds: int, files: str) -> dict[str, Any]:
    """Alternating rounds of both at one batch size, with medians and their ratio."""
    measured: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for index in range(rounds):
        for way in WAYS:
            found = measure(way, batch_size, files)
            measured[way].append(found)
            print(
                f"  batch {batch_size}  round {index + 1}  {way:8}{found['wall_s']:8.2f} s wall"
                f"{found['cpu_s']:8.2f} s cpu  accuracy {found['accuracy']:.4f}",
                flush=True,
            )
    median = {
        f"{way}_{unit}": statistics.median(each[unit] for each in found)
        for way, found in measured.items()
        for unit in ("wall_s", "cpu_s")
    }
    return {
        "batch_size": batch_size,
        "rounds": measured,
        **median,
        "ratio": median["article_wall_s"] / median["ours_wall_s"],
        "cpu_ratio": median["article_cpu_s"] / median["ours_cpu_s"],
        "one_core_ratio": median["article_wall_s"] / median["one core_wall_s"],
    }


def table(results: list[dict[str, Any]]) -> str:
    """The medians as lines of text."""
    lines = [
        f"{'batch':>6}{'article, s':>12}{'(cpu)':>9}{'ours, s':>10}{'(cpu)':>9}"
        f"{'ratio':>8}{'(cpu)':>8}{'needed':>9}{'one core, s':>13}{'ratio':>8}"
    ]
    for each in results:
        needed = NEEDED.get(each["batch_size"])
        lines.append(
            f"{each['batch_size']:>6}{each['article_wall_s']:>12.2f}{each['article_cpu_s']:>9.2f}"
            f"{each['ours_wall_s']:>10.2f}{each['ours_cpu_s']:>9.2f}"
            f"{each['ratio']:>8.1f}{each['cpu_ratio']:>8.1f}"
            + (f"{needed:>9.0f}" if needed else f"{'-':>9}")
            + f"{each['one core_wall_s']:>13.2f}{each['one_core_ratio']:>8.1f}"
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Where and when this was measured."""
    import torch

    from workers.processor import maker

    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "maker": maker(),
        "system": platform.system(),
        "n_cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def main() -> int:
    """Exit status 1 when a ratio is below what is needed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="16,64,128", help="batch sizes, with commas")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--out", type=Path, help="file to append JSON lines to")
    parser.add_argument("--one", choices=WAYS, help="measure this alone, in this process")
    parser.add_argument("--files", default="", help="folder with torchvision's layout")
    chosen = parser.parse_args()
    batches = [int(each) for each in chosen.batches.split(",")]
    if chosen.one:
        print(json.dumps(measure_here(chosen.one, batches[0], chosen.files)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        results = [compare(batch, chosen.rounds, folder) for batch in batches]
    print(table(results))
    if chosen.out:
        about = machine()
        with chosen.out.open("a") as out:
            out.writelines(json.dumps({**about, **each}) + "\n" for each in results)
    is_enough = all(each["ratio"] >= NEEDED.get(each["batch_size"], 0.0) for each in results)
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
