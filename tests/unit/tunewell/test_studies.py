"""Study files, and the examples that come with the package."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.definition import parse_definition
from app.domain.objectives import BUILT_IN
from app.domain.points import check_point
from tunewell import studies
from tunewell.errors import ApiError
from tunewell.studies import BadStudyFile, StudyFile, example_names, load_study, submit

from .fake_service import DEFINITION, FakeService, problem, study

EXAMPLES = [
    "forest-asha",
    "forest-tpe",
    "function-quickstart",
    "mnist-asha",
    "mnist-batchnorm-momentum",
    "mnist-gp",
    "mnist-grid",
    "mnist-random",
    "mnist-tpe",
    "mnist-user-points-then-gp",
]


def written(folder: Path, value: Any) -> str:
    path = folder / "study.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)


def test_a_file_holds_a_definition(tmp_path: Path) -> None:
    assert load_study(written(tmp_path, DEFINITION)) == StudyFile(definition=DEFINITION)


def test_a_file_holds_a_definition_and_trials(tmp_path: Path) -> None:
    points = [{"params": {"batch_size": 32}}]
    found = load_study(written(tmp_path, {"study": DEFINITION, "trials": points}))
    assert found == StudyFile(definition=DEFINITION, trials=tuple(points))


def test_standard_input_is_named_by_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(DEFINITION)))
    assert load_study("-").definition == DEFINITION


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[1]", "holds no JSON object"),
        ({"study": [], "trials": []}, "study must be an object"),
        ({"study": {}, "trials": {}}, "trials a list"),
        ({"study": {}, "trails": []}, "trials only, not trails"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_no_study_file_is_said_to_be_that(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(BadStudyFile, match=said):
        load_study(written(tmp_path, content))


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadStudyFile, match="cannot be read"):
        load_study(str(tmp_path))


def test_a_file_that_is_not_there_names_the_examples() -> None:
    with pytest.raises(BadStudyFile, match=r"there is no file none\.json.*mnist-random"):
        load_study("none.json")


def test_examples_are_found_by_name_in_the_package_before_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_study("mnist-gp").definition["name"] == "mnist-gp"
    inside = tmp_path / "example_studies"
    inside.mkdir()
    (inside / "mine.json").write_text(json.dumps(DEFINITION))
    monkeypatch.setattr(studies, "__file__", str(tmp_path / "studies.py"))
    assert example_names() == ["mine"]


def test_these_are_the_examples() -> None:
    assert example_names() == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_study_without_faults_or_warnings(name: str) -> None:
    file = load_study(name)
    offers = list(BUILT_IN.values())
    checked = parse_definition(file.definition, draw_seed=lambda: 1, offers=offers)
    assert file.definition["name"] == name
    assert file.definition["description"]
    assert checked.warnings == ()
    for point in file.trials:
        _, faults = check_point(
            checked.definition.space, point["params"], partial=True, pointer="/params"
        )
        assert faults == []


def test_the_articles_studies_are_as_it_wrote_them() -> None:
    random = load_study("mnist-random").definition
    learning_rate, batch_size = random["space"]
    assert (learning_rate["low"], learning_rate["high"]) == (0.001, 0.01)
    assert not learning_rate.get("log")
    assert (batch_size["low"], batch_size["high"]) == (16, 128)
    assert random["objective"]["options"]["epochs"] == 3
    assert random["limits"]["max_trials"] == 10
    n_estimators, max_depth = load_study("forest-tpe").definition["space"]
    assert (n_estimators["low"], n_estimators["high"]) == (10, 200)
    assert (max_depth["low"], max_depth["high"]) == (5, 50)
    assert load_study("forest-tpe").definition["limits"]["max_trials"] == 50


@pytest.mark.parametrize("name", ["mnist-gp", "mnist-tpe"])
def test_the_demos_studies_differ_in_the_suggester_alone(name: str) -> None:
    def rest(example: str) -> dict[str, Any]:
        definition = dict(load_study(example).definition)
        return {
            k: v for k, v in definition.items() if k not in ("name", "description", "suggester")
        }

    assert rest(name) == rest("mnist-random")


FILE = StudyFile(definition=DEFINITION, trials=({"params": {"batch_size": 3}},))


def test_a_submitted_file_brings_its_trials() -> None:
    service = FakeService({"POST /v1/studies": study()})
    service.on("POST /v1/studies/st_1/trials", {"trials": []})
    assert submit(service.client(), FILE).id == "st_1"
    assert json.loads(service.requests[1].content) == {"trials": [{"params": {"batch_size": 3}}]}


def test_a_study_whose_trials_are_refused_does_not_stay() -> None:
    service = FakeService({"POST /v1/studies": study(), "DELETE /v1/studies/st_1": study()})
    service.on("POST /v1/studies/st_1/trials", problem(422, "invalid-value"))
    with pytest.raises(ApiError, match="invalid-value"):
        submit(service.client(), FILE)
    assert service.sent()[-1] == "DELETE /v1/studies/st_1"


def test_a_file_can_be_named_anew() -> None:
    service = FakeService()
    service.on("POST /v1/studies", lambda request: httpx.Response(201, json=study()))
    submit(service.client(), StudyFile(definition=DEFINITION).named("other"))
    assert json.loads(service.requests[0].content)["name"] == "other"
    assert DEFINITION["name"] == "demo"
