"""Draws how each rule decides, on the curves of a real study.

The curves are those of 27 networks on MNIST that were all trained to their end, from
benchmarks/results/early-stopping.jsonl. Each rule is played over them by one worker, as the service
would: what it has trained is drawn in colour, what it spared in grey.

Run: python docs/draw_early_stopping.py; writes docs/explanation/early-stopping.svg and prints the
table of docs/explanation/early-stopping.md.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.domain.definition import parse_definition  # noqa: E402
from app.domain.fidelity import Directive  # noqa: E402
from app.domain.trial import TrialState  # noqa: E402
from app.early_stopping.book import TrialFacts  # noqa: E402
from app.early_stopping.registry import make_rule, new_book  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "early-stopping.jsonl"
DRAWING = ROOT / "docs" / "explanation" / "early-stopping.svg"
SEED = 1
FULL = 9
RULES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("none", "none", {}),
    ("median", "median", {}),
    ("asha, mode stop", "asha", {"mode": "stop"}),
    ("asha, mode promote", "asha", {}),
    ("hyperband", "hyperband", {}),
    ("auto", "auto", {}),
)
Curve = list[float]
"""Values by step, from step 1 on."""


@dataclass(slots=True)
class Play:
    """A study of known curves, played by a rule.

    Attributes:
        reached: the last step trained of each trial.
    """

    definition: Any
    curves: list[Curve]
    reached: dict[int, int] = field(default_factory=dict)
    grants: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    rule: Any = None
    book: Any = None

    def run(self) -> None:
        """One worker, promoted trials first, until no trial is left to begin or to go on."""
        self.rule, self.book = make_rule(self.definition), new_book(self.definition)
        waiting: list[int] = []
        while waiting or len(self.reached) < len(self.curves):
            number = waiting.pop(0) if waiting else self._begin()
            self._train(number)
            self.book.may_start = len(self.reached) < len(self.curves)
            while promotions := self.rule.promotions(self.book):
                for one in promotions:
                    self.grants[one.number] = (self.grants[one.number][0], one.to_step)
                    self._put(one.number, TrialState.PENDING)
                    waiting.append(one.number)

    def _begin(self) -> int:
        number, place = len(self.reached), self.rule.place(self.book)
        self.reached[number] = 0
        self.grants[number] = (place.bracket, place.to_step)
        self._put(number, TrialState.RUNNING)
        return number

    def _train(self, number: int) -> None:
        while self.reached[number] < FULL:
            self.reached[number] += 1
            step = self.reached[number]
            self.book.observe(number, [(step, self.curves[number][step - 1])])
            decision = self.rule.judge(self.book, number)
            if decision.directive is Directive.PAUSE:
                self._put(number, TrialState.PAUSED)
                return
            if decision.directive is Directive.STOP:
                self._put(number, TrialState.STOPPED)
                return
            self.grants[number] = (self.grants[number][0], decision.to_step)
            self._put(number, TrialState.RUNNING)
        self._put(number, TrialState.COMPLETED)

    def _put(self, number: int, state: TrialState) -> None:
        bracket, to_step = self.grants[number]
        self.book.put(TrialFacts(number=number, state=state, bracket=bracket, to_step=to_step))


def played(name: str, options: Mapping[str, Any], curves: list[Curve]) -> dict[int, int]:
    """The last step that a rule has trained each trial to."""
    if name == "none":
        return dict.fromkeys(range(len(curves)), FULL)
    raw = {
        "name": "drawn",
        "metrics": [{"name": "accuracy", "direction": "maximize"}],
        "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
        "early_stopping": {"name": name, "options": {"max_resource": FULL, **options}},
        "limits": {"max_trials": len(curves)},
    }
    play = Play(parse_definition(raw, draw_seed=lambda: 0).definition, curves)
    play.run()
    return play.reached


def curves_of(path: Path) -> list[Curve]:
    """Accuracies by epoch of each trial of the study that was trained in full."""
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        if found["definition"]["name"] == f"mnist-none-{SEED}":
            return [[v for _, v in found["curves"][str(n + 1)]] for n in range(27)]
    raise SystemExit(f"{path} has no line of mnist-none-{SEED}")


WIDTH, HEIGHT, MARGIN, COLUMNS = 250, 190, 34, 3
LOW, HIGH = 0.01, 1.0
GREY, BLUE, RED = "#c4c8d0", "#2b6cb0", "#c05621"


def drawing(curves: list[Curve], by_rule: Mapping[str, dict[int, int]]) -> str:
    """The page: a panel for each rule."""
    rows = math.ceil(len(by_rule) / COLUMNS)
    size = f'width="{COLUMNS * WIDTH}" height="{rows * HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for k, (title, reached) in enumerate(by_rule.items()):
        at = f"{k % COLUMNS * WIDTH} {k // COLUMNS * HEIGHT}"
        parts += [f'<g transform="translate({at})">', *_panel(title, curves, reached), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, curves: list[Curve], reached: Mapping[int, int]) -> list[str]:
    steps = sum(reached.values())
    said = f"{title}: {steps} epochs"
    parts = [f'<text x="{MARGIN}" y="16" font-weight="bold" fill="#222">{said}</text>']
    for error in (1.0, 0.1, 0.01):
        y = _y(1.0 - error)
        parts.append(
            f'<path d="M{MARGIN} {y:.1f}H{WIDTH - 10}" stroke="#eee"/>'
            f'<text x="{MARGIN - 4}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{error:g}</text>'
        )
    for step in (1, 3, 9):
        parts.append(
            f'<text x="{_x(step):.1f}" y="{HEIGHT - 8}" text-anchor="middle" fill="#555">'
            f"{step}</text>"
        )
    parts += [_line(curves[n], 1, FULL, GREY, 0.8) for n in reached]
    for n, last in reached.items():
        colour = BLUE if last == FULL else RED
        parts.append(_line(curves[n], 1, last, colour, 1.3))
        x, y = _x(last), _y(curves[n][last - 1])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>')
    return parts


def _line(curve: Curve, first: int, last: int, colour: str, width: float) -> str:
    points = " ".join(f"{_x(s):.1f},{_y(curve[s - 1]):.1f}" for s in range(first, last + 1))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _x(step: int) -> float:
    return MARGIN + (step - 1) / (FULL - 1) * (WIDTH - MARGIN - 10)


def _y(accuracy: float) -> float:
    error = min(max(1.0 - accuracy, LOW), HIGH)
    share = math.log(error / LOW) / math.log(HIGH / LOW)
    return HEIGHT - 24 - share * (HEIGHT - 24 - 26)


def main() -> None:
    """Writes the drawing, prints the table."""
    curves = curves_of(RESULTS)
    by_rule = {title: played(name, options, curves) for title, name, options in RULES}
    DRAWING.write_text(drawing(curves, by_rule), encoding="utf-8")
    best = max(curve[-1] for curve in curves)
    print("| rule | epochs | in full | best found | behind the best of all |")
    print("|---|---|---|---|---|")
    for title, reached in by_rule.items():
        full = [n for n, last in reached.items() if last == FULL]
        found = max(curves[n][-1] for n in full)
        print(
            f"| {title} | {sum(reached.values())} | {len(full)} | {found:.4f} | "
            f"{best - found:.4f} |"
        )


if __name__ == "__main__":
    main()
