"""Every code of a fault in what a call sends, with its rule: for the docs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FAULT_CODES: Mapping[str, str] = MappingProxyType(
    {
        # any field
        "wrong-type": "The value has another JSON type than the field; a boolean is no number.",
        "missing-field": "A required field is left out or null.",
        "unknown-field": "There is no such field; a near miss is named.",
        "unknown-value": "The value is none of the few that are accepted.",
        "not-changeable": "The field cannot be changed once the study exists.",
        "empty": "A name, a space or the terms of a constraint may not be empty.",
        "too-long": "A string is longer than its size limit.",
        "offset-before-end": "A piece of output begins within what is there already.",
        "too-many": "A list or an object is larger than its size limit.",
        "too-deep": "Options, or a body, are nested deeper than their size limit.",
        "control-character": "A text has characters that cannot be shown or stored.",
        "not-finite": "A number is NaN or infinite.",
        "number-too-large": "An integer lies beyond 2^53, where JSON readers lose digits.",
        "not-an-integer": "A number has a fraction where an integer is meant.",
        "out-of-range": "A number lies outside what the field, option or parameter accepts.",
        "other-name": "The body of a PUT by name names another study than the path.",
        "repeated-name": "Two parameters, or two metrics, have the same name.",
        "malformed": "The value is not written as its kind is.",
        "unexpected-body": "The call takes no body.",
        "count": "The call takes fewer, or more, at once.",
        "time": "An RFC 3339 time with its offset.",
        "order": "Something ends before it begins.",
        "label-filter": "Labels are asked for as key=value.",
        "selection": "`where` cannot be read.",
        "gap": "A piece of a content begins after what is there.",
        "other-size": "A piece, or the content that it is of, has another size than announced.",
        "content-differs": "A content is another one than announced.",
        "repeated-key": "A JSON object has the same key twice.",
        "repeated-parameter": "A query parameter is given more than once.",
        "too-many-faults": "There are more faults than one answer names.",
        # parameters
        "unknown-type": "A parameter is float, int or categorical.",
        "low-not-below-high": "low has to be below high.",
        "range-too-wide": "high - low has to be a finite number.",
        "range-too-narrow": "high - low has to be no denormal number, with log 1e-9 of low.",
        "log-not-positive": "With log, low has to be above 0.",
        "log-with-step": "A float has either log or step.",
        "step-not-positive": "step has to be above 0.",
        "step-too-large": "step may be high - low at most.",
        "step-too-small": "step has to be large enough to tell neighbouring values apart.",
        "no-choices": "A categorical parameter, or an `in`, lists at least one value.",
        "empty-choice": "A choice may not be an empty string.",
        "repeated-choice": "Choices differ from each other; true and 1 do, 1 and 1.0 do not.",
        "default-out-of-range": "The default lies outside [low, high].",
        "default-off-step": "The default is none of low, low + step, ...",
        "default-not-a-choice": "The default is none of the choices.",
        # conditions
        "condition-empty": "A condition has neither `in` nor `low` or `high`.",
        "condition-mixed": "A condition has both `in` and `low` or `high`.",
        "condition-on-unknown": "A condition names a parameter that is not there.",
        "condition-on-later": "A condition names a parameter that stands later.",
        "condition-on-itself": "A condition names its own parameter.",
        "condition-on-categorical": "A range of a categorical parent; it takes `in`.",
        "condition-on-continuous": "An `in` of a continuous parent; it takes `low` and `high`.",
        "condition-impossible": "A condition asks for what the parent cannot take.",
        # metrics and constraints
        "no-metric": "A study has at least one metric.",
        "no-objective-metric": "At least one metric has the role objective.",
        "no-threshold": "A metric of role constraint has a threshold.",
        "threshold-without-constraint": "Only a metric of role constraint has a threshold.",
        "constraint-on-unknown": "A linear constraint names a parameter that is not there.",
        "constraints-unfulfillable": "No point of the space keeps all linear constraints.",
        "constraint-on-categorical": "A linear constraint is over numeric parameters only.",
        # suggesters, objectives
        "unknown-suggester": "There is no such suggester; a near miss is named.",
        "unknown-early-stopping": "There is no such early-stopping rule; a near miss is named.",
        "objective-without-steps": "A rule needs an objective that reports by step.",
        "max-resource-unknown": "The rule needs max_resource, and the objective does not say it.",
        "max-resource-too-large": "max_resource is more than a full training of the objective.",
        "min-above-max-resource": "min_resource may be max_resource at most.",
        "unknown-option": "The suggester, rule or objective has no such option.",
        "grid-needs-step": "The suggester grid needs a step for every float.",
        "grid-too-large": "A grid has more points than its size limit.",
        "unknown-objective-parameter": "The objective takes no parameter of this name.",
        "missing-objective-parameter": "The objective needs a parameter that the space lacks.",
        "objective-refuses": "A parameter can take values that the objective refuses.",
        # webhooks
        "webhook-url": "A webhook's URL is https without user and fragment; http for loopback.",
        "webhook-host-not-listed": "The service's settings do not list the webhook's host.",
        # trials
        "missing-metric": "A completed trial needs a value of each declared metric.",
        "not-for-pending": "A field goes with `values` or `state`, which make an imported trial.",
        # analyses
        "unknown-metric": "The study has no metric, and no trial a final value, of this name.",
        # points
        "unknown-parameter": "A point, or a query, names a parameter that is not there.",
        "missing-parameter": "A point has no value for an active parameter.",
        "inactive-parameter": "A point has a value for a parameter that is inactive in it.",
        "missing-parent": "A partial point has a parameter, but not the one it depends on.",
        "off-step": "A value is none of low, low + step, ...",
        "not-a-choice": "A value is none of the choices.",
        "constraint-violated": "A point does not meet a linear constraint.",
    }
)
"""Code -> rule. The `detail` of a fault also says the value found."""
