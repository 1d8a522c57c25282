"""Pages from the kept table against those that the database gives: the same trials, the same
tokens, on both databases.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from app.domain.selection import ChoicesFilter, RangeFilter, Selection
from app.domain.trial import TrialState
from app.errors import InvalidInput
from app.service.services import Services
from app.store import trial_lists
from app.store.page import Page
from app.store.trial_lists import TrialFilter

from .conftest import Bench, definition

pytestmark = pytest.mark.anyio

SPACE = [
    {"name": "lr", "type": "float", "low": 1e-4, "high": 1, "log": True},
    {"name": "kind", "type": "categorical", "choices": ["b", "a", "é", 1, True, False, 2.5]},
    {"name": "depth", "type": "int", "low": 1, "high": 4, "when": {"param": "kind", "in": ["a"]}},
]
ORDERS = ["number", "value", "param:lr", "param:kind", "param:depth"]
PICKS = [
    Selection(),
    Selection(params={"lr": RangeFilter(low=0.1)}),
    Selection(params={"kind": ChoicesFilter(choices=("a", 1, "é", "zz"))}),
    Selection(params={"kind": ChoicesFilter(choices=(True,)), "lr": RangeFilter(high=0.5)}),
    Selection(value=RangeFilter(low=2.0, high=4.0)),
    Selection(number=RangeFilter(low=3, high=15), states=(TrialState.COMPLETED,)),
]


def several(services: Services, bench: Bench) -> str:
    """A study with values that repeat, some missing, and choices of three kinds."""
    study_id = bench.study(definition(space=SPACE))
    choices = itertools.cycle(["b", "a", 1, True, "é", False, 2.5])
    items: list[dict[str, Any]] = []
    for k in range(21):
        params = {"lr": [0.5, 0.1, 0.02][k % 3], "kind": next(choices)}
        if params["kind"] == "a":
            params["depth"] = 1 + k % 2
        item: dict[str, Any] = {"params": params}
        if k % 4:
            item["values"] = {"value": float(k % 5)}
        items.append(item)
    services.trials.enqueue(study_id, items)
    return study_id


def pages(services: Services, study_id: str, by_table: bool, **asked: Any) -> list[Page[Any]]:
    found: list[Page[Any]] = []
    token = None
    while not found or token is not None:
        if by_table:
            page = services.trials.page(
                study_id, asked["filters"], asked["order_by"], asked["size"], token
            ).page
        else:
            given = {**asked, "token": token}
            page = services.store.read(
                lambda conn, given=given: trial_lists.page(conn, study_id, **given)
            )
        found.append(page)
        token = page.next_page_token
    return found


async def test_the_table_and_the_database_give_the_same_pages(
    services: Services, bench: Bench
) -> None:
    study_id = several(services, bench)
    for order, sign, where in itertools.product(ORDERS, ("", "-"), PICKS):
        asked = {"filters": TrialFilter(where=where), "order_by": sign + order, "size": 4}
        of_table = pages(services, study_id, True, **asked)
        of_database = pages(services, study_id, False, **asked)
        assert [[trial.number for trial in page.items] for page in of_table] == [
            [trial.number for trial in page.items] for page in of_database
        ], asked
        assert [page.next_page_token for page in of_table] == [
            page.next_page_token for page in of_database
        ], asked


async def test_a_page_goes_on_after_what_has_changed_since(
    services: Services, bench: Bench
) -> None:
    study_id = several(services, bench)
    every = TrialFilter()
    first = services.trials.page(study_id, every, "param:kind", 12, None).page
    fresh = [{"params": {"lr": 0.3, "kind": kind}} for kind in ("é", "b", 1)]
    services.trials.enqueue(study_id, fresh)
    token = first.next_page_token
    rest = services.trials.page(study_id, every, "param:kind", 1000, token).page
    last = first.items[-1]
    assert [trial.number for trial in rest.items][-2:] == [19, 22]  # both are "é"
    assert last.number not in {trial.number for trial in rest.items}


async def test_a_token_of_other_filters_is_refused(services: Services, bench: Bench) -> None:
    study_id = several(services, bench)
    token = services.trials.page(study_id, TrialFilter(), "param:lr", 4, None).page.next_page_token
    picked = TrialFilter(where=PICKS[1])
    with pytest.raises(InvalidInput, match="other filters"):
        services.trials.page(study_id, picked, "param:lr", 4, token)
