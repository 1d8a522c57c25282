"""Studies: made, found, refused with the place of each fault, looked at, optimized."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from typing import Any

import pytest

import tunewell as tw
from tunewell import catalogue, handles, listed
from tunewell.exchange import Request

SPACE = [
    tw.Float("lr", 1e-4, 1e-1, log=True),
    tw.Cat("model", ["simple", "bn"]),
    tw.Float("momentum", 0.1, 0.9, when=tw.when("model", ["bn"])),
]


def parabola(trial: tw.Trial) -> float:
    return float(trial.params["x"] ** 2)


def filled(client: tw.Client, name: str) -> tw.Study:
    study = client.studies.get_or_create(
        name, SPACE, tw.minimize("value"), max_trials=12, suggester="random", seed=4
    )
    for trial in study.ask_until_done(on_error="continue"):
        with trial:
            if trial.number == 3:
                raise tw.Infeasible
            for step in (1, 2):
                trial.report(step, value=trial.params["lr"] / step)
    return study


@pytest.fixture(scope="module")
def done(client: tw.Client) -> tw.Study:
    """A study of twelve trials that has ended."""
    return filled(client, "done")


def test_the_same_definition_is_the_same_study(client: tw.Client, done: tw.Study) -> None:
    again = client.studies.get_or_create("done", SPACE, tw.minimize("value"), max_trials=99,
                                         suggester="random", seed=4)  # fmt: skip
    assert again.id == done.id == client.studies.get("done").id == client.studies.get(done.id).id
    assert [each.id for each in client.studies.list(name_prefix="done")] == [done.id]


def test_other_limits_than_those_of_the_study_are_told_with_how_to_change_them(
    client: tw.Client, done: tw.Study, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {"suggester": "random", "seed": 4, "max_trials": 12}
    client.studies.get_or_create("done", SPACE, tw.minimize("value"), **given)
    assert caplog.text == ""
    client.studies.get_or_create("done", SPACE, tw.minimize("value"), **{**given, "max_trials": 99})
    assert "study done has max_trials 12, not 99" in caplog.text
    assert "study.resume(max_trials=99)" in caplog.text


def test_a_study_that_a_limit_ended_goes_on_with_more_of_it(study: tw.Study) -> None:
    study.optimize(parabola)
    study.resume(max_trials=5)
    assert study.state == "active"
    study.resume(max_trials=6)
    study.optimize(parabola)
    assert (study.state, study.info.n_finished) == ("completed", 6)
    with pytest.raises(tw.InvalidStudy, match='did you mean "max_trials"'):
        study.resume(max_trial=7)
    with pytest.raises(tw.ApiError, match="raise that limit first"):
        study.resume()


def test_another_definition_says_where_it_differs(client: tw.Client, done: tw.Study) -> None:
    with pytest.raises(tw.DefinitionMismatch, match=r"low: is 0\.0001, given 0\.001") as bad:
        client.studies.get_or_create(
            "done", [tw.Float("lr", 1e-3, 1e-1, log=True), *SPACE[1:]], tw.minimize("value"),
            suggester="random", seed=4,
        )  # fmt: skip
    change = {"pointer": "/space/0/low", "stored": 1e-4, "given": 1e-3}
    assert bad.value.diff == [change]
    assert bad.value.request_id


def test_a_near_miss_is_named(client: tw.Client) -> None:
    space = [{"name": "x", "type": "float", "lwo": 0, "high": 1}]
    with pytest.raises(tw.InvalidStudy, match='did you mean "low"') as caught:
        client.studies.create("wrong", space, tw.minimize("value"))
    assert caught.value.errors[0]["pointer"] == "/space/0/lwo"
    with pytest.raises(
        tw.InvalidStudy, match=r'1 fault:\n  /lables: .*did you mean "labels"'
    ) as one:
        client.studies.create("wrong", SPACE, tw.minimize("value"), lables={"a": "b"})
    assert str(one.value).count("did you mean") == 1


def test_a_study_that_is_not_there_and_a_name_that_is_taken(
    client: tw.Client, done: tw.Study
) -> None:
    with pytest.raises(tw.NotFound, match="no study 'nowhere'"):
        client.studies.get("nowhere")
    with pytest.raises(tw.NotFound, match="no study 'dnoe', did you mean 'done'"):
        client.studies.get("dnoe")
    with pytest.raises(tw.ApiError, match=rf"already-exists(.|\n)*tunewell study show {done.id}$"):
        client.studies.create("done", SPACE, tw.minimize("value"))


def test_a_bad_token_and_a_role_that_may_not(client: tw.Client) -> None:
    with pytest.raises(tw.Forbidden, match="unauthenticated") as bad:
        tw.connect(client.url, "tw_wrong")
    assert bad.value.required_role is None
    reader = client.create_token("looks", "reader")["secret"]
    with (
        tw.connect(client.url, reader) as looking,
        pytest.raises(tw.Forbidden, match="a reader token may not") as may_not,
    ):
        looking.studies.create("not-mine", SPACE, tw.minimize("value"))
    assert may_not.value.required_role == "submitter"


def test_frames_have_a_column_a_parameter_and_na_for_what_is_absent(done: tw.Study) -> None:
    frame = done.trials.to_pandas()
    assert list(frame.columns[:6]) == ["number", "state", "value", "lr", "model", "momentum"]
    assert len(frame) == 12
    absent = frame["momentum"].isna()
    assert (absent == (frame["model"] == "simple")).all()
    assert frame.loc[frame["number"] == 3, "value"].isna().all()
    other = done.trials(state="infeasible").to_polars()
    assert other["number"].to_list() == [3]
    assert done.trials.to_polars()["momentum"].null_count() == int(absent.sum())


def test_a_study_is_watched_to_its_end(study: tw.Study) -> None:
    kinds: list[str] = []
    watching = study.watch()
    thread = threading.Thread(target=lambda: kinds.extend(each.kind for each in watching))
    thread.start()
    study.optimize(parabola)
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert set(kinds) <= {"trial.state", "trial.measurement", "study.best", "study.state"}


def test_a_function_is_optimized_here_with_a_bar(
    study: tw.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    study.optimize(parabola, progress=True)
    assert study.state == "completed"
    assert study.best is not None
    assert study.best.values["value"] == pytest.approx(study.best.params["x"] ** 2)
    assert "3/3 trials" in capsys.readouterr().err


@pytest.fixture
def sent(client: tw.Client, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ends of the paths that this thread calls; what is reported waits for the trial's end."""
    paths: list[str] = []

    def send(request: Request) -> Any:
        paths.append(re.split("[:/]", request.path)[-1])
        return tw.Client.send(client, request)

    monkeypatch.setattr(client, "send", send)
    monkeypatch.setattr(client.sender, "_batch_s", 600.0)
    return paths


