"""Whatever goes wrong with a request, a task survives it, or says what, where and what to do, and soon.

docs/reference/failure-modes.md shows what was found here, so this also tests that the page is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from airflow_provider_stitch.connect.errors import ERROR_CLASSES
from tools.fault_table import (
    COMMAND,
    FAULTS,
    PAGE,
    TIMEOUT,
    Cell,
    Fault,
    rows_of,
    section_of,
    sections_in,
)

#: Seconds that a task may take beyond its timeout: two minutes for a request, one for the last pause.
GRACE = 180

WHERE = re.compile(r"(GET|POST) (https://api\.stitchdata\.com/v4/|<the extraction log at HOST>)")
WHAT = re.compile(r"source (github \(310442\)|'github')", re.IGNORECASE)
WHAT_TO_DO = re.compile(r"\b(check|see|look at|raise|divide|try again)\b", re.IGNORECASE)


@pytest.fixture(scope="module", params=FAULTS, ids=lambda fault: fault.name)
def found(request):
    """A fault, and what becomes of a task at each of its requests."""
    return request.param, rows_of(request.param)


def cells(rows) -> Iterator[tuple[str, Cell]]:
    for step, passing, lasting in rows:
        yield f"{step.name}, passing", passing
        yield f"{step.name}, lasting", lasting


def test_error_names_the_request_the_source_and_what_to_do(found):
    for name, cell in cells(found[1]):
        if cell.kind is not None:
            assert cell.kind in ERROR_CLASSES, name
            assert WHAT.search(cell.message), f"{name}: {cell.message}"
            assert WHERE.search(cell.message) or cell.kind == "PhaseTimedOut", f"{name}: {cell.message}"
            assert WHAT_TO_DO.search(cell.message), f"{name}: {cell.message}"
            assert len(cell.message) < 1500, f"{name}: {cell.message}"


def test_no_fault_delays_a_task_far_beyond_its_timeout(found):
    for name, cell in cells(found[1]):
        assert cell.seconds < TIMEOUT + GRACE, name


def test_no_fault_makes_a_task_start_two_jobs(found):
    for name, cell in cells(found[1]):
        assert cell.jobs <= 1, name


def test_task_survives_a_temporary_fault_unless_it_is_a_rejection(found):
    fault: Fault = found[0]
    if fault.name == "401":  # Stitch means it, and no later try can mend it
        return
    for step, passing, _ in found[1]:
        if fault.name.startswith("400") and step.name.startswith("start"):
            continue  # Stitch documents that it refuses a start so
        assert passing.kind is None, step.name


def test_page_shows_the_results_of_the_fault(found):
    fault, rows = found

    assert sections_in(PAGE.read_text()).get(fault.name, "").rstrip() == section_of(fault, rows).rstrip(), (
        f"{PAGE.name} differs from what was found; `{COMMAND}` writes it again."
    )


def test_page_shows_no_other_faults():
    assert list(sections_in(PAGE.read_text())) == [fault.name for fault in FAULTS], (
        f"{PAGE.name} differs from what was found; `{COMMAND}` writes it again."
    )
