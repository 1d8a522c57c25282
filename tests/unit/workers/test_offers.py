"""The schemas that the workers register and those that the service checks studies by are the
same.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from app.domain.objectives import BUILT_IN as KNOWN_TO_THE_SERVICE
from app.domain.worker import ObjectiveOffer
from workers.log import Log
from workers.objectives import data
from workers.objectives.offers import BUILT_IN
from workers.offers import CannotOffer, Offers


def test_both_sides_know_the_same_objectives() -> None:
    assert set(BUILT_IN) == set(KNOWN_TO_THE_SERVICE)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_built_in_objective_is_described_alike_on_both_sides(name: str) -> None:
    ours: dict[str, Any] = {"checkpoints": False, **BUILT_IN[name].offer}
    assert asdict(ObjectiveOffer(**ours)) == asdict(KNOWN_TO_THE_SERVICE[name])


def test_the_data_at_hand_are_offered() -> None:
    offered = {offer["name"]: offer for offer in Offers([], Log()).as_registered()}
    assert offered["mnist-mlp"]["data"] == [data.described(data.MNIST_5K)]
    assert offered["random-forest"]["data"] == [data.described(data.CALIFORNIA)]
    assert offered["function"]["data"] == []


def test_an_objective_whose_imports_are_missing_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.objectives.offers.importlib.util.find_spec", lambda name: None)
    assert [offer["name"] for offer in Offers([], Log()).as_registered()] == ["function"]
    with pytest.raises(CannotOffer, match="torch"):
        Offers(["mnist-mlp"], Log())


OWN = """
{first}
import tunewell

@tunewell.objective(name="own", metrics={{"value": "minimize"}})
def own(trial):
    return 0.0

again = own
"""


@pytest.mark.parametrize(
    "first",
    [
        "import atexit; atexit.register(print, 'bye')",
        "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
        "import os; os.write(1, b'caf\\xe9\\n')",
    ],
)
def test_a_module_is_offered_whatever_it_prints_and_leaves_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    (tmp_path / "odd_module.py").write_text(OWN.format(first=first))
    monkeypatch.chdir(tmp_path)
    offered = {offer["name"]: offer for offer in Offers(["odd_module:own"], Log()).as_registered()}
    assert offered["own"]["metrics"] == {"value": "minimize"}


def test_two_objectives_of_one_name_keep_a_worker_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "same_names.py").write_text(OWN.format(first=""))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotOffer, match="'own' is offered twice"):
        Offers(["same_names:own", "same_names:again"], Log())
