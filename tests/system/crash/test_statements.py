"""A step is told by what its transaction writes."""

from __future__ import annotations

import pytest

from .plan import Step
from .statements import note_trigger, steps_of

_MOVE = "UPDATE studies SET state=:state, stop_reason=:stop_reason WHERE studies.id = :b_id"


@pytest.mark.parametrize(
    ("text", "parameters", "step"),
    [
        (_MOVE, {"state": "stopping", "stop_reason": "user"}, Step.STOP),
        (_MOVE, {"state": "completed", "stop_reason": "user"}, Step.STOP),
        (_MOVE, {"state": "completed", "stop_reason": "max_trials"}, None),
        ("INSERT INTO checkpoints (id) VALUES (:id)", {"id": "ck_1"}, Step.ANNOUNCE),
        ("UPDATE checkpoints SET state=:state", {"state": "committed"}, Step.COMMIT),
        ("UPDATE checkpoints SET state=:state", {"state": "deleted"}, None),
        ("UPDATE leases SET renewed_at=:now", {}, Step.HEARTBEAT),
        ("UPDATE leases SET outcome=:outcome", {"outcome": "expired"}, Step.SWEEP),
    ],
)
def test_a_step_is_told_by_its_write(text: str, parameters: dict[str, str], step: Step) -> None:
    assert steps_of([(text, parameters)]) == ({step} if step else set())


def test_the_writes_of_a_trigger_are_told_by_the_insert_into_its_view() -> None:
    note_trigger(
        "CREATE TEMP TRIGGER IF NOT EXISTS writes_7_do INSTEAD OF INSERT ON writes_7 BEGIN "
        "UPDATE leases SET ended_at=NEW.p0, outcome=NEW.p1 WHERE leases.id = NEW.p2; "
        "SELECT RAISE(ABORT, 'missed') WHERE changes() <> 1; "
        "INSERT INTO measurements (trial_id) VALUES (NEW.p3); END"
    )
    written = ("INSERT INTO writes_7 VALUES (?, ?, ?, ?)", (5, "failed", "ls_1", "completed"))
    assert steps_of([written]) == {Step.FAIL, Step.REPORT}
