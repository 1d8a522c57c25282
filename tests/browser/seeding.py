"""Studies that the pages are looked at with, made through the REST API as any client makes them.

Finished trials are imported, up to 2,000 a call; what runs, is retried or has attempts of workers
goes through asks, claims and reports. The benchmark of the dashboard uses the large ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Protocol

CHUNK = 2_000
"""Trials imported in one call."""

HOSTILE = (
    '<img src=x onerror="alert(1)">'
    + "w" * 150
    + " \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627"
)
"""A name of markup, a long word and right-to-left text."""  # fmt: skip


class Call(Protocol):
    """Calls the API; the answer's JSON. Anything but success is an error."""

    def __call__(self, method: str, path: str, body: Any = None) -> Any: ...


def real(name: str, low: float = 0.0, high: float = 1.0, **more: Any) -> dict[str, Any]:
    """A real parameter."""
    return {"name": name, "type": "float", "low": low, "high": high, **more}


def create(call: Call, name: str, space: Sequence[dict[str, Any]], **more: Any) -> str:
    """A study that minimises `value`, suggested at random; returns its id."""
    definition = {
        "name": name,
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": list(space),
        "suggester": {"name": "random", "seed": 7},
        **more,
    }
    return str(call("POST", "/v1/studies", definition)["id"])


def bring(call: Call, study_id: str, trials: Iterable[dict[str, Any]]) -> None:
    """Imports finished trials."""
    rest = iter(trials)
    while chunk := list(islice(rest, CHUNK)):
        call("POST", f"/v1/studies/{study_id}/trials", {"trials": chunk})


def ask(call: Call, study_id: str, count: int = 1) -> list[Any]:
    """Trials to evaluate, in `running`."""
    body = {"count": count, "lease_s": 86_400}
    found: list[Any] = call("POST", f"/v1/studies/{study_id}:suggest", body)["trials"]
    return found


def report(call: Call, trial: Any, points: Sequence[tuple[int, Mapping[str, Any]]]) -> Any:
    """Reports values after steps; returns what early stopping said."""
    sent = [{"step": step, "values": dict(values)} for step, values in points]
    seq = max(step for step, _ in points)
    body = {"lease_id": trial["lease_id"], "seq": seq, "points": sent}
    return call("POST", f"/v1/trials/{trial['id']}/measurements", body)


def complete(call: Call, trial: Any, state: str = "completed", **values: float) -> None:
    """Ends a trial with its values."""
    body = {"lease_id": trial["lease_id"], "state": state, "values": values}
    call("POST", f"/v1/trials/{trial['id']}:complete", body)


def fail(call: Call, trial: Any, kind: str, message: str) -> None:
    """Ends an attempt with a failure."""
    text = (
        f'Traceback (most recent call last):\n  File "train.py", line 41\nRuntimeError: {message}'
    )
    body = {"lease_id": trial["lease_id"], "kind": kind, "message": message, "traceback": text}
    call("POST", f"/v1/trials/{trial['id']}:fail", body)


def curve(final: float, steps: int, draw: random.Random) -> list[dict[str, Any]]:
    """Values that fall toward `final`, with a little noise."""
    return [
        {"step": s, "values": {"value": final + math.exp(-0.4 * s) + draw.gauss(0, 0.01)}}
        for s in range(1, steps + 1)
    ]


def finished(n: int, dims: int, steps: int, seed: int = 1, spread_s: float = 60.0) -> Iterator[Any]:
    """Completed trials over `x0, x1, ...` in [0, 1], one after another, the last just ended.

    Args:
        n: how many.
        dims: parameters of each.
        steps: reports of each; 0: none.
        seed: of the draws.
        spread_s: seconds that each took.
    """
    draw = random.Random(seed)
    begin = datetime.now(UTC) - timedelta(seconds=n * spread_s)
    for k in range(n):
        params = {f"x{d}": draw.random() for d in range(dims)}
        value = sum((x - 0.3) ** 2 / (d + 1) for d, x in enumerate(params.values()))
        started = begin + timedelta(seconds=k * spread_s)
        trial = {
            "params": params,
            "values": {"value": value},
            "started_at": started.isoformat(),
            "ended_at": (started + timedelta(seconds=spread_s)).isoformat(),
        }
        yield {**trial, "measurements": curve(value, steps, draw)} if steps else trial


def box(dims: int) -> list[dict[str, Any]]:
    """The space of `finished`."""
    return [real(f"x{d}") for d in range(dims)]


