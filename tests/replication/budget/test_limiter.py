"""Test the request budget of one process, which allows 30 requests in any 10 minutes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.budget.accounts import account_budget
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.budget.window import WINDOW, available_in, fair_share
from tests.support.budget_worker import Time


def test_31st_request_waits_until_the_first_is_10_minutes_old():
    time = Time()
    budget = RequestBudget(30, monotonic=time)
    for _ in range(30):
        assert budget.acquire() == 0
        time.now += 1
        budget.release()

    assert budget.acquire() == WINDOW - 29  # the first response arrived at 1 s, and the time is now 30 s


def test_acquire_waits_while_the_budget_is_blocked():
    time = Time()
    budget = RequestBudget(30, monotonic=time)
    budget.block(90)

    assert budget.acquire() == 90
    time.now = 90
    assert budget.acquire() == 0


def test_account_budget_is_the_same_object_for_each_caller():
    assert account_budget(("stitch", 1), 30) is account_budget(("stitch", 1), 30)
    assert account_budget(("stitch", 1), 30) is not account_budget(("stitch", 2), 30)


def test_lowest_limit_of_two_connections_applies():
    first = account_budget(("stitch", 3), 30)

    assert account_budget(("stitch", 3), 10, connection_id="another") is first
    assert first.limit == 10


def test_latest_limit_of_each_connection_applies():
    def limit(connection_id: str, number: int) -> int:
        return account_budget(("stitch", 4), number, connection_id=connection_id).limit

    assert limit("sales", 30) == 30
    assert limit("sales", 10) == 10
    assert limit("sales", 20) == 20
    assert limit("product", 15) == 15
    assert limit("product", 25) == 20
    assert limit("sales", 30) == 25


def test_next_request_uses_the_limit_that_was_set_last():
    time = Time()
    budget = RequestBudget(2, monotonic=time)
    for _ in range(2):
        assert budget.acquire() == 0
        budget.release()

    assert budget.acquire() == WINDOW
    budget.set_limit("sales", 3)
    assert budget.acquire() == 0
    budget.release()
    budget.set_limit("sales", 1)
    assert budget.acquire() == WINDOW


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 60), st.booleans()), min_size=1, max_size=60),
)
def test_stitch_never_counts_more_requests_than_the_limit(limit, requests):
    """Each tuple in `requests` contains the pause before a request, its duration and a flag.

    If the flag is set, Stitch counts the request when the request starts, and otherwise when it ends.
    """
    time = Time()
    budget = RequestBudget(limit, monotonic=time)
    counted: list[float] = []
    for pause, duration, counts_at_start in requests:
        time.now += pause
        while wait := budget.acquire():
            time.now += wait
        counted.append(time.now + (0 if counts_at_start else duration))
        time.now += duration
        budget.release()

    for first in counted:
        assert sum(first <= time < first + WINDOW for time in counted) <= limit


def test_window_contains_the_wait_for_each_request():
    time = Time()
    budget = RequestBudget(4, monotonic=time)
    for time.now in (0, 10):
        budget.acquire()
        budget.release()
    budget.acquire()
    time.now = 100

    # The last request is still in flight.
    assert budget.window().available_in == (0, WINDOW - 100, WINDOW - 90, WINDOW)
    assert budget.window().share == 4
    budget.block(505)
    assert budget.window().available_in == (505, 505, 510, WINDOW)


def test_acquire_waits_a_window_if_all_requests_are_in_flight():
    time = Time()
    budget = RequestBudget(1, monotonic=time)
    budget.acquire()

    assert budget.acquire() == WINDOW


@given(st.integers(1, 8), st.lists(st.integers(-50, 700), max_size=20), st.integers(-50, 900))
def test_sending_when_available_never_exceeds_limit(limit, counted_until, blocked_until):
    waits = available_in(limit, counted_until, now=0, blocked_until=blocked_until)

    assert len(waits) == limit
    assert list(waits) == sorted(waits)
    assert waits[0] >= max(0, blocked_until)
    for sent_before, wait in enumerate(waits):
        still_counted = sum(until > wait for until in counted_until)
        assert still_counted + sent_before < limit
        earlier = wait - 1
        if earlier >= max(0, blocked_until):  # no request waits longer than necessary
            assert sum(until > earlier for until in counted_until) + sent_before >= limit


@given(st.integers(31, 400), st.lists(st.floats(0, 60), min_size=100, max_size=200))
def test_limit_above_30_shortens_waits_but_not_the_burst(limit, pauses):
    """A fast emulator has a higher limit, but allows at most 30 requests in 10 emulated minutes."""
    time = Time()
    budget = RequestBudget(limit, monotonic=time)
    counted = []
    for pause in pauses:
        time.now += pause
        while wait := budget.acquire():
            time.now += wait
        counted.append(time.now)
        budget.release()

    for seconds, maximum in (WINDOW, limit), (WINDOW * 30 / limit, 30):
        span = seconds * (1 - 1e-9)  # allows for rounding errors in `first + span`
        assert max(sum(first <= at < first + span for at in counted) for first in counted) <= maximum
    window = budget.window()
    assert len(window.available_in) == limit
    assert list(window.available_in) == sorted(window.available_in)


@pytest.mark.parametrize(
    ("limit", "others", "share"),
    [
        pytest.param(30, [], 30, id="no other process"),
        pytest.param(30, ["a"] * 4, 26, id="the rest"),
        pytest.param(30, ["a"] * 20, 15, id="at least half"),
        pytest.param(30, ["a"] * 20 + ["b"] * 10, 10, id="at least a third"),
        pytest.param(2, ["a", "b", "c"], 1, id="at least one"),
        pytest.param(1, ["a"] * 9, 1, id="at most the limit"),
    ],
)
def test_fair_share_is_the_rest_but_at_least_an_equal_part(limit, others, share):
    assert fair_share(limit, others) == share
