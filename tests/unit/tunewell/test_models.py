"""The typed answers hold what the contract's page promises, and nothing else is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunewell import models
from tunewell.errors import TunewellError

from .fake_service import study, trial

OPENAPI = Path(__file__).parents[3] / "docs" / "openapi.json"

SCHEMAS = {
    models.Failure: "FailureOut",
    models.Attempt: "AttemptOut",
    models.MeasurementSummary: "MeasurementSummary",
    models.Rung: "RungOut",
    models.Trial: "TrialOut",
    models.TrialDetail: "TrialDetail",
    models.Study: "StudyOut",
    models.OfferedObjective: "OfferOut",
    models.HeldLease: "HeldLease",
    models.Worker: "WorkerOut",
    models.Token: "TokenOut",
    models.Event: "EventOut",
    models.Budget: "BudgetOut",
    models.Resume: "ResumeOut",
    models.Meta: "MetaOut",
    models.Reported: "ReportOut",
    models.SuggestedTrial: "SuggestedTrial",
    models.Suggested: "SuggestOut",
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(OPENAPI.read_text())["components"]["schemas"]
    return found


def test_every_model_is_held_against_a_schema() -> None:
    found = {
        model
        for model in vars(models).values()
        if isinstance(model, type) and issubclass(model, models.Wire) and model is not models.Wire
    }
    assert found == set(SCHEMAS)


@pytest.mark.parametrize("model", SCHEMAS, ids=lambda model: model.__name__)
def test_every_field_that_is_read_is_promised(
    model: type[models.Wire], schemas: dict[str, Any]
) -> None:
    schema = schemas[SCHEMAS[model]]
    assert set(model.model_fields) <= set(schema["properties"])


@pytest.mark.parametrize("model", SCHEMAS, ids=lambda model: model.__name__)
def test_a_field_that_has_to_be_there_is_promised_to_be(
    model: type[models.Wire], schemas: dict[str, Any]
) -> None:
    schema = schemas[SCHEMAS[model]]
    needed = {name for name, field in model.model_fields.items() if field.is_required()}
    assert needed <= set(schema["required"])


@pytest.mark.parametrize("name", ["StudyOut", "TrialOut"])
def test_the_examples_of_the_page_can_be_read(name: str, schemas: dict[str, Any]) -> None:
    model = next(model for model, schema in SCHEMAS.items() if schema == name)
    for example in schemas[name]["examples"]:
        models.read(model, example)


def test_states_that_have_ended_are_those_of_the_page(schemas: dict[str, Any]) -> None:
    assert set(schemas["StudyState"]["enum"]) > models.ENDED_STUDY
    assert set(schemas["TrialState"]["enum"]) - models.ENDED_TRIAL == {
        "pending",
        "running",
        "paused",
    }


def test_the_types_of_parameters_are_kept() -> None:
    params = {"a": True, "b": 1, "c": 1.0, "d": "1"}
    found = models.read(models.Trial, trial(params=params)).params
    assert [type(value) for value in found.values()] == [bool, int, float, str]


def test_what_a_newer_service_adds_is_left_alone() -> None:
    assert models.read(models.Study, {**study(), "colour": "red"}).name == "demo"


def test_something_else_than_an_answer_is_said_to_be_that() -> None:
    with pytest.raises(TunewellError, match="no study of a Tunewell service"):
        models.read(models.Study, "<html></html>")
