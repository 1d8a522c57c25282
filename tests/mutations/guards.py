"""Guards of the promises, each with the change of the source that takes it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A piece of the source, which must be there exactly once, and what stands there without the
    guard.
    """

    path: str
    guarded: str
    unguarded: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A guard, how to take it out, and the test that must then fail.

    Attributes:
        is_modelled: the comparison with the reference model must fail too.
    """

    name: str
    cuts: tuple[Cut, ...]
    test: str
    is_modelled: bool = False


MODEL_TEST = "tests/model/test_model.py::test_random_calls_do_what_the_model_says"
UNSHRUNK = Cut(
    path="tests/model/test_model.py",
    guarded="Phase.generate, Phase.shrink",
    unguarded="Phase.generate",
)
"""That it fails is enough here: the search for the shortest example takes minutes."""


GUARDS = (
    Guard(
        name="the fence",
        cuts=(
            Cut(
                path="app/service/fence.py",
                guarded="        if held is not None:\n            return held\n",
                unguarded="        return held or Held(study, trial, lease)\n",
            ),
            Cut(
                path="app/store/leases.py",
                guarded='where(leases.c.id == bindparam("b_id"), leases.c.ended_at.is_(None))',
                unguarded='where(leases.c.id == bindparam("b_id"))',
            ),
        ),
        test="tests/service/test_lease_protocol.py::"
        "test_a_re_claimed_trial_answers_the_old_lease_with_abort_and_changes_nothing",
        is_modelled=True,
    ),
    Guard(
        name="the budget guard",
        cuts=(
            Cut(
                path="app/service/points.py",
                guarded="left.append(limits.max_trials - study.places)",
                unguarded="left.append(limits.max_trials)",
            ),
        ),
        test="tests/service/test_budget.py::test_a_budget_is_never_passed_by_concurrent_asks",
        is_modelled=True,
    ),
    Guard(
        name="the idempotency row",
        cuts=(
            Cut(
                path="app/store/idempotency.py",
                guarded="    keep(tx, receipt.key, receipt.keep(result))\n    return result\n",
                unguarded="    return result\n",
            ),
        ),
        test="tests/store/test_idempotency.py::test_the_same_call_is_answered_as_the_first_time",
        is_modelled=True,
    ),
    Guard(
        name="the durable commit",
        cuts=(
            Cut(
                path="app/store/sqlite.py",
                guarded='"PRAGMA synchronous = FULL"',
                unguarded='"PRAGMA synchronous = OFF"',
            ),
        ),
        test="tests/store/test_engine.py::"
        "test_the_file_is_written_ahead_and_flushed_at_every_commit",
    ),
    Guard(
        name="the role check",
        cuts=(
            Cut(
                path="app/api/access.py",
                guarded="    if caller.role not in roles:\n",
                unguarded="    if not roles:\n",
            ),
        ),
        test="tests/api/test_access.py::test_a_role_gets_in_where_it_may_and_nowhere_else",
    ),
)
