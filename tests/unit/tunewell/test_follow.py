"""Following a study, against a fake service."""

from typing import Any

import pytest

from tunewell.errors import ApiError, TunewellError
from tunewell.follow import follow
from tunewell.models import Study, Trial
from tunewell.reporters import Quiet

from .fake_service import FakeService, event, stream, study, trial

STUDY, TRIALS = "GET /v1/studies/st_1", "GET /v1/studies/st_1/trials"
EVENTS = "GET /v1/studies/st_1/events"
TICK = {"study_id": "st_1", "change_seq": 1}


class Notes(Quiet):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.trials: list[tuple[int, str]] = []
        self.ended: tuple[str, list[int]] | None = None
        self.n_progress = 0
        self.rungs: list[tuple[str, int, int | None]] = []
        self.retries: list[tuple[int, int]] = []

    def trial(self, trial: Trial, study: Study) -> None:
        self.trials.append((trial.number, trial.state))

    def paused(self, trial: Trial) -> None:
        self.rungs.append(("paused", trial.number, trial.to_step))

    def promoted(self, trial: Trial) -> None:
        self.rungs.append(("promoted", trial.number, trial.to_step))

    def retried(self, trial: Trial, study: Study) -> None:
        self.retries.append((trial.number, trial.n_attempts))

    def progress(self, study: Study) -> None:
        self.n_progress += 1

    def end(self, study: Study, best: Any) -> None:
        self.ended = (study.state, [each.number for each in best])


def page(*trials: dict[str, Any]) -> dict[str, Any]:
    return {"trials": list(trials), "next_page_token": None, "change_seq": 9}


def done(**changes: Any) -> dict[str, Any]:
    return study(state="completed", change_seq=9, best=trial(2), **changes)


def followed(service: FakeService, **given: Any) -> Notes:
    notes = Notes()
    follow(service.client(), "st_1", notes, **given)
    return notes


def test_a_study_that_has_ended_is_shown_without_waiting_for_events() -> None:
    service = FakeService({STUDY: done(), TRIALS: page(trial(1), trial(2))})
    notes = followed(service)
    assert notes.trials == [(1, "completed"), (2, "completed")]
    assert notes.ended == ("completed", [2])
    assert EVENTS not in service.sent()


def test_each_trial_is_shown_once_when_it_ends() -> None:
    service = FakeService({EVENTS: stream(event(5, "trial.state"), event(9, "study.state"))})
    service.on(STUDY, study(), study(), study(change_seq=5), done())
    service.on(TRIALS, page(), page(trial(2)), page(trial(1), trial(2)))
    assert followed(service).trials == [(2, "completed"), (1, "completed")]
    asked = [r.url.params.get("changed_since") for r in service.requests if "trials" in r.url.path]
    assert asked == ["0", "1", "5"]


def test_trials_are_shown_in_the_order_in_which_they_ended() -> None:
    first = trial(2, ended_at="2026-11-23T20:00:01.000000Z")
    second = trial(1, ended_at="2026-11-23T20:00:02.000000Z")
    service = FakeService({STUDY: done(), TRIALS: page(second, first)})
    assert [number for number, _ in followed(service).trials] == [2, 1]


def test_a_trial_that_is_run_again_is_shown_again() -> None:
    failure = {"kind": "oom", "message": "", "traceback": ""}
    failed = trial(1, state="failed", failure=failure)
    again = trial(1, ended_at="2026-11-23T20:09:00.000000Z")
    service = FakeService({EVENTS: stream(event(9, "study.state"))})
    service.on(STUDY, study(), study(), done())
    service.on(TRIALS, page(failed), page(again))
    assert followed(service).trials == [(1, "failed"), (1, "completed")]


def test_trials_that_go_on_are_not_shown() -> None:
    going = [trial(n, state=s, ended_at=None) for n, s in ((1, "running"), (3, "pending"))]
    service = FakeService({STUDY: done(), TRIALS: page(*going)})
    assert followed(service).trials == []


def at_rung(state: str, *steps: int, to_step: int | None) -> dict[str, Any]:
    rungs = [{"step": step, "value": 0.9} for step in steps]
    return trial(1, state=state, ended_at=None, rungs=rungs, to_step=to_step)


def test_pauses_and_promotions_are_shown_once_each() -> None:
    seen = [
        at_rung("running", to_step=1),
        at_rung("paused", 1, to_step=1),
        at_rung("paused", 1, to_step=1),
        at_rung("pending", 1, to_step=3),
        at_rung("running", 1, to_step=3),
        at_rung("running", 1, 3, to_step=9),
        trial(1, to_step=9),
    ]
    events = [event(seq, "trial.state") for seq in range(2, 8)]
    service = FakeService({EVENTS: stream(*events, event(9, "study.state"))})
    service.on(STUDY, study(), *(study(change_seq=seq) for seq in range(1, 7)), done())
    service.on(TRIALS, *(page(each) for each in seen), page())
    notes = followed(service)
    assert notes.rungs == [("paused", 1, 1), ("promoted", 1, 3), ("promoted", 1, 9)]
    assert notes.trials == [(1, "completed")]


