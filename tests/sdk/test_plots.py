"""Plots: what is drawn is what the service's analyses say, with names, scales and sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tunewell as tw
from tunewell import calls, plots

SPACE = [
    tw.Float("lr", 1e-4, 1e-1, log=True),
    tw.Cat("model", ["simple", "bn"]),
    tw.Float("momentum", 0.1, 0.9, when=tw.when("model", ["bn"])),
]
ASHA = {"name": "asha", "options": {"min_resource": 1, "max_resource": 4, "eta": 2, "mode": "stop"}}


@pytest.fixture(scope="module")
def study(client: tw.Client) -> tw.Study:
    """Sixteen trials of two reported metrics: some stopped early, one infeasible, two failed."""
    made = client.studies.create(
        "drawn $x^2$", SPACE, tw.minimize("loss"), max_trials=16, suggester="random", seed=4,
        early_stopping=ASHA, failure_policy={"max_attempts": 1, "max_failed": 9},
    )  # fmt: skip
    for trial in made.ask_until_done(on_error="continue"):
        with trial:
            if trial.number == 3:
                raise tw.Infeasible
            if trial.number in (5, 9):
                raise KeyError("lr")
            for step in range(1, 5):
                trial.report(step, loss=trial.params["lr"] / step, accuracy=1 - trial.params["lr"])
                if trial.should_stop:
                    break
    return made


@pytest.fixture(scope="module")
def told(client: tw.Client) -> tw.Study:
    """Twelve imported trials of two objectives, for the model of a suggester and a front."""
    made = client.studies.create(
        "told", [tw.Float("x", -1, 1), tw.Float("y", 1e-3, 1, log=True)],
        [tw.minimize("a"), tw.maximize("b")], max_trials=20, suggester="gp", seed=4,
    )  # fmt: skip
    points = [{"x": -1 + k / 6, "y": 10 ** (-(k % 4) / 2)} for k in range(12)]
    trials = [{"params": p, "values": {"a": p["x"] ** 2, "b": p["x"] - p["y"]}} for p in points]
    client.send(calls.enqueue(made.id, trials))
    return made


@pytest.fixture(scope="module")
def bare(client: tw.Client) -> tw.Study:
    """A study without a trial."""
    return client.studies.create("bare", SPACE, tw.minimize("loss"), max_trials=5)


def texts(axes: Any) -> list[str]:
    """What an axes' legend says."""
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def marks(axes: Any, name: str) -> list[list[float]]:
    """The places of the marks of one name."""
    (found,) = [each for each in axes.collections if each.get_label() == name]
    return [list(map(float, place)) for place in found.get_offsets()]


def test_history_has_values_by_state_the_best_and_what_has_no_value(study: tw.Study) -> None:
    (axes,) = study.plot().axes
    columns = study.analysis("history")["columns"]
    done = {t.number: t.values["loss"] for t in study.trials if t.state == "completed"}
    assert {n: v for n, v in marks(axes, "completed")} == pytest.approx(done, rel=1e-4)
    (stairs,) = [line for line in axes.lines if line.get_label() == "best so far"]
    assert study.best is not None
    assert stairs.get_ydata()[-1] == pytest.approx(study.best.values["loss"], rel=1e-4)
    assert stairs.get_xdata()[-1] == max(columns["number"])
    (failed,) = [line for line in axes.lines if line.get_label() == "failed, no value"]
    assert list(failed.get_xdata()) == [5, 9]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trial", "loss")


def test_a_name_is_no_formula_and_the_caption_says_how_many(study: tw.Study) -> None:
    figure = study.plot("curves")
    # The dollars are escaped, so that they are drawn as they are.
    title = figure.get_suptitle()
    assert title.startswith(r"drawn \$x^2\$: learning curves (loss)")
    assert title.endswith("trials shown")
    figure.draw_without_rendering()


