"""What to ask next, and when."""

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
    """What is left when requests were answered so many seconds ago."""
    counted_until = [NOW - ago + WINDOW for ago in used_ago]
    free = available_in(limit, counted_until, now=NOW, blocked_until=-math.inf)
    return Window(free, float(limit) if share is None else share)


def since(seconds: float, *, known: float | None = None, **fields) -> CompletionEstimate:
    """Somebody waits for what began so many seconds ago, and was looked at `known` seconds ago."""
    return CompletionEstimate(
        last_checked_at=NOW - (seconds if known is None else known), since=NOW - seconds, **fields
    )


def waiting(request: LimitedRequest, *estimates: CompletionEstimate, **fields) -> Candidate:
    return Candidate(request, estimates, **fields)


def certain(seconds_ago: float = 0.0) -> CompletionEstimate:
    return since(seconds_ago, done_by=NOW - seconds_ago)


# --- What is certain ------------------------------------------------------------------------------------


def test_what_has_happened_for_certain_is_fetched_at_once():
    assert next_request([waiting(LOG, certain())], window(), NOW) == LOG


def test_what_somebody_wants_at_once_is_asked_for_at_once():
    assert next_request([waiting(PAGE_1, immediate=True, requested_at=NOW - 0.1)], window(), NOW) == PAGE_1


def test_what_somebody_wants_at_once_comes_before_what_is_certain():
    candidates = [waiting(LOG, certain(500)), waiting(PAGE_1, immediate=True)]

    assert next_request(candidates, window(), NOW) == PAGE_1


def test_of_what_is_certain_that_comes_first_which_was_waited_for_longest():
    candidates = [waiting(LOG, certain(10)), waiting(LOADS, certain(100)), waiting(PAGE_1, certain(50))]

    assert next_request(candidates, window(), NOW) == LOADS


def test_what_is_certain_waits_for_a_free_request():
    step = next_request([waiting(LOG, certain())], window(*[500] * 30), NOW)

    assert 0 < step <= 100


def test_what_is_certain_comes_before_what_is_likely():
    likely = [since(3600) for _ in range(1000)]

    assert next_request([waiting(PAGE_1, *likely), waiting(LOG, certain())], window(), NOW) == LOG


# --- What is worth a look -------------------------------------------------------------------------------


def test_the_page_for_which_most_wait_comes_first():
    candidates = [
        waiting(PAGE_1, since(600)),
        waiting(PAGE_2, *[since(600)] * 5),
        waiting(PAGE_3, *[since(600)] * 2),
    ]

    assert next_request(candidates, window(), NOW) == PAGE_2


def test_of_pages_with_as_many_the_one_that_was_not_looked_at_for_longest_comes_first():
    candidates = [
        waiting(page, *[since(600, known=known)] * 3)
        for page, known in ((PAGE_1, 60), (PAGE_2, 300), (PAGE_3, 120))
    ]

    assert next_request(candidates, window(), NOW) == PAGE_2


def test_a_page_whose_jobs_are_due_comes_before_one_whose_jobs_are_not():
    due, not_due = DurationHistory.from_durations([600] * 5), DurationHistory.from_durations([10_000] * 5)
    candidates = [
        waiting(PAGE_1, *[since(660, known=60, history=not_due)] * 3),
        waiting(PAGE_2, *[since(660, known=60, history=due)] * 3),
    ]

    assert next_request(candidates, window(), NOW) == PAGE_2


def test_nothing_is_asked_right_after_a_look():
    just_looked = waiting(PAGE_1, since(600, known=0.5), requested_at=NOW - 0.5)

    assert isinstance(next_request([just_looked], window(), NOW), float)


def test_one_who_waits_alone_is_served_some_seconds_after_the_last_look():
    """The budget would allow a look every 20 s for ever, and so more often at first."""
    looks, at, known = [], 0.0, 0.0
    while len(looks) < 10:
        candidate = Candidate(
            PAGE_1, [CompletionEstimate(last_checked_at=known, since=0.0)], requested_at=known
        )
        free = available_in(30, [look + WINDOW for look in looks], now=at, blocked_until=-math.inf)
        step = next_request([candidate], Window(free, 30.0), at)
        if isinstance(step, LimitedRequest):
            looks.append(at)
            known = at
        else:
            at += step

    pauses = [later - earlier for earlier, later in zip([0.0, *looks], looks, strict=False)]
    assert all(3 <= pause <= 20 for pause in pauses)