def test_a_burst_of_events_is_read_once() -> None:
    burst = [event(seq, "trial.state") for seq in range(2, 9)]
    service = FakeService({EVENTS: stream(*burst, event(9, "study.state"))})
    service.on(STUDY, study(), study(), study(change_seq=8), done())
    service.on(TRIALS, page())
    followed(service)
    assert service.sent().count(STUDY) == 4


def test_measurements_are_no_reason_to_read_again() -> None:
    events = [event(5, "trial.measurement"), event(6, "trial.measurement")]
    service = FakeService({EVENTS: stream(*events, event(9, "study.state"))})
    service.on(STUDY, study(), study(), done())
    service.on(TRIALS, page())
    followed(service)
    assert service.sent().count(STUDY) == 3


def test_a_cursor_that_is_too_old_has_the_study_read_anew() -> None:
    reset = {"kind": "reset", "study_id": "st_1", "change_seq": 9}
    service = FakeService({EVENTS: stream(reset)})
    service.on(STUDY, study(), study(), done())
    service.on(TRIALS, page(), page(trial(2)))
    assert followed(service).trials == [(2, "completed")]


def test_the_check_is_made_first_and_at_each_tick() -> None:
    service = FakeService({STUDY: study(), TRIALS: page()})
    service.on(EVENTS, stream(TICK, TICK, TICK))
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise TunewellError("the worker has ended")

    with pytest.raises(TunewellError, match="the worker has ended"):
        followed(service, check=check)


def test_a_study_that_is_deleted_meanwhile_is_an_error() -> None:
    service = FakeService({EVENTS: stream(event(5, "study.state", deleted=True)), TRIALS: page()})
    gone = ApiError(404, {"code": "not-found"})
    service.on(STUDY, study(), study(), gone)
    with pytest.raises(ApiError):
        followed(service)


def test_several_objectives_end_with_the_front() -> None:
    metrics = [{"name": n, "direction": "minimize", "role": "objective"} for n in ("a", "b")]
    definition = {**study()["definition"], "metrics": metrics}
    ended = study(state="completed", definition=definition)
    front = {"trials": [trial(1), trial(2)]}
    service = FakeService({STUDY: ended, TRIALS: page(), "GET /v1/studies/st_1/best": front})
    assert followed(service).ended == ("completed", [1, 2])


def test_a_study_without_a_completed_trial_ends_without_a_best() -> None:
    service = FakeService({STUDY: study(state="cancelled"), TRIALS: page()})
    assert followed(service).ended == ("cancelled", [])


def test_following_outlasts_a_restart_of_the_service() -> None:
    client = FakeService({STUDY: done(), TRIALS: page()}).client(retry_s=3)
    follow(client, "st_1", Notes())
    assert client.retry_s >= 60


def paused(**changes: Any) -> dict[str, Any]:
    why = {"pause_reason": "failures", "pause_detail": "the first 5 trials all failed"}
    return study(**{"state": "paused", "change_seq": 9, **why, **changes})


def test_a_study_that_pauses_itself_is_followed_no_longer() -> None:
    failed = trial(5, state="failed")
    service = FakeService({EVENTS: stream(event(9, "study.state"))})
    service.on(STUDY, study(), study(), paused())
    service.on(TRIALS, page(), page(failed))
    notes = followed(service)
    assert notes.trials == [(5, "failed")]
    assert notes.ended == ("paused", [])


def test_one_that_has_paused_itself_is_not_waited_for() -> None:
    service = FakeService({STUDY: paused(), TRIALS: page()})
    assert followed(service).ended == ("paused", [])
    assert EVENTS not in service.sent()


def test_one_that_a_person_paused_is_followed_on() -> None:
    by_person = paused(pause_reason="user", pause_detail=None, change_seq=5)
    service = FakeService({EVENTS: stream(event(5, "study.state"), event(9, "study.state"))})
    service.on(STUDY, study(), study(), by_person, done())
    service.on(TRIALS, page())
    assert followed(service).ended == ("completed", [2])


def test_an_attempt_that_failed_is_shown_once_when_the_trial_is_tried_again() -> None:
    failure = {"kind": "oom", "message": "no room", "traceback": ""}
    again = trial(1, state="pending", values={}, failure=failure, n_attempts=1, ended_at=None)
    started, twice = {**again, "state": "running"}, {**again, "n_attempts": 2}
    service = FakeService(
        {
            STUDY: [study(), study(), study(change_seq=2), study(change_seq=3), done()],
            TRIALS: [page(again), page(started), page(twice), page(trial(1))],
            EVENTS: stream(*(event(seq, "trial.state") for seq in (2, 3, 9))),
        }
    )
    notes = followed(service)
    assert notes.retries == [(1, 1), (1, 2)]
    assert notes.trials == [(1, "completed")]


def test_following_ends_when_the_study_has_come_far_enough() -> None:
    service = FakeService({STUDY: study(best=trial(2)), TRIALS: page(trial(2))})
    notes = followed(service, until=lambda found: found.best is not None)
    assert notes.ended == ("active", [2])
    assert EVENTS not in service.sent()
