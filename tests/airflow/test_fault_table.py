"""Test that a task recovers from a failed request, or fails soon with an error that explains the fix.

The page docs/reference/failure-modes.md contains the results, so the tests also check this page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from airflow_provider_stitch.connect.errors import ERROR_CLASSES
from tools.fault_table import COMMAND, PAGE, TIMEOUT, Cell, rows_of, section_of, sections_in
from tools.faults import FAULTS, Fault

#: Maximum number of seconds by which a task can exceed its timeout: two minutes for the last request, and one
#: minute for the pause before this request.
GRACE_SECONDS = 180

REQUEST = re.compile(r"(GET|POST) (https://api\.stitchdata\.com/v4/|<the extraction log at HOST>)")
SOURCE = re.compile(r"source (github \(310442\)|'github')", re.IGNORECASE)
ADVICE = re.compile(r"\b(check|see|look at|raise|divide|try again)\b", re.IGNORECASE)


@pytest.fixture(scope="module", params=FAULTS, ids=lambda fault: fault.name)
def fault_and_rows(request):
    """Return a fault, and the task's result for each request that the fault can affect."""
    return request.param, rows_of(request.param)


def cells(rows) -> Iterator[tuple[str, Cell]]:
    """Yield the name and the content of each cell in the table for a fault."""
    for step, temporary, permanent in rows:
        yield f"{step.name}, temporary", temporary
        yield f"{step.name}, permanent", permanent


def test_error_names_the_request_the_source_and_what_to_do(fault_and_rows):
    for name, cell in cells(fault_and_rows[1]):
        if cell.kind is not None:
            assert cell.kind in ERROR_CLASSES, name
            assert SOURCE.search(cell.message), f"{name}: {cell.message}"
            assert REQUEST.search(cell.message) or cell.kind == "PhaseTimedOut", f"{name}: {cell.message}"
            assert ADVICE.search(cell.message), f"{name}: {cell.message}"
            assert len(cell.message) < 1500, f"{name}: {cell.message}"


def test_no_fault_delays_a_task_far_beyond_its_timeout(fault_and_rows):
    for name, cell in cells(fault_and_rows[1]):
        assert cell.seconds < TIMEOUT + GRACE_SECONDS, name


def test_no_fault_makes_a_task_start_two_jobs(fault_and_rows):
    for name, cell in cells(fault_and_rows[1]):
        assert cell.jobs <= 1, name


def test_task_survives_a_temporary_fault_unless_it_is_a_rejection(fault_and_rows):
    fault: Fault = fault_and_rows[0]
    if fault.name == "401":  # a retry cannot succeed with a token that Stitch has rejected
        return
    for step, temporary, _ in fault_and_rows[1]:
        if fault.name.startswith("400") and step.name.startswith("start"):
            continue  # the documented response if Stitch refuses to start a job
        assert temporary.kind is None, step.name


def test_page_shows_the_results_of_the_fault(fault_and_rows):
    fault, rows = fault_and_rows

    assert sections_in(PAGE.read_text()).get(fault.name, "").rstrip() == section_of(fault, rows).rstrip(), (
        f"{PAGE.name} differs from the results; run `{COMMAND}` to update it."
    )


def test_page_shows_no_other_faults():
    assert list(sections_in(PAGE.read_text())) == [fault.name for fault in FAULTS], (
        f"{PAGE.name} differs from the results; run `{COMMAND}` to update it."
    )