def test_a_trial_is_ended_and_followed_by_one_call(study: tw.Study, sent: list[str]) -> None:
    def evaluate(trial: tw.Trial) -> float:
        trial.report(1, value=trial.params["x"])
        trial.report(2, value=trial.params["x"])
        return parabola(trial)

    study.optimize(evaluate)
    assert sent[:4] == ["suggest", "complete", "complete", "complete"]
    assert study.state == "completed"
    found = list(study.trials)
    assert [(each.number, each.state, each.n_attempts, each.step) for each in found] == [
        (number, "completed", 0, 2) for number in (1, 2, 3)
    ]


def test_what_is_refused_together_is_refused_where_it_is_wrong(
    study: tw.Study, sent: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def evaluate(trial: tw.Trial) -> float:
        if trial.number == 1:
            trial.report(1, **{"n" * 300: 1.0})
        return parabola(trial)

    study.optimize(evaluate)
    assert sent[:4] == ["suggest", "complete", "fail", "suggest"]
    failed = next(iter(study.trials))
    assert failed.failure is not None
    assert "names of at most 200 characters" in failed.failure.message
    assert "trial 1 failed: 422 invalid-value" in caplog.text


def test_a_loop_that_is_left_gives_the_next_trial_back(
    study: tw.Study, client: tw.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "refresh", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(parabola, progress=True)
    first, second = client.trials(study.id)
    assert (first["state"], second["state"]) == ("completed", "pending")


def test_a_function_is_optimized_in_processes(study: tw.Study) -> None:
    here = os.getpid()

    def evaluate(trial: tw.Trial) -> dict[str, float]:
        return {"value": parabola(trial), "is_here": float(os.getpid() == here)}

    study.optimize(evaluate, n_workers=2)
    assert study.state == "completed"
    assert [trial.values["is_here"] for trial in study.trials] == [0.0] * 3


def test_an_error_in_a_process_comes_out_where_it_is_to(study: tw.Study) -> None:
    def evaluate(trial: tw.Trial) -> float:
        raise ValueError("boom")

    with pytest.raises(tw.TunewellError, match=f"tunewell trial list {study.id}"):
        study.optimize(evaluate, n_workers=2, on_error="raise")


def test_an_error_here_comes_out_as_it_is(study: tw.Study) -> None:
    def evaluate(trial: tw.Trial) -> float:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        study.optimize(evaluate, on_error="raise")


def test_the_twin_has_the_same_names() -> None:
    for one, other in (
        (handles.Study, handles.AsyncStudy),
        (catalogue.Studies, catalogue.AsyncStudies),
        (listed.Trials, listed.AsyncTrials),
    ):
        names = {name.replace("__iter__", "__aiter__") for name in dir(one)}
        # Whoever copies an object leaves this note on its class.
        assert names - {"__slotnames__"} == set(dir(other)) - {"__slotnames__"}, one


def test_a_study_runs_for_asyncio_by_the_same_calls(client: tw.Client) -> None:
    async def run() -> None:
        async with await tw.aconnect(client.url, client.token) as twin:
            study = await twin.studies.get_or_create(
                "for-asyncio", [tw.Float("x", -1.0, 1.0)], tw.minimize("value"), max_trials=4,
                suggester="random",
            )  # fmt: skip
            (failing,) = await study.ask()
            with pytest.raises(ValueError, match="boom"):
                async with failing:
                    raise ValueError("boom")
            watched = asyncio.create_task(kinds_of(study))

            async def evaluate(trial: tw.Trial) -> None:
                await trial.report(1, value=parabola(trial))  # type: ignore[func-returns-value]

            await study.optimize(evaluate, n_workers=2)
            best = await study.best
            assert best is not None
            assert best.values["value"] == min(
                [each.values["value"] async for each in study.trials]
            )
            assert len(await study.trials.to_pandas()) == 4
            assert "study.state" in await asyncio.wait_for(watched, 60)
            with pytest.raises(tw.NotFound):
                await twin.studies.get("nowhere")
            assert (await study.refresh()).state == "completed"

    asyncio.run(run())


async def kinds_of(study: tw.AsyncStudy) -> set[str]:
    return {event.kind async for event in study.watch()}


def test_several_objectives_have_a_front_and_no_best(client: tw.Client) -> None:
    study = client.studies.create(
        "front", [tw.Float("x", 0.0, 1.0)], [tw.minimize("a"), tw.maximize("b")],
        max_trials=4, suggester="random",
    )  # fmt: skip
    study.optimize(lambda trial: {"a": trial.params["x"], "b": trial.params["x"]})
    assert study.best is None
    assert len(study.pareto) == 4
