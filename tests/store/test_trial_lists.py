"""Lists of trials: keyset pages in every order, filters, the delta, the best."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.selection import ChoicesFilter, RangeFilter, Selection
from app.domain.study import Study
from app.domain.trial import Trial, TrialSource, TrialState
from app.errors import InvalidInput
from app.store import studies, trial_lists, trials
from app.store.engine import Store
from app.store.page import Page
from app.store.trials import Finished, TrialFilter

from . import making

EVERY = TrialFilter()
VALUES = [0.5, None, 2.0, -1.0, None, 0.5, 1e-300]
MIXED: list[Any] = [True, 3, "b", 0.5, None, "B", False, 3.0, "é", 10]


def page(store: Store, study_id: str, **given: Any) -> Page[Trial]:
    wanted = {"filters": EVERY, "size": 1000, **given}
    return store.read(lambda conn: trials.page(conn, study_id, **wanted))


def numbers(store: Store, study_id: str, **given: Any) -> list[int]:
    """Numbers of all trials in order, read page by page."""
    found, token = [], None
    while True:
        got = page(store, study_id, token=token, **given)
        found += [one.number for one in got.items]
        token = got.next_page_token
        if token is None:
            return found


@pytest.fixture
def valued(store: Store) -> Study:
    """A study whose trials have VALUES."""
    made = making.study(store)
    for value in VALUES:
        making.finished(store, made.id, value)
    return made


@pytest.fixture
def mixed(store: Store) -> Study:
    """A study whose trials have MIXED for a parameter with an odd name, 2 of them on the way."""
    made = making.study(store)
    for value in MIXED:
        params = {"x": 0.5} if value is None else {'a."b"[0]': value}
        making.trial(store, made.id, params=params)
    return made


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("order_by", "wanted"),
    [
        ("number", [1, 2, 3, 4, 5, 6, 7]),
        ("-number", [7, 6, 5, 4, 3, 2, 1]),
        ("created_at", [1, 2, 3, 4, 5, 6, 7]),
        ("-created_at", [7, 6, 5, 4, 3, 2, 1]),
        ("value", [4, 7, 1, 6, 3, 2, 5]),
        ("-value", [3, 6, 1, 7, 4, 5, 2]),
    ],
)
def test_every_order_gives_each_trial_once_with_missing_values_last(
    store: Store, valued: Study, order_by: str, wanted: list[int], size: int
) -> None:
    assert numbers(store, valued.id, order_by=order_by, size=size) == wanted


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("order_by", "wanted"),
    [
        ('param:a."b"[0]', [7, 1, 4, 2, 8, 10, 6, 3, 9, 5]),
        ('-param:a."b"[0]', [9, 3, 6, 10, 8, 2, 4, 1, 7, 5]),
        ("param:unknown", list(range(1, 11))),
        ("-param:unknown", list(range(10, 0, -1))),
    ],
)
def test_trials_are_ordered_by_a_parameter_of_any_name_and_kind(
    store: Store, mixed: Study, order_by: str, wanted: list[int], size: int
) -> None:
    assert numbers(store, mixed.id, order_by=order_by, size=size) == wanted


def test_trials_are_picked_by_ranges_and_choices(store: Store, mixed: Study) -> None:
    def picked(rule: RangeFilter | ChoicesFilter) -> list[int]:
        chosen = TrialFilter(where=Selection(params={'a."b"[0]': rule}))
        return numbers(store, mixed.id, filters=chosen, size=2)

    assert picked(RangeFilter(low=0.5, high=3)) == [2, 4, 8]
    assert picked(RangeFilter(low=4)) == [10]
    assert picked(RangeFilter()) == [2, 4, 8, 10]
    assert picked(ChoicesFilter(choices=(1, "b"))) == [3]
    assert picked(ChoicesFilter(choices=(True, 3, "é"))) == [1, 2, 8, 9]
    assert picked(ChoicesFilter(choices=())) == []
    both = TrialFilter(where=Selection(params={'a."b"[0]': RangeFilter(), "x": RangeFilter()}))
    assert numbers(store, mixed.id, filters=both) == []


def test_trials_are_read_by_their_numbers(store: Store, valued: Study) -> None:
    found = store.read(lambda conn: trial_lists.by_numbers(conn, valued.id, [3, 99, 1]))
    assert [trial.number for trial in found] == [3, 1]


def test_trials_are_picked_by_state_and_by_change(store: Store) -> None:
    made = making.study(store)
    one, _ = making.running(store, made.id)
    making.trial(store, made.id)
    seq = making.present(store, made.id).change_seq
    making.move(store, one, TrialState.COMPLETED)
    pending = TrialFilter(states=(TrialState.PENDING, TrialState.PAUSED))
    assert numbers(store, made.id, filters=pending) == [2]
    assert numbers(store, made.id, filters=TrialFilter(changed_since=seq)) == [1]
    assert numbers(store, made.id, filters=TrialFilter(changed_since=2**80)) == []
    assert numbers(store, "st_0") == []


def test_a_token_belongs_to_its_study_filters_and_order(store: Store, valued: Study) -> None:
    token = page(store, valued.id, size=2).next_page_token
    other = making.study(store, "other")
    changed: list[tuple[str, dict[str, Any]]] = [
        (valued.id, {"order_by": "-number"}),
        (valued.id, {"filters": TrialFilter(states=(TrialState.COMPLETED,))}),
        (valued.id, {"filters": TrialFilter(where=Selection(params={"x": RangeFilter(low=0)}))}),
        (valued.id, {"filters": TrialFilter(changed_since=0)}),
        (other.id, {}),
    ]
    for study_id, given in changed:
        with pytest.raises(InvalidInput) as refused:
            page(store, study_id, size=2, token=token, **given)
        assert refused.value.faults[0].pointer == "/page_token"
    assert [one.number for one in page(store, valued.id, size=9, token=token).items] == [
        3,
        4,
        5,
        6,
        7,
    ]


def test_an_unknown_order_is_refused(store: Store, valued: Study) -> None:
    for order_by in ("", "-", "name", "--number", "param"):
        with pytest.raises(InvalidInput) as refused:
            page(store, valued.id, order_by=order_by)
        assert refused.value.faults[0].pointer == "/order_by"


def test_a_page_has_a_thousand_trials_at_most_and_one_at_least(store: Store) -> None:
    made = making.study(store)
    given: dict[str, Any] = {"params": {"x": 0.5}, "source": TrialSource.USER}

    def fill(tx: Any) -> None:
        locked = studies.lock(tx, made.id)
        for _ in range(1002):
            trials.insert(locked, **given)

    store.write(fill)
    got = page(store, made.id, size=10**9)
    assert len(got.items) == 1000
    assert got.next_page_token is not None
    assert len(page(store, made.id, size=0).items) == 1


def test_the_delta_has_what_changed_by_number(store: Store) -> None:
    made = making.study(store)
    first, _ = making.running(store, made.id)
    making.trial(store, made.id)
    seq = making.present(store, made.id).change_seq
    making.trial(store, made.id)
    making.move(store, first, TrialState.COMPLETED, values={"loss": 1.0})
    changed = store.read(lambda conn: trials.changed_since(conn, made.id, seq))
    assert [one.number for one in changed] == [1, 3]
    assert len(store.read(lambda conn: trials.changed_since(conn, made.id, 0))) == 3


def best(store: Store, made: Study, k: int = 10) -> list[int]:
    return [one.number for one in store.read(lambda conn: trials.best(conn, made, k))]


def test_the_best_come_first_and_equal_ones_by_number(store: Store, valued: Study) -> None:
    assert best(store, valued) == [4, 7, 1, 6, 3]
    assert best(store, valued, 2) == [4, 7]
    finished = store.read(lambda conn: trials.finished_values(conn, valued.id))
    assert [(number, values) for _, number, values, _ in finished] == [
        (number, {"loss": value})
        for number, value in enumerate(VALUES, start=1)
        if value is not None
    ]


def test_a_maximised_study_has_its_largest_value_first(store: Store) -> None:
    made = making.study(store, metrics=[{"name": "loss", "direction": "maximize"}])
    for value in (1.0, 3.0, 3.0, 2.0):
        making.finished(store, made.id, value)
    assert best(store, made) == [2, 3, 4, 1]


def test_a_best_completed_or_stopped_early_and_meets_every_constraint(store: Store) -> None:
    metrics = [
        {"name": "loss", "direction": "minimize"},
        {"name": "size", "direction": "minimize", "role": "constraint", "threshold": 10.0},
    ]
    made = making.study(store, metrics=metrics)
    for state, values in (
        (TrialState.COMPLETED, {"loss": 3.0, "size": 10.0}),
        (TrialState.COMPLETED, {"loss": 1.0, "size": 11.0}),
        (TrialState.STOPPED, {"loss": 2.0, "size": 1.0}),
        (TrialState.INFEASIBLE, {"loss": 0.0, "size": 1.0}),
        (TrialState.COMPLETED, {"loss": 0.5}),
    ):
        ended = Finished(values=values)
        making.trial(store, made.id, source=TrialSource.IMPORT, state=state, ended=ended)
    assert best(store, made) == [3, 1]
    assert best(store, made, 1) == [3]
