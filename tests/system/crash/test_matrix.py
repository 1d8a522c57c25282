from pathlib import Path
import pytest
from .plan import *
from .world import World, definition
from .checker import faults
from .service_faults import play

@pytest.mark.parametrize("action", [Action.KILL, Action.LOSE_REPLY, Action.TWICE])
@pytest.mark.parametrize("step", list(Step))
def test_cell(step, action, migrated_url: str, tmp_path: Path) -> None:
    world = World(migrated_url, tmp_path)
    point = Point.BEFORE_COMMIT if action is Action.KILL else Point.REQUEST
    try:
        study_id = play(world, Plan(step=step, point=point, action=action))
        assert faults(world.database_url, study_id, world.record) == []
    finally:
        world.close()
