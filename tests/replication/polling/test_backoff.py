"""Test the delay before a failed request is sent again."""

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


def test_failure_delays_other_requests_less_than_its_own():
    backoff = Backoff()
    for _ in range(10):
        backoff.record_failure(LOG, OUTAGE, now=0.0)

        assert 0 < backoff.seconds_until_retry(PAGE, 0.0) < backoff.seconds_until_retry(LOG, 0.0)


@pytest.mark.parametrize("delayed", [LOG, PAGE], ids=["the failed request", "another request"])
def test_retry_after_delays_all_requests(delayed):
    backoff = Backoff()

    backoff.record_failure(LOG, StitchUnavailable("Stitch requests a pause.", retry_after=700.0), now=0.0)

    assert backoff.seconds_until_retry(delayed, 0.0) >= 700


def test_success_ends_the_backoff_except_for_an_isolated_failure():
    backoff = Backoff()
    for _ in range(ISOLATED_AFTER):
        assert not backoff.is_isolated_failure(LOG)
        backoff.record_failure(LOG, OUTAGE, now=0.0)
        backoff.record_response(PAGE)

    assert backoff.is_isolated_failure(LOG)
    assert backoff.seconds_until_retry(PAGE, 0.0) <= 0
    assert backoff.seconds_until_retry(LOG, 0.0) > 10


def test_failures_during_an_outage_are_not_isolated():
    backoff = Backoff()
    backoff.record_failure(LOG, OUTAGE, now=0.0)
    backoff.record_response(PAGE)
    for _ in range(2 * ISOLATED_AFTER):
        backoff.record_failure(LOG, OUTAGE, now=0.0)
    backoff.record_response(PAGE)
    backoff.record_failure(LOG, OUTAGE, now=0.0)

    assert not backoff.is_isolated_failure(LOG)


def test_backoff_is_cleared_when_the_clock_is_set_back():
    backoff = Backoff()
    backoff.record_failure(LOG, OUTAGE, now=7200.0)

    backoff.forget_times()

    assert backoff.seconds_until_retry(LOG, 0.0) <= 0
    assert backoff.seconds_until_retry(PAGE, 0.0) <= 0


def test_failures_of_an_outage_do_not_count_as_undocumented_responses():
    backoff = Backoff()
    proxy_page = UnexpectedResponse("The response is a page of HTML.")
    for _ in range(10):
        backoff.record_failure(PAGE, OUTAGE, now=0.0)

    results = [backoff.record_failure(PAGE, proxy_page, now=0.0) for _ in range(5)]

    assert [may_retry for _, may_retry in results] == [True, True, True, True, False]