def ordinary(call: Call) -> str:
    """Runs, with early stopping, learning curves, stopped trials and one failure."""
    study_id = create(
        call,
        "ordinary",
        [
            real("learning_rate", 1e-5, 1.0, log=True),
            {"name": "batch_size", "type": "int", "low": 32, "high": 256, "log": True},
            {"name": "model", "type": "categorical", "choices": ["simple", "batchnorm"]},
            real("momentum", 0.01, 0.99, when={"param": "model", "in": ["batchnorm"]}),
        ],
        metrics=[{"name": "accuracy", "direction": "maximize"}],
        early_stopping={"name": "median", "options": {"n_startup_trials": 3, "max_resource": 9}},
        failure_policy={"max_attempts": 1},
        limits={"max_trials": 40},
        labels={"team": "vision"},
    )
    draw = random.Random(3)
    for k in range(14):
        [trial] = ask(call, study_id)
        if k == 5:
            fail(call, trial, "user_error", "the loss is not a number")
        else:
            _train(call, trial, draw)
    for trial in ask(call, study_id, 2):
        report(call, trial, [(step, {"accuracy": 0.5 + 0.04 * step}) for step in (1, 2, 3)])
    return study_id


def _train(call: Call, trial: Any, draw: random.Random) -> None:
    top = 0.99 - 0.04 * abs(math.log10(trial["params"]["learning_rate"]) + 2.5) - draw.random() / 50
    for step in range(1, 10):
        value = top - 0.5 * math.exp(-0.6 * step)
        if report(call, trial, [(step, {"accuracy": value})])["directive"] == "stop":
            return complete(call, trial, "stopped", accuracy=value)
    return complete(call, trial, accuracy=top)


def two_metrics(call: Call) -> str:
    """Accuracy against latency: a front of several trials."""
    metrics = [
        {"name": "accuracy", "direction": "maximize"},
        {"name": "latency_ms", "direction": "minimize"},
    ]
    study_id = create(call, "two metrics", box(2), metrics=metrics)
    draw = random.Random(4)
    bring(call, study_id, (_traded(draw.random(), draw.random()) for _ in range(30)))
    return study_id


def _traded(x: float, y: float) -> dict[str, Any]:
    values = {"accuracy": 0.7 + 0.25 * x - 0.05 * y, "latency_ms": 5 + 40 * x**2 + 10 * y}
    return {"params": {"x0": x, "x1": y}, "values": values}


def all_failed(call: Call) -> str:
    """Ten trials, none with a value, for two reasons."""
    study_id = create(call, "all failed", box(2))
    reasons = [("oom", "out of memory: 2.1 GiB asked"), ("user_error", "no such file: data.csv")]
    bring(
        call,
        study_id,
        (
            {
                "params": {"x0": k / 10, "x1": 0.5},
                "state": "failed",
                "failure": {"kind": kind, "message": message, "traceback": f"Error: {message}"},
            }
            for k in range(10)
            for kind, message in [reasons[k % 2]]
        ),
    )
    return study_id


def no_trial(call: Call) -> str:
    """Made, and nothing has run."""
    return create(call, "no trial", box(2))


def one_trial(call: Call) -> str:
    """A single trial with a value."""
    study_id = create(call, "one trial", box(2))
    bring(call, study_id, finished(1, 2, 3))
    return study_id


def one_parameter(call: Call) -> str:
    """One axis only."""
    study_id = create(call, "one parameter", box(1))
    bring(call, study_id, finished(25, 1, 5))
    return study_id


def fifty_parameters(call: Call) -> str:
    """More axes than fit."""
    study_id = create(call, "fifty parameters", box(50))
    bring(call, study_id, finished(60, 50, 0))
    return study_id


def conditional(call: Call) -> str:
    """Branches with parameters of their own."""
    choices = ["forest", "boosting", "linear"]
    study_id = create(
        call,
        "mixed conditional",
        [
            {"name": "model", "type": "categorical", "choices": choices},
            {"name": "trees", "type": "int", "low": 10, "high": 500, "log": True,
             "when": {"param": "model", "in": ["forest", "boosting"]}},
            real("rate", 1e-3, 1.0, log=True, when={"param": "model", "in": ["boosting"]}),
            real("penalty", when={"param": "model", "in": ["linear"]}),
            {"name": "scale", "type": "categorical", "choices": [True, False]},
        ],
    )  # fmt: skip
    draw = random.Random(5)
    bring(call, study_id, (_branch(choices[k % 3], draw) for k in range(45)))
    return study_id


def _branch(model: str, draw: random.Random) -> dict[str, Any]:
    params: dict[str, Any] = {"model": model, "scale": draw.random() < 0.5}
    if model == "linear":
        params["penalty"] = draw.random()
    else:
        params["trees"] = draw.randint(10, 500)
    if model == "boosting":
        params["rate"] = 10 ** draw.uniform(-3, 0)
    return {"params": params, "values": {"value": draw.random() + 0.2 * params["scale"]}}


