"""The table of the matrix shows what happened, and never a cell as fine that was not played."""

from __future__ import annotations

from pathlib import Path

from .cells import DIALECTS, Fault, all_cases, why_not
from .matrix import page, read
from .plan import Step

ALL = {case.name: True for case in all_cases()}


def test_every_cell_has_a_case_or_a_reason() -> None:
    played = {(case.dialect, case.step, case.fault) for case in all_cases()}
    for dialect in DIALECTS:
        for fault in Fault:
            for step in Step:
                is_left_out = why_not(fault, step, dialect) is not None
                assert ((dialect, step, fault) in played) != is_left_out


def test_cases_have_names_of_their_own() -> None:
    assert len(ALL) == len(list(all_cases()))


def test_a_matrix_that_passed_shows_no_failure() -> None:
    assert "FAIL" not in page(ALL, 60.0)
    assert f"{len(ALL)} of {len(ALL)} cases passed" in page(ALL, 60.0)


def test_one_failed_case_fails_its_cell_alone() -> None:
    name = next(case.name for case in all_cases() if case.fault is Fault.TWICE)
    assert page({**ALL, name: False}, 60.0).count("**FAIL**") == 1


def test_a_case_that_was_not_played_is_a_failure() -> None:
    names = list(ALL)
    assert "**FAIL**" in page(dict.fromkeys(names[1:], True), 60.0)


def test_outcomes_are_read_from_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="t[a|b|c|]"/>'
        '<testcase name="t[a|b|d|]"><failure message="no"/></testcase>'
        '<testcase name="t[a|b|e|]"><skipped/></testcase></testsuite></testsuites>'
    )
    assert read(report) == {"a|b|c|": True, "a|b|d|": False, "a|b|e|": False}
    assert read(tmp_path / "none.xml") == {}
