"""When may a request be made again that Stitch did not answer? Rules of times."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import StitchUnavailable, UnexpectedResponse
from airflow_provider_stitch.replication.polling.backoff import ISOLATED_AFTER, Backoff
from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest, RequestKind

OUTAGE = StitchUnavailable("Stitch does not respond.")
LOG, PAGE = (
    LimitedRequest(RequestKind.LOG, "104857.310001.sync.a"),
    LimitedRequest(RequestKind.EXTRACTIONS, 1),
)


def test_after_a_failure_another_request_has_its_turn_first():
    backoff = Backoff()
    for _ in range(10):
        backoff.record_failure(LOG, OUTAGE, now=0.0)

        assert 0 < backoff.seconds_until_retry(PAGE, 0.0) < backoff.seconds_until_retry(LOG, 0.0)


@pytest.mark.parametrize("request_", [LOG, PAGE])
def test_what_stitch_asks_for_is_kept_for_all(request_):
    backoff = Backoff()

    backoff.record_failure(LOG, StitchUnavailable("Stitch asks to wait.", retry_after=700.0), now=0.0)

    assert backoff.seconds_until_retry(request_, 0.0) >= 700


def test_an_answer_lets_all_go_on_but_what_fails_alone():
    backoff = Backoff()
    for _ in range(ISOLATED_AFTER):
        assert not backoff.is_isolated_failure(LOG)
        backoff.record_failure(LOG, OUTAGE, now=0.0)
        backoff.record_success(PAGE)

    assert backoff.is_isolated_failure(LOG)
    assert backoff.seconds_until_retry(PAGE, 0.0) <= 0
    assert backoff.seconds_until_retry(LOG, 0.0) > 10


def test_what_fails_in_an_outage_does_not_fail_alone_once_that_is_over():
    backoff = Backoff()
    backoff.record_failure(LOG, OUTAGE, now=0.0)
    backoff.record_success(PAGE)
    for _ in range(2 * ISOLATED_AFTER):
        backoff.record_failure(LOG, OUTAGE, now=0.0)
    backoff.record_success(PAGE)
    backoff.record_failure(LOG, OUTAGE, now=0.0)

    assert not backoff.is_isolated_failure(LOG)


def test_whatever_was_to_be_waited_for_by_a_clock_that_was_set_back_is_not():
    backoff = Backoff()
    backoff.record_failure(LOG, OUTAGE, now=7200.0)

    backoff.clock_was_set_back()

    assert backoff.seconds_until_retry(LOG, 0.0) <= 0
    assert backoff.seconds_until_retry(PAGE, 0.0) <= 0


def test_undocumented_response_after_an_outage_is_no_repeated_one():
    backoff = Backoff()
    page_of_proxy = UnexpectedResponse("The response is a page of HTML.")
    for _ in range(10):
        backoff.record_failure(PAGE, OUTAGE, now=0.0)

    repeated = [backoff.record_failure(PAGE, page_of_proxy, now=0.0) for _ in range(5)]

    assert [may_go_on for _, may_go_on in repeated] == [True, True, True, True, False]
