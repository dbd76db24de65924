"""When may a request be made again that Stitch did not answer? Rules of times."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import StitchUnavailable, UnexpectedAnswer
from airflow_provider_stitch.replication.planner import Request
from airflow_provider_stitch.replication.setbacks import ALONE_AFTER, Setbacks

OUTAGE = StitchUnavailable("Stitch does not respond.")
LOG, PAGE = Request("log", "104857.310001.sync.a"), Request("extractions", 1)


def test_after_a_failure_another_request_has_its_turn_first():
    setbacks = Setbacks()
    for _ in range(10):
        setbacks.failed(LOG, OUTAGE, now=0.0)

        assert 0 < setbacks.free_in(PAGE, 0.0) < setbacks.free_in(LOG, 0.0)


@pytest.mark.parametrize("request_", [LOG, PAGE])
def test_what_stitch_asks_for_is_kept_for_all(request_):
    setbacks = Setbacks()

    setbacks.failed(LOG, StitchUnavailable("Stitch asks to wait.", retry_after=700.0), now=0.0)

    assert setbacks.free_in(request_, 0.0) >= 700


def test_an_answer_lets_all_go_on_but_what_fails_alone():
    setbacks = Setbacks()
    for _ in range(ALONE_AFTER):
        assert not setbacks.fails_alone(LOG)
        setbacks.failed(LOG, OUTAGE, now=0.0)
        setbacks.answered(PAGE)

    assert setbacks.fails_alone(LOG)
    assert setbacks.free_in(PAGE, 0.0) <= 0
    assert setbacks.free_in(LOG, 0.0) > 10


def test_what_fails_in_an_outage_does_not_fail_alone_once_that_is_over():
    setbacks = Setbacks()
    setbacks.failed(LOG, OUTAGE, now=0.0)
    setbacks.answered(PAGE)
    for _ in range(2 * ALONE_AFTER):
        setbacks.failed(LOG, OUTAGE, now=0.0)
    setbacks.answered(PAGE)
    setbacks.failed(LOG, OUTAGE, now=0.0)

    assert not setbacks.fails_alone(LOG)


def test_whatever_was_to_be_waited_for_by_a_clock_that_was_set_back_is_not():
    setbacks = Setbacks()
    setbacks.failed(LOG, OUTAGE, now=7200.0)

    setbacks.clock_was_set_back()

    assert setbacks.free_in(LOG, 0.0) <= 0
    assert setbacks.free_in(PAGE, 0.0) <= 0


def test_undocumented_response_after_an_outage_is_no_repeated_one():
    setbacks = Setbacks()
    page_of_proxy = UnexpectedAnswer("The response is a page of HTML.")
    for _ in range(10):
        setbacks.failed(PAGE, OUTAGE, now=0.0)

    repeated = [setbacks.failed(PAGE, page_of_proxy, now=0.0) for _ in range(5)]

    assert [may_go_on for _, may_go_on in repeated] == [True, True, True, True, False]