def test_history_over_time_of_another_metric(study: tw.Study) -> None:
    figure = study.plot("history", metric="accuracy", x="elapsed")
    (axes,) = figure.axes
    done = [t.values["accuracy"] for t in study.trials if t.state == "completed"]
    assert [v for _, v in marks(axes, "completed")] == pytest.approx(done, rel=1e-4)
    assert axes.get_xlabel() == "time since the first start, s"
    assert axes.get_ylabel() == "accuracy"
    assert "history (accuracy)" in figure.get_suptitle()
    (axes,) = study.plot("history", x="worked").axes
    assert axes.get_xlabel() == "time since the first start without pauses, s"


def test_curves_are_those_reported_with_the_best_bold(study: tw.Study) -> None:
    (axes,) = study.plot("curves").axes
    best = study.best
    assert best is not None
    (bold,) = [line for line in axes.lines if line.get_label() == f"best, trial {best.number}"]
    expected = [best.params["lr"] / step for step in range(1, 5)]
    assert list(bold.get_ydata()) == pytest.approx(expected, rel=1e-4)
    assert len(axes.lines) >= 13
    assert axes.get_xlabel() == "step"


def test_importance_names_what_matters(study: tw.Study) -> None:
    (axes,) = study.plot("importance").axes
    found = study.analysis("importance")["columns"]
    assert [bar.get_width() for bar in axes.patches] == found["share"]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[0] == "lr"
    assert "share of the variance of loss" in axes.get_xlabel()


def test_a_slice_has_the_scale_of_its_parameter_and_a_lane_for_what_is_not_active(
    study: tw.Study,
) -> None:
    lr, model, momentum = study.plot("slice", param=["lr", "model", "momentum"]).axes
    assert (lr.get_xscale(), momentum.get_xscale()) == ("log", "linear")
    assert [tick.get_text() for tick in model.get_xticklabels()] == ["simple", "bn"]
    done = [t for t in study.trials if t.state == "completed"]
    places = {"simple": 0, "bn": 1}
    assert [x for x, _ in marks(model, "completed")] == [places[t.params["model"]] for t in done]
    n_away = sum(t.params["model"] == "simple" for t in study.trials if "loss" in t.values)
    assert f"not active ({n_away})" in texts(momentum)


def test_a_contour_over_choices_has_its_trials_inside_their_cells(study: tw.Study) -> None:
    axes, bar = study.plot("contour", param=["lr", "model"]).axes
    assert axes.get_xscale() == "log"
    assert axes.get_ylim() == (-0.5, 1.5)
    assert {y for _, y in marks(axes, "trials")} == {0.0, 1.0}
    assert bar.get_ylabel() == "loss, expected"


