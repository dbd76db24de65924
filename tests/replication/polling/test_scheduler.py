"""Test how the scheduler decides which request to send next, and when."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.budget.window import WINDOW, Window, available_in
from airflow_provider_stitch.replication.polling.completion import CompletionEstimate, DurationHistory
from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest, RequestKind
from airflow_provider_stitch.replication.polling.scheduler import (
    MAX_SAMPLE,
    Candidate,
    delay_threshold,
    next_request,
)

PAGE_1, PAGE_2, PAGE_3 = (LimitedRequest(RequestKind.EXTRACTIONS, number) for number in (1, 2, 3))
LOADS, LOG = LimitedRequest(RequestKind.LOADS, 1), LimitedRequest(RequestKind.LOG, "a job")
NOW = 1_000_000.0


def window(*used_ago: float, limit: int = 30, share: float | None = None) -> Window:
    """Return a window with one response per argument. Each argument is the age of a response in seconds."""
    counted_until = [NOW - ago + WINDOW for ago in used_ago]
    free = available_in(limit, counted_until, now=NOW, blocked_until=-math.inf)
    return Window(free, float(limit) if share is None else share)


def started(seconds_ago: float, *, checked: float | None = None, **fields) -> CompletionEstimate:
    """Return the completion estimate for a job that started `seconds_ago` seconds ago.

    :param checked: seconds since the last check. If None, the job has not been checked since its start.
    """
    last_checked = seconds_ago if checked is None else checked
    return CompletionEstimate(last_checked_at=NOW - last_checked, since=NOW - seconds_ago, **fields)


def candidate(request: LimitedRequest, *estimates: CompletionEstimate, **fields) -> Candidate:
    return Candidate(request, estimates, **fields)


def done(seconds_ago: float = 0.0) -> CompletionEstimate:
    """Return the completion estimate for a job that ended at least `seconds_ago` seconds ago."""
    return started(seconds_ago, done_by=NOW - seconds_ago)


# --- Due requests ---------------------------------------------------------------------------------------


def test_due_request_is_sent_at_once():
    assert next_request([candidate(LOG, done())], window(), NOW) == LOG


def test_immediate_request_is_sent_at_once():
    assert next_request([candidate(PAGE_1, immediate=True, requested_at=NOW - 0.1)], window(), NOW) == PAGE_1


def test_immediate_request_is_sent_before_due_ones():
    candidates = [candidate(LOG, done(500)), candidate(PAGE_1, immediate=True)]

    assert next_request(candidates, window(), NOW) == PAGE_1


def test_due_request_with_the_longest_wait_is_sent_first():
    candidates = [candidate(LOG, done(10)), candidate(LOADS, done(100)), candidate(PAGE_1, done(50))]

    assert next_request(candidates, window(), NOW) == LOADS


def test_due_request_waits_for_the_budget():
    step = next_request([candidate(LOG, done())], window(*[500] * 30), NOW)

    assert 0 < step <= 100


def test_due_request_is_sent_before_probable_ones():
    probable = [started(3600) for _ in range(1000)]

    assert next_request([candidate(PAGE_1, *probable), candidate(LOG, done())], window(), NOW) == LOG


# --- Pages worth a request ------------------------------------------------------------------------------


def test_page_with_the_most_waiters_is_polled_first():
    candidates = [
        candidate(PAGE_1, started(600)),
        candidate(PAGE_2, *[started(600)] * 5),
        candidate(PAGE_3, *[started(600)] * 2),
    ]

    assert next_request(candidates, window(), NOW) == PAGE_2


def test_least_recently_polled_page_comes_first_among_equal_ones():
    candidates = [
        candidate(page, *[started(600, checked=checked)] * 3)
        for page, checked in ((PAGE_1, 60), (PAGE_2, 300), (PAGE_3, 120))
    ]

    assert next_request(candidates, window(), NOW) == PAGE_2


def test_page_with_jobs_near_their_typical_end_is_polled_first():
    due, not_due = DurationHistory.from_durations([600] * 5), DurationHistory.from_durations([10_000] * 5)
    candidates = [
        candidate(PAGE_1, *[started(660, checked=60, history=not_due)] * 3),
        candidate(PAGE_2, *[started(660, checked=60, history=due)] * 3),
    ]

    assert next_request(candidates, window(), NOW) == PAGE_2


def test_page_is_not_polled_again_right_after_a_poll():
    just_polled = candidate(PAGE_1, started(600, checked=0.5), requested_at=NOW - 0.5)

    assert isinstance(next_request([just_polled], window(), NOW), float)


def test_single_waiter_is_polled_for_every_3_to_20_seconds():
    """The request budget allows frequent polls at first, and one poll every 20 s in the long run."""
    polls, at, last_poll = [], 0.0, 0.0
    while len(polls) < 10:
        page = Candidate(
            PAGE_1, [CompletionEstimate(last_checked_at=last_poll, since=0.0)], requested_at=last_poll
        )
        free = available_in(30, [poll + WINDOW for poll in polls], now=at, blocked_until=-math.inf)
        step = next_request([page], Window(free, 30.0), at)
        if isinstance(step, LimitedRequest):
            polls.append(at)
            last_poll = at
        else:
            at += step

    pauses = [later - earlier for earlier, later in zip([0.0, *polls], polls, strict=False)]
    assert all(3 <= pause <= 20 for pause in pauses)


def test_last_requests_are_reserved_for_follow_ups():
    """The last two of the 30 requests are reserved for the two requests that follow an extraction."""
    overdue = started(3600, checked=600)
    alone = candidate(PAGE_1, overdue)
    before_a_log = candidate(PAGE_1, replace(overdue, follow_ups=2))

    assert next_request([alone], window(*[100] * 29), NOW) == PAGE_1
    assert isinstance(next_request([before_a_log], window(*[100] * 29), NOW), float)
    assert next_request([before_a_log], window(*[100] * 27), NOW) == PAGE_1


def test_higher_limit_reserves_no_more_than_the_limit_of_stitch():
    """At most 30 requests become available at once, so the scheduler must not reserve more than 30."""
    before_a_log = [
        candidate(LimitedRequest(RequestKind.EXTRACTIONS, page), replace(started(60), follow_ups=2))
        for page in range(1, 30)
    ]

    assert isinstance(next_request(before_a_log, window(limit=1_800), NOW), LimitedRequest)


def test_poll_of_loads_may_use_the_reserved_requests():
    """The last two requests are reserved for logs and loads, so a poll of loads may use them."""
    before_a_log = candidate(PAGE_1, replace(started(3600, checked=5), follow_ups=2))
    loads = candidate(LOADS, started(600))

    assert next_request([before_a_log, loads], window(*[100] * 29), NOW) == LOADS


def test_no_request_is_reserved_if_many_pages_are_polled():
    """If many pages are polled, a reserve of one request in 15 causes more delay than it prevents."""
    before_a_log = replace(started(3600, checked=600), follow_ups=2)
    others = [candidate(LimitedRequest(RequestKind.LOADS, number), started(60)) for number in range(10)]
    page = candidate(PAGE_1, *[before_a_log] * 500)

    assert isinstance(next_request([page, *others[1:]], window(*[100] * 29), NOW), float)
    assert next_request([page, *others], window(*[100] * 29), NOW) == PAGE_1


def test_nothing_is_sent_before_the_job_can_have_started():
    """A sensor can wait for a job that will start tomorrow."""
    tomorrow = CompletionEstimate(last_checked_at=NOW, since=NOW + 86_400)

    assert isinstance(next_request([candidate(PAGE_1, tomorrow)], window(), NOW), float)


def test_nothing_is_sent_without_candidates():
    assert next_request([], window(), NOW) > 0


# --- The delay threshold --------------------------------------------------------------------------------


def test_threshold_rises_with_the_number_of_waiters():
    thresholds = [
        delay_threshold([candidate(PAGE_1, *[started(600)] * number)], window(), NOW)
        for number in (1, 10, 100)
    ]

    assert thresholds[0] < thresholds[1] < thresholds[2]


def test_threshold_rises_as_the_budget_is_used_up():
    thresholds = [
        delay_threshold([candidate(PAGE_1, started(600))], window(*[10] * used), NOW) for used in (0, 15, 28)
    ]

    assert thresholds[0] < thresholds[1] < thresholds[2]


def test_threshold_rises_with_the_time_until_requests_become_available():
    thresholds = [
        delay_threshold(
            [candidate(PAGE_1, started(600))], window(*[20 * n - next_free for n in range(2, 31)]), NOW
        )
        for next_free in (1, 9, 18)
    ]

    assert thresholds[0] < thresholds[1] < thresholds[2]


def test_threshold_depends_on_pages_and_not_only_on_waiters():
    """The number of polls that a page needs is proportional to the square root of its waiter count."""
    one_page = delay_threshold([candidate(PAGE_1, *[started(600)] * 16)], window(), NOW)
    four_pages = delay_threshold(
        [candidate(LimitedRequest(RequestKind.EXTRACTIONS, n), *[started(600)] * 4) for n in range(4)],
        window(),
        NOW,
    )

    # A page with 16 waiters needs sqrt(16) = 4 times as many polls as a page with one waiter. Four pages
    # with 4 waiters each need 4 * sqrt(4) = 8 times as many polls. The delay threshold is proportional to the
    # square of the number of polls.
    assert four_pages == pytest.approx(4 * one_page, rel=0.01)


def test_threshold_of_many_waiters_is_estimated_from_a_sample():
    ages = [10.0 + 7.3 * (number % 500) for number in range(20 * MAX_SAMPLE)]
    all_pages = [
        candidate(LimitedRequest(RequestKind.EXTRACTIONS, n), *map(started, ages[n::200])) for n in range(200)
    ]
    sampled_pages = [replace(each, estimates=each.estimates[:5]) for each in all_pages]

    whole = delay_threshold(all_pages, window(), NOW)
    sample = delay_threshold(sampled_pages, window(), NOW)

    assert whole == pytest.approx(sample * 20, rel=0.2)


# --- Properties for any input ---------------------------------------------------------------------------


@st.composite
def any_estimates(draw):
    start = NOW - draw(st.floats(-3_600, 90_000))
    return CompletionEstimate(
        last_checked_at=draw(st.floats(min_value=start - 60, max_value=NOW + 3_600)),
        since=start,
        activity_start=draw(st.none() | st.just(start + 600)),
        history=DurationHistory.from_durations(draw(st.lists(st.floats(0.1, 86_400), max_size=3))),
        done_by=draw(st.just(math.inf) | st.floats(NOW - 600, NOW + 600)),
        follow_ups=draw(st.integers(0, 2)),
    )


@st.composite
def any_candidates(draw):
    requests = draw(st.lists(st.sampled_from([PAGE_1, PAGE_2, PAGE_3, LOADS, LOG]), unique=True, max_size=5))
    return [
        Candidate(
            request,
            draw(st.lists(any_estimates(), min_size=1, max_size=8)),
            immediate=draw(st.booleans()),
            requested_at=draw(st.just(-math.inf) | st.floats(NOW - 700, NOW + 10)),
        )
        for request in requests
    ]


@st.composite
def any_window(draw):
    limit = draw(st.sampled_from([1, 2, 5, 30, 600]))
    used = draw(st.integers(0, min(limit, 40)))
    ago = draw(st.lists(st.floats(0, 599), min_size=used, max_size=used))
    blocked_until = NOW + draw(st.just(-math.inf) | st.floats(0, 3_600))
    free = available_in(limit, [NOW - each + WINDOW for each in ago], now=NOW, blocked_until=blocked_until)
    return Window(free, draw(st.floats(1, limit)))


@given(any_candidates(), any_window())
def test_request_is_sent_only_if_available_and_wanted(candidates, free):
    step = next_request(candidates, free, NOW)

    if isinstance(step, LimitedRequest):
        assert free.available_in[0] <= 0
        assert step in [each.request for each in candidates]
    else:
        assert 0 < step <= WINDOW / len(free.available_in) * 0.25


@given(any_candidates(), any_window())
def test_due_or_immediate_request_is_sent_if_available(candidates, free):
    even_interval = WINDOW / len(free.available_in)
    due = [each for each in candidates if each.immediate or each.requested_at + even_interval * 0.15 <= NOW]

    step = next_request(due, free, NOW)

    if free.available_in[0] <= 0 and any(each.is_due(NOW) for each in due):
        assert isinstance(step, LimitedRequest)
        assert next(each for each in due if each.request == step).is_due(NOW)


@given(st.lists(any_estimates(), min_size=1, max_size=8), any_window())
def test_scheduler_is_deterministic(estimates, free):
    candidates = [candidate(PAGE_1, *estimates), candidate(LOADS, *estimates[:1])]

    assert next_request(candidates, free, NOW) == next_request(list(candidates), free, NOW)


@given(any_window())
def test_threshold_is_finite_and_not_negative(free):
    for estimate in (started(0.0), started(86_400), done(), started(-3_600)):
        threshold = delay_threshold([candidate(PAGE_1, estimate)], free, NOW)
        assert 0 <= threshold < math.inf


def test_page_with_four_times_the_waiters_is_polled_twice_as_often():
    """The mean delay is lowest if a page's poll rate grows with the square root of its waiter count."""
    polls: Counter[LimitedRequest] = Counter()
    last_polls = {PAGE_1: 0.0, PAGE_2: 0.0}
    sent: list[float] = []
    at = 0.0
    while at < 4 * 3600:
        candidates = [
            # Jobs start and end continuously, so the probability of completion stays the same.
            Candidate(
                page,
                [CompletionEstimate(last_polls[page], at - 1800)] * number,
                requested_at=last_polls[page],
            )
            for page, number in ((PAGE_1, 40), (PAGE_2, 10))
        ]
        free = available_in(30, [each + WINDOW for each in sent[-30:]], now=at, blocked_until=-math.inf)
        step = next_request(candidates, Window(free, 30.0), at)
        if isinstance(step, LimitedRequest):
            polls[step] += 1
            last_polls[step] = at
            sent.append(at)
        else:
            at += step

    assert polls[PAGE_1] / polls[PAGE_2] == pytest.approx(2, abs=0.4)
    assert sum(polls.values()) == pytest.approx(4 * 6 * 30, rel=0.15), "the budget was not spent"
