"""CPU time of one decision of each early-stopping rule, in studies of many trials.

A decision is what the service does for one report: the report is taken into the book, the rule
judges the trial, and is asked which trials to promote. Every trial has up to 20 reports; for rules
that stop, the study holds that many trials completed in full, for rules that pause it has been
played by the rule from its first trial on.

    python benchmarks/early_stopping_cost.py [--trials 1000 10000] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.domain.definition import parse_definition  # noqa: E402
from app.domain.fidelity import Directive  # noqa: E402
from app.domain.trial import TrialState  # noqa: E402
from app.early_stopping.book import TrialFacts  # noqa: E402
from app.early_stopping.registry import make_rule, new_book  # noqa: E402
from benchmarks.machine import machine  # noqa: E402

STEPS = 20
MEASURED = 4_000
RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("median", {}),
    ("percentile", {"percentile": 25}),
    ("patience", {"steps": 5}),
    ("asha", {"mode": "stop"}),
    ("asha", {"mode": "promote"}),
    ("hyperband", {}),
    ("auto", {}),
)


class Study:
    """A study that a rule is asked about, with the CPU seconds of each decision."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        raw = {
            "name": "cost",
            "metrics": [{"name": "loss", "direction": "minimize"}],
            "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
            "early_stopping": {"name": name, "options": {"max_resource": STEPS, **options}},
        }
        definition = parse_definition(raw, draw_seed=lambda: 0).definition
        rule = make_rule(definition)
        assert rule is not None
        self.rule, self.book = rule, new_book(definition)
        self.rng = Random(0)
        self.level: dict[int, float] = {}
        self.promoted: deque[int] = deque()
        self.seconds: list[float] = []

    def put(self, number: int, **fields: Any) -> None:
        present = {"state": TrialState.RUNNING, "bracket": None, "to_step": None}
        if number in self.book:
            facts = self.book.facts(number)
            present |= {"bracket": facts.bracket, "to_step": facts.to_step}
        self.book.put(TrialFacts(number=number, **(present | fields)))

    def begin(self) -> int:
        number = len(self.level)
        self.level[number] = self.rng.random()
        place = self.rule.place(self.book)
        self.put(number, bracket=place.bracket, to_step=place.to_step)
        return number

    def loss(self, number: int, step: int) -> float:
        return self.level[number] + self.rng.gauss(0, 0.3) / step

    def decide(self, number: int, step: int) -> Any:
        """One report and what follows from it."""
        point = (step, self.loss(number, step))
        start = time.process_time()
        self.book.observe(number, [point])
        decision = self.rule.judge(self.book, number)
        promotions = self.rule.promotions(self.book)
        self.seconds.append(time.process_time() - start)
        for promotion in promotions:
            self.put(promotion.number, to_step=promotion.to_step)
            self.promoted.append(promotion.number)
        return decision

    def train(self, number: int, *, to_end: bool = False) -> None:
        """Up to where the rule lets the trial go; to its end whatever the rule says."""
        step = self.book.curve(number).last_step
        while step < STEPS:
            step += 1
            decision = self.decide(number, step)
            if to_end:
                continue
            if decision.directive is Directive.PAUSE:
                return self.put(number, state=TrialState.PAUSED)
            if decision.directive is Directive.STOP:
                return self.put(number, state=TrialState.STOPPED)
            if decision.to_step is not None:
                self.put(number, to_step=decision.to_step)
        return self.put(number, state=TrialState.COMPLETED)

    def run(self, trials: int, *, to_end: bool) -> None:
        while len(self.level) < trials or self.promoted:
            number = self.promoted.popleft() if self.promoted else self.begin()
            self.train(number, to_end=to_end)


def measured(name: str, options: dict[str, Any], trials: int) -> dict[str, Any]:
    """Figures of one rule with so many trials behind it, in milliseconds."""
    study = Study(name, options)
    pauses = name == "hyperband" or options.get("mode") == "promote"
    study.run(trials, to_end=not pauses)
    study.seconds.clear()
    while len(study.seconds) < MEASURED:
        study.run(len(study.level) + 1, to_end=False)
    found = sorted(1e3 * s for s in study.seconds)
    return {
        "rule": " ".join((name, *map(str, options.values()))),
        "trials": trials,
        "mean_ms": round(statistics.fmean(found), 4),
        "p50_ms": round(found[len(found) // 2], 4),
        "p99_ms": round(found[len(found) * 99 // 100], 4),
        "max_ms": round(found[-1], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    lines = []
    for name, options in RULES:
        for trials in args.trials:
            lines.append({**measured(name, options, trials), **machine(())})
            print(json.dumps(lines[-1]), flush=True)
    if args.out:
        args.out.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