def test_parallel_lines_have_the_best_on_top(study: tw.Study) -> None:
    axes = study.plot("parallel").axes[0]
    found = study.analysis("parallel")["columns"]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
    best = min(range(len(found["value"])), key=lambda k: found["value"][k])
    assert list(lines[-1].get_ydata())[:2] == [found["param:lr"][best], found["param:model"][best]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["lr, log", "model", "momentum"]


def test_rungs_count_who_came_and_show_the_values_there(study: tw.Study) -> None:
    left, right = study.plot("rungs").axes
    found = study.analysis("rungs")
    came = [0.0] * len(found["columns"]["rung"])
    for bar in left.patches:
        came[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    assert came == found["columns"]["n_entered"]
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["1", "2", "4"]
    went_on = [v for _, v in marks(right, "went on")]
    decided = zip(found["points"]["value"], found["points"]["decision"], strict=True)
    assert went_on == [v for v, decision in decided if decision == "promoted"]
    assert (left.get_ylabel(), right.get_ylabel()) == ("trials", "loss")


def test_the_timeline_has_a_bar_for_each_attempt(study: tw.Study) -> None:
    (axes,) = study.plot("timeline").axes
    columns = study.analysis("timeline")["columns"]
    assert sorted(bar.get_x() for bar in axes.patches) == columns["start_s"]
    assert {"completed", "failed", "infeasible"} <= set(texts(axes))
    assert axes.get_xlabel() == "time since the first start, s"


def test_failures_are_grouped_by_kind(study: tw.Study) -> None:
    (axes,) = study.plot("failures").axes
    assert [bar.get_width() for bar in axes.patches] == [2]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["KeyError: 'lr'"]
    assert texts(axes) == ["user error"]
    assert [text.get_text().strip() for text in axes.texts] == ["trial 5, 9"]


def test_a_front_and_how_its_hypervolume_grew(told: tw.Study) -> None:
    left, right = told.plot("pareto").axes
    front = sorted([t.values["a"], t.values["b"]] for t in told.pareto)
    assert sorted(marks(left, "on the front")) == [pytest.approx(p, rel=1e-4) for p in front]
    assert left.get_xlabel() == "a (less is better)"
    assert left.get_ylabel() == "b (more is better)"
    volume = told.analysis("pareto")["hypervolume"]
    (line,) = right.lines
    assert list(line.get_ydata())[:-1] == volume["value"]
    assert list(line.get_xdata())[:-1] == volume["number"]


def test_what_the_suggester_expects_has_its_band_and_the_trials_near(told: tw.Study) -> None:
    figure = told.plot("surrogate", param="y")
    above, below = figure.axes
    found = told.analysis("surrogate", param="y")
    (line,) = [each for each in above.lines if each.get_label() == "expected"]
    assert list(line.get_ydata()) == found["columns"]["mean"]
    (band,) = [each for each in above.collections if each.get_label() == "± 1 sd"]
    heights = band.get_paths()[0].vertices[:, 1]
    mean, sd = found["columns"]["mean"], found["columns"]["sd"]
    assert max(heights) == pytest.approx(max(m + s for m, s in zip(mean, sd, strict=True)))
    assert len(marks(above, "completed")) == len(found["near"]["number"]) == 12
    assert below.get_xscale() == "log"
    assert below.get_xlabel() == "y"
    assert figure.get_suptitle().endswith(f"all else as in trial {found['at']}")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("history", "No trial has begun"),
        ("curves", "No trial has reported loss"),
        ("importance", "Needs 10 completed trials, 0 so far"),
        ("slice", "lr: no trial has a value yet"),
        ("contour", "has both lr and model active"),
        ("parallel", "No trial has a value yet"),
        ("rungs", "stops no trial early"),
        ("timeline", "Nothing has run yet"),
        ("pareto", "A front takes two objectives"),
        ("surrogate", "lr is not active in any trial"),
        ("failures", "No attempt has failed"),
    ],
)
def test_a_plot_of_nothing_says_what_is_missing(bare: tw.Study, kind: str, said: str) -> None:
    figure = bare.plot(kind)
    (axes,) = figure.axes
    (text,) = axes.texts
    assert said in text.get_text().replace("\n", " ")
    assert figure.get_suptitle().startswith("bare: ")


def test_what_cannot_be_drawn_is_refused_before_any_call(bare: tw.Study) -> None:
    with pytest.raises(ValueError, match="'histroy' cannot be drawn, only history, curves"):
        bare.plot("histroy")
    with pytest.raises(ValueError, match=r"'timeline' is about no single metric; .*: history, cur"):
        bare.plot("timeline", metric="loss")
    with pytest.raises(tw.ApiError, match="metric"):
        bare.plot("history", metric="acuracy")


def test_each_kind_of_analysis_can_be_drawn() -> None:
    routes = json.loads((Path(__file__).parents[2] / "docs/openapi.json").read_text())["paths"]
    taken = routes["/v1/studies/{study_id}/analysis/{kind}"]["get"]["parameters"]
    (kinds,) = [each["schema"]["enum"] for each in taken if each.get("name") == "kind"]
    assert set(plots._KINDS) == set(kinds) - {"selected"}