def test_of_the_last_requests_one_is_kept_for_the_log_that_will_be_due():
    """With 28 of 30 used, the last two are for what follows an extraction: its log, and its loads."""
    long_ago = since(3600, known=600)
    alone = waiting(PAGE_1, long_ago)
    before_a_log = waiting(PAGE_1, replace(long_ago, follow_ups=2))

    assert next_request([alone], window(*[100] * 29), NOW) == PAGE_1
    assert isinstance(next_request([before_a_log], window(*[100] * 29), NOW), float)
    assert next_request([before_a_log], window(*[100] * 27), NOW) == PAGE_1


def test_of_a_greater_limit_no_more_is_kept_than_of_stitch_s_own():
    """No more than 30 come at once there, either: more than these can't be kept of them."""
    before_a_log = [
        waiting(LimitedRequest(RequestKind.EXTRACTIONS, page), replace(since(60), follow_ups=2))
        for page in range(1, 30)
    ]

    assert isinstance(next_request(before_a_log, window(limit=1_800), NOW), LimitedRequest)


def test_looks_at_loads_have_what_looks_at_extractions_leave():
    """The loads that follow a log are not certain, but are what the last two are kept for."""
    before_a_log = waiting(PAGE_1, replace(since(3600, known=5), follow_ups=2))
    loads = waiting(LOADS, since(600))

    assert next_request([before_a_log, loads], window(*[100] * 29), NOW) == LOADS


def test_where_many_pages_are_looked_at_no_request_is_kept():
    """Each page is so late then that a fifteenth of all looks is worth more than logs without a delay."""
    before_a_log = replace(since(3600, known=600), follow_ups=2)
    others = [waiting(LimitedRequest(RequestKind.LOADS, number), since(60)) for number in range(10)]
    page = waiting(PAGE_1, *[before_a_log] * 500)

    assert isinstance(next_request([page, *others[1:]], window(*[100] * 29), NOW), float)
    assert next_request([page, *others], window(*[100] * 29), NOW) == PAGE_1


def test_as_long_as_nothing_can_have_happened_nothing_is_asked():
    """A sensor may be told to wait for a job that begins tomorrow."""
    tomorrow = CompletionEstimate(last_checked_at=NOW, since=NOW + 86_400)

    assert isinstance(next_request([waiting(PAGE_1, tomorrow)], window(), NOW), float)


def test_nobody_to_serve_is_nothing_to_ask():
    assert next_request([], window(), NOW) > 0


# --- The price ------------------------------------------------------------------------------------------


def test_a_request_is_the_dearer_the_more_wait():
    prices = [
        delay_threshold([waiting(PAGE_1, *[since(600)] * number)], window(), NOW) for number in (1, 10, 100)
    ]

    assert prices[0] < prices[1] < prices[2]


def test_a_request_is_the_dearer_the_fewer_are_left():
    prices = [
        delay_threshold([waiting(PAGE_1, since(600))], window(*[10] * used), NOW) for used in (0, 15, 28)
    ]

    assert prices[0] < prices[1] < prices[2]


def test_a_request_is_the_dearer_the_later_the_next_ones_come_free():
    prices = [
        delay_threshold(
            [waiting(PAGE_1, since(600))], window(*[20 * n - next_one for n in range(2, 31)]), NOW
        )
        for next_one in (1, 9, 18)
    ]

    assert prices[0] < prices[1] < prices[2]