def wild_values(call: Call) -> str:
    """1e308, NaN and infinities among values near 0.9."""
    metrics = [{"name": "value", "direction": "maximize"}]
    study_id = create(call, "wild values", box(2), metrics=metrics)
    wild: list[Any] = [{"values": {"value": 1e308}}, {"values": {"value": -1e308}}]
    for word in ("NaN", "Infinity", "-Infinity"):
        points = [{"step": 1, "values": {"value": 0.9}}, {"step": 2, "values": {"value": word}}]
        failure = {"kind": "nan", "message": f"value is {word}"}
        wild.append({"state": "failed", "failure": failure, "measurements": points})
    usual = [{"values": {"value": 0.88 + 0.002 * k}} for k in range(20)]
    trials = [*usual[:10], *wild, *usual[10:]]
    bring(
        call, study_id, ({"params": {"x0": k / 30, "x1": 0.5}, **t} for k, t in enumerate(trials))
    )
    return study_id


def hostile_name(call: Call) -> str:
    """A name that must stay text."""
    study_id = create(call, HOSTILE, box(2), labels={"<b>team</b>": "<script>alert(1)</script>"})
    bring(call, study_id, finished(5, 2, 2))
    return study_id


def maximised(call: Call) -> str:
    """The twin of `minimised`: the same trials with their values negated."""
    return _twin(call, "maximised", -1.0)


def minimised(call: Call) -> str:
    """The twin of `maximised`."""
    return _twin(call, "minimised", 1.0)


def _twin(call: Call, name: str, sign: float) -> str:
    direction = "minimize" if sign > 0 else "maximize"
    study_id = create(call, name, box(3), metrics=[{"name": "value", "direction": direction}])
    trials = list(finished(40, 3, 0, seed=9))
    for trial in trials:
        trial["values"] = {"value": sign * trial["values"]["value"]}
    bring(call, study_id, trials)
    return study_id


def several_workers(call: Call) -> str:
    """Two workers with two slots each, which one of them names; attempts that failed, were
    released, went on elsewhere.
    """
    study_id = create(
        call,
        "several workers",
        box(2),
        objective={"name": "seeded", "options": {}},
        failure_policy={"max_attempts": 3, "backoff_s": 0},
        limits={"max_trials": 12},
    )
    workers = [_register(call, name) for name in ("gpu-a", "gpu-b")]
    for k in range(6):
        for lease in _claim(call, workers[k % 2], [1, 0] if k % 2 else None):
            _attempt(call, lease, k)
    for lease in _claim(call, workers[0]):
        report(call, _held(lease), [(1, {"value": 0.5})])
    return study_id


def _register(call: Call, name: str) -> str:
    gib = 2**30
    device = {"index": 0, "kind": "gpu", "model": "H200", "memory_total_bytes": 139 * gib,
              "memory_free_bytes": 78 * gib}  # fmt: skip
    body = {"name": name, "boot_id": "1", "devices": [device], "objectives": ["seeded"], "slots": 2}
    return str(call("POST", "/v1/workers", body)["id"])


def _claim(call: Call, worker_id: str, slots: list[int] | None = None) -> list[Any]:
    body = {"worker_id": worker_id, "max_leases": 2, "wait_s": 5, "slots": slots or []}
    leases: list[Any] = call("POST", "/v1/leases:claim", body)["leases"]
    return leases


def _held(lease: Any) -> dict[str, Any]:
    return {"id": lease["trial"]["id"], "lease_id": lease["lease_id"]}


def _attempt(call: Call, lease: Any, k: int) -> None:
    trial = _held(lease)
    report(call, trial, [(1, {"value": 1.0}), (2, {"value": 0.6})])
    if k == 1:
        fail(call, trial, "user_error", "the data cannot be read: connection reset")
    elif k == 2:
        call("POST", f"/v1/leases/{trial['lease_id']}:release", {"reason": "preempted"})
    else:
        complete(call, trial, value=0.5 + 0.01 * lease["trial"]["number"])


STUDIES: Mapping[str, Callable[[Call], str]] = {
    made.__name__: made
    for made in (
        ordinary,
        two_metrics,
        all_failed,
        no_trial,
        one_trial,
        one_parameter,
        fifty_parameters,
        conditional,
        wild_values,
        hostile_name,
        maximised,
        minimised,
        several_workers,
    )
}
"""What makes each study, by name; calls the API and returns the study's id."""


def seed(call: Call, names: Iterable[str] = STUDIES) -> dict[str, str]:
    """Makes studies; their ids by name."""
    return {name: STUDIES[name](call) for name in names}


def large(call: Call, n: int, *, dims: int = 8, steps: int = 0) -> str:
    """A running study of `n` finished trials with `steps` reports each; returns its id."""
    study_id = create(call, f"{n} trials", box(dims), limits={"max_trials": 2 * n})
    bring(call, study_id, finished(n, dims, steps))
    return study_id
