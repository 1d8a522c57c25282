"""What the live screen shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tunewell.board import Board, Standing
from tunewell.models import Study, Trial, read
from tunewell.terminal import cells
from tunewell.watching import head_lines, view_lines

from .fake_service import FakeService, study, trial

NOW = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
FAILURE = {"kind": "oom", "message": "no room\x1b[2J left", "traceback": ""}
RUNNING = trial(44, state="running", values={}, started_at=NOW, ended_at=None)
FAILED = trial(9, state="failed", values={}, failure=FAILURE, ended_at=NOW)
STUDY = study(
    name="a-very-long-name-" * 8,
    best=trial(33, ended_at=NOW),
    trial_counts={"completed": 41, "running": 1, "failed": 1},
    definition={**study()["definition"], "limits": {"max_trials": 50},
                "early_stopping": {"name": "asha", "options": {"max_resource": 3}}},
)  # fmt: skip


def standing(**changes: object) -> Standing:
    known = {
        "study": read(Study, STUDY),
        "trend": [(1, 0.5), (33, 0.9465)],
        "rate_per_h": 31.0,
        "left_s": 1020.0,
        "running": [read(Trial, RUNNING)],
        "failed": [read(Trial, FAILED)],
        "latest": [read(Trial, RUNNING), read(Trial, trial(43))],
        "steps": {"tr_44": (2, 0.951)},
        "workers": {"wk_1": "gpu-a"},
        "last_number": 41,
        **changes,
    }
    return Standing(**known)  # type: ignore[arg-type]


def test_the_head_says_where_the_study_stands() -> None:
    first, second, third, *_ = head_lines(standing(), 120)
    assert first.endswith("  active  41/50  1 running  31/h  ~17 min left  seq 1  * live")
    assert second == "best  0.9465 accuracy  ▁█  (#33, 2 h ago; 8 trials since)"
    assert third.split() == ["learning_rate=0.0061", "batch_size=24"]
    assert head_lines(standing(), 120, "  ! refused, trying again")[0].endswith("trying again")


def test_running_trials_and_failures_are_shown() -> None:
    shown = "\n".join(view_lines(standing(), "", 120))
    assert "#44  gpu-a  step 2/3  0.9510  for 2 h" in shown
    assert "failures  1: 1 oom; last #9, 2 h ago: no room\ufffd[2J left" in shown
    assert "#9   failed    oom" in "\n".join(view_lines(standing(), "failures", 120))
    assert "#43  completed 0.9465" in "\n".join(view_lines(standing(), "trials", 120))
    assert "q  quit watching" in "\n".join(view_lines(standing(), "keys", 120))


@pytest.mark.parametrize("view", ["", "failures", "trials", "keys"])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_screen(view: str, width: int) -> None:
    lines = view_lines(standing(), view, width)
    lines += head_lines(standing(), width) if width >= 80 else []
    assert max(map(cells, lines)) <= width


def test_a_study_without_anything_says_so() -> None:
    empty = Standing(study=read(Study, study()))
    assert head_lines(empty, 80)[1] == "best  none yet"
    assert view_lines(empty, "", 80) == ["", "running  nothing now", "", "failures  none"]
    assert view_lines(empty, "failures", 80) == ["", "no trial has failed"]


def test_the_board_reads_all_that_the_screen_shows() -> None:
    summary = {
        "rate_per_h": 31.0,
        "time_left_s": 60.0,
        "trend": [[33, 0.9465]],
        "last_failures": [],
    }
    detail = {**RUNNING, "attempts": []}
    detail["measurements"] = {"count": 2, "last_step": 2, "last_values": {"accuracy": 0.951}}
    service = FakeService(
        {
            "GET /v1/studies/st_1": STUDY,
            "GET /v1/studies/st_1/trials": {"trials": [RUNNING], "next_page_token": None},
            "GET /v1/studies": {"studies": [{**STUDY, "summary": summary}]},
            "GET /v1/trials/tr_44": detail,
            "GET /v1/workers": {"workers": [{"id": "wk_1", "name": "gpu-a"}]},
        }
    )
    board = Board(service.client(), read(Study, STUDY))
    found = board._read()
    assert (found.rate_per_h, found.left_s, found.last_number) == (31.0, 60.0, 44)
    assert found.steps == {"tr_44": (2, 0.951)}
    assert found.workers == {"wk_1": "gpu-a"}
    asked = [r.url.params.get("state") for r in service.requests if r.url.path.endswith("/trials")]
    assert asked == ["running", None, "failed"]
