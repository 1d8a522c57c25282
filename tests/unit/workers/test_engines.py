"""Which engine a worker gets, what a trial needs of it, and what is said when it cannot be had."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from workers import main
from workers.engines.ray import devices_of, needs_of


def said(capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    """What a worker says that cannot start."""
    status = main.run(url="http://127.0.0.1:1", json_lines=True, **options)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status, line["event"]) == (2, "worker_cannot_start")
    return str(line["detail"])


def test_without_ray_the_engine_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "workers.engines.ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'tunewell[worker,ray]'" in said(capsys, engine="ray")


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"engine": "ray", "address": "127.0.0.1:1"}, "there is no Ray cluster at 127.0.0.1:1"),
        ({"engine": "ray", "address": "127.0.0.1:99999"}, "there is no Ray cluster at"),
        ({"engine": "ray", "address": "head"}, "--address is host:port of the cluster's head"),
        ({"engine": "ray", "address": "ray://head:10001"}, "on one of its nodes"),
        ({"address": "head:6379"}, "it goes with --engine ray"),
        ({"engine": "abacus"}, "there are local and ray"),
        ({"engine": "ray", "fuse": "4"}, "leave it out with --engine ray"),
        ({"fuse": "many"}, "--fuse is auto, off or a number from 1 to 256, not 'many'"),
        ({"fuse": "0"}, "--fuse is auto, off or a number from 1 to 256, not '0'"),
    ],
)
def test_an_engine_that_cannot_be_had_says_why(
    capsys: pytest.CaptureFixture[str], options: dict[str, Any], detail: str
) -> None:
    assert detail in said(capsys, **options)


@pytest.mark.parametrize(
    ("resources", "needs"),
    [
        ({}, (1.0, 0.0)),
        ({"cpu": 0.5, "gpu": 0.25, "gpu_memory_bytes": 0}, (0.5, 0.25)),
        ({"cpu": 1.5, "gpu": 1.5, "gpu_memory_bytes": 0}, (2.0, 2.0)),
        ({"cpu": 1.0, "gpu": 0.0, "gpu_memory_bytes": 1}, (1.0, 1.0)),
        ({"cpu": 0.0, "gpu": 0.0, "gpu_memory_bytes": 0}, (0.0, 0.0)),
    ],
)
def test_a_trials_resources_are_said_as_ray_takes_them(
    resources: dict[str, Any], needs: tuple[float, float]
) -> None:
    assert needs_of(resources) == needs


@pytest.mark.parametrize(
    ("wanted", "n_slots", "there", "kind", "count"),
    [
        ("auto", None, {"CPU": 12.0}, "cpu", 12),
        ("auto", None, {"CPU": 12.0, "GPU": 3.0}, "gpu", 3),
        ("cpu", None, {"CPU": 12.0, "GPU": 3.0}, "cpu", 12),
        ("gpu", 8, {"CPU": 12.0}, "gpu", 8),
        ("auto", None, {}, "cpu", 1),
        ("auto", None, {"CPU": 5000.0}, "cpu", 256),
    ],
)
def test_the_devices_are_those_of_all_nodes_or_those_that_are_to_come(
    wanted: str, n_slots: int | None, there: dict[str, float], kind: str, count: int
) -> None:
    found = devices_of(wanted, n_slots, there)
    assert {device.kind for device in found} == {kind}
    assert [device.index for device in found] == list(range(count))
