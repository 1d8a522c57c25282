"""Sets of a study's trials."""

from __future__ import annotations

from app.domain.trial import TrialSource, TrialState
from app.store import trial_sets
from app.store.engine import Store
from app.store.trials import Finished

from . import making


def test_metrics_that_are_not_declared_are_named_once_and_in_order(store: Store) -> None:
    made, other = making.study(store), making.study(store, "other")
    for study, values in (
        (made, {"loss": 1.0, "z": 1.0, 'a"b': 2.0}),
        (made, {"loss": 2.0, "z": 3.0, "\u00e9": 1.0, "\U0001f4a5": 1.0}),
        (made, {}),
        (other, {"loss": 1.0, "elsewhere": 1.0}),
    ):
        ended = Finished(values=values)
        more = {"source": TrialSource.IMPORT, "state": TrialState.COMPLETED, "ended": ended}
        making.trial(store, study.id, **more)

    def named(limit: int) -> list[str]:
        return store.read(lambda conn: trial_sets.reported_metrics(conn, made.id, {"loss"}, limit))

    assert named(9) == ['a"b', "z", "\u00e9", "\U0001f4a5"]
    assert named(2) == ['a"b', "z"]