def test_a_thousand_on_one_page_are_a_hundred_times_ten():
    """What a page is looked at for is all who wait for it: their delay counts, and not their number."""
    one_page = delay_threshold([waiting(PAGE_1, *[since(600)] * 16)], window(), NOW)
    four_pages = delay_threshold(
        [waiting(LimitedRequest(RequestKind.EXTRACTIONS, n), *[since(600)] * 4) for n in range(4)],
        window(),
        NOW,
    )

    # The looks that 16 waiters are worth are 4 times one's; of 4 pages with 4 each, 4 times 2 times one's.
    assert four_pages == pytest.approx(4 * one_page, rel=0.01)


def test_one_of_very_many_stands_for_the_others():
    ages = [10.0 + 7.3 * (number % 500) for number in range(20 * MAX_SAMPLE)]
    some = [
        waiting(LimitedRequest(RequestKind.EXTRACTIONS, n), *map(since, ages[n::200])) for n in range(200)
    ]
    few = [replace(each, estimates=each.estimates[:5]) for each in some]

    whole = delay_threshold(some, window(), NOW)
    sample = delay_threshold(few, window(), NOW)

    assert whole == pytest.approx(sample * 20, rel=0.2)


# --- Whatever is waited for -----------------------------------------------------------------------------


@st.composite
def any_estimates(draw):
    began = NOW - draw(st.floats(-3_600, 90_000))
    return CompletionEstimate(
        last_checked_at=draw(st.floats(min_value=began - 60, max_value=NOW + 3_600)),
        since=began,
        timed_from=draw(st.none() | st.just(began + 600)),
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
def test_nothing_is_ever_asked_that_is_not_free_or_not_waited_for(candidates, free):
    step = next_request(candidates, free, NOW)

    if isinstance(step, LimitedRequest):
        assert free.available_in[0] <= 0
        assert step in [candidate.request for candidate in candidates]
    else:
        assert 0 < step <= WINDOW / len(free.available_in) * 0.25


@given(any_candidates(), any_window())
def test_what_is_certain_or_urgent_and_may_be_asked_is_asked(candidates, free):
    even_interval = WINDOW / len(free.available_in)
    due = [each for each in candidates if each.immediate or each.requested_at + even_interval * 0.15 <= NOW]

    step = next_request(due, free, NOW)

    if free.available_in[0] <= 0 and any(each.is_due(NOW) for each in due):
        assert isinstance(step, LimitedRequest)
        assert next(each for each in due if each.request == step).is_due(NOW)


@given(st.lists(any_estimates(), min_size=1, max_size=8), any_window())
def test_a_plan_depends_on_nothing_but_what_it_is_told(estimates, free):
    candidates = [waiting(PAGE_1, *estimates), waiting(LOADS, *estimates[:1])]

    assert next_request(candidates, free, NOW) == next_request(list(candidates), free, NOW)


@given(any_window())
def test_a_price_is_never_nothing_and_never_infinite(free):
    for estimate in (since(0.0), since(86_400), certain(), since(-3_600)):
        price = delay_threshold([waiting(PAGE_1, estimate)], free, NOW)
        assert 0 <= price < math.inf


def test_in_the_long_run_a_page_with_four_times_as_many_is_looked_at_twice_as_often():
    """The square root of what ends there is what makes the mean delay the least."""
    looks: Counter[LimitedRequest] = Counter()
    known = {PAGE_1: 0.0, PAGE_2: 0.0}
    sent: list[float] = []
    at = 0.0
    while at < 4 * 3600:
        candidates = [
            # Jobs begin and end all the time, so that the chance is steady.
            Candidate(page, [CompletionEstimate(known[page], at - 1800)] * number, requested_at=known[page])
            for page, number in ((PAGE_1, 40), (PAGE_2, 10))
        ]
        free = available_in(30, [each + WINDOW for each in sent[-30:]], now=at, blocked_until=-math.inf)
        step = next_request(candidates, Window(free, 30.0), at)
        if isinstance(step, LimitedRequest):
            looks[step] += 1
            known[step] = at
            sent.append(at)
        else:
            at += step

    assert looks[PAGE_1] / looks[PAGE_2] == pytest.approx(2, abs=0.4)
    assert sum(looks.values()) == pytest.approx(4 * 6 * 30, rel=0.15), "the budget is spent"
