"""How many steps a full training of a study's objective has, where anything says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from .objective_check import Offers, known_offers
from .schema import as_schema, properties_of
from .space import FloatParameter, IntParameter, Parameter
from .study import ObjectiveRef
from .worker import ObjectiveOffer


def full_training_steps(
    objective: ObjectiveRef | None, parameters: Sequence[Parameter], offers: Offers
) -> int | None:
    """Steps of the longest training that the objective will do; None where nothing says.

    Args:
        objective: the study's objective, or None when clients evaluate the trials.
        parameters: of the space; a forest's longest training depends on them.
        offers: what workers offer, as in `known_offers`.
    """
    if objective is None:
        return None
    known = known_offers(objective.name, offers)
    offered = [offer.max_resource for offer in known if offer.max_resource is not None]
    if offered:
        return max(offered)
    return _built_in_steps(objective, parameters, known[0]) if known else None


def _built_in_steps(
    objective: ObjectiveRef, parameters: Sequence[Parameter], offer: ObjectiveOffer
) -> int | None:
    if objective.name == "mnist-mlp":
        return _product(objective, "epochs", "steps_per_epoch")
    if objective.name == "function":
        return _product(objective, "steps")
    if objective.name == "random-forest":
        return _most_trees(parameters, offer)
    return None


def _product(objective: ObjectiveRef, *names: str) -> int | None:
    total = 1
    for name in names:
        value = objective.options.get(name)
        if not _is_count(value):
            return None
        total *= value
    return total


def _most_trees(parameters: Sequence[Parameter], offer: ObjectiveOffer) -> int | None:
    for parameter in parameters:
        if parameter.name == "n_estimators":
            return _highest(parameter)
    default = properties_of(as_schema(offer.params_schema)).get("n_estimators", {}).get("default")
    return default if _is_count(default) else None


def _highest(parameter: Parameter) -> int | None:
    if isinstance(parameter, (IntParameter, FloatParameter)):
        return int(parameter.high)
    return max((choice for choice in parameter.choices if _is_count(choice)), default=None)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
