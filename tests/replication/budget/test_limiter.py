"""The sliding window of 30 requests in 10 minutes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.budget.limiter import WINDOW, RequestBudget, account_budget
from airflow_provider_stitch.replication.budget.window import available_in, fair_share
from tests.support.budget_worker import Time


def test_the_31st_request_waits_until_the_first_is_10_minutes_old():
    time = Time()
    budget = RequestBudget(30, monotonic=time)
    for _ in range(30):
        assert budget.acquire() == 0
        time.now += 1
        budget.release()

    assert budget.acquire() == WINDOW - 29  # the first answer came at 1 s, and now it is 30 s


def test_a_refusal_by_stitch_holds_everybody_back():
    time = Time()
    budget = RequestBudget(30, monotonic=time)
    budget.block(90)

    assert budget.acquire() == 90
    time.now = 90
    assert budget.acquire() == 0


def test_everybody_who_asks_about_an_account_shares_one_budget():
    assert account_budget(("stitch", 1), 30) is account_budget(("stitch", 1), 30)
    assert account_budget(("stitch", 1), 30) is not account_budget(("stitch", 2), 30)


def test_of_two_shares_of_one_account_the_smaller_holds():
    first = account_budget(("stitch", 3), 30)

    assert account_budget(("stitch", 3), 10, connection_id="another") is first
    assert first.limit == 10


def test_budget_follows_the_latest_number_of_each_connection():
    def limit(connection_id: str, number: int) -> int:
        return account_budget(("stitch", 4), number, connection_id=connection_id).limit

    assert limit("sales", 30) == 30
    assert limit("sales", 10) == 10
    assert limit("sales", 20) == 20
    assert limit("product", 15) == 15
    assert limit("product", 25) == 20
    assert limit("sales", 30) == 25


def test_next_request_uses_the_number_that_was_set_last():
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
def test_stitch_never_counts_more_than_the_limit_in_any_window(limit, requests):
    """Each request: a pause before it, the time its answer takes, and whether Stitch counts it at once."""
    time = Time()
    budget = RequestBudget(limit, monotonic=time)
    counted: list[float] = []
    for pause, takes, at_once in requests:
        time.now += pause
        while wait := budget.acquire():
            time.now += wait
        counted.append(time.now + (0 if at_once else takes))
        time.now += takes
        budget.release()

    for first in counted:
        assert sum(first <= moment < first + WINDOW for moment in counted) <= limit


def test_the_window_tells_when_each_request_may_be_sent():
    time = Time()
    budget = RequestBudget(4, monotonic=time)
    for time.now in (0, 10):
        budget.acquire()
        budget.release()
    budget.acquire()
    time.now = 100

    assert budget.window().available_in == (0, WINDOW - 100, WINDOW - 90, WINDOW)  # the last one is under way
    assert budget.window().share == 4
    budget.block(505)
    assert budget.window().available_in == (505, 505, 510, WINDOW)


def test_with_all_requests_under_way_none_is_free_before_a_window_has_passed():
    time = Time()
    budget = RequestBudget(1, monotonic=time)
    budget.acquire()

    assert budget.acquire() == WINDOW


@given(st.integers(1, 8), st.lists(st.integers(-50, 700), max_size=20), st.integers(-50, 900))
def test_whoever_sends_when_the_window_says_so_keeps_the_limit(limit, counted_until, blocked_until):
    free = available_in(limit, counted_until, now=0, blocked_until=blocked_until)

    assert len(free) == limit
    assert list(free) == sorted(free)
    assert free[0] >= max(0, blocked_until)
    for sent_before, seconds in enumerate(free):
        still = sum(until > seconds for until in counted_until)
        assert still + sent_before < limit
        earlier = seconds - 1
        if earlier >= max(0, blocked_until):  # and no request waits longer than it must
            assert sum(until > earlier for until in counted_until) + sent_before >= limit


@given(st.integers(31, 400), st.lists(st.floats(0, 60), min_size=100, max_size=200))
def test_a_limit_above_stitch_s_own_lets_no_more_come_at_once_but_as_many_sooner(limit, pauses):
    """That of an emulator, whose ten minutes may pass in seconds."""
    time = Time()
    budget = RequestBudget(limit, monotonic=time)
    counted = []
    for pause in pauses:
        time.now += pause
        while wait := budget.acquire():
            time.now += wait
        counted.append(time.now)
        budget.release()

    for span, most in (WINDOW, limit), (WINDOW * 30 / limit, 30):
        nearly = span * (1 - 1e-9)
        assert max(sum(first <= at < first + nearly for at in counted) for first in counted) <= most
    window = budget.window()
    assert len(window.available_in) == limit
    assert list(window.available_in) == sorted(window.available_in)


@pytest.mark.parametrize(
    ("limit", "others", "share"),
    [
        pytest.param(30, [], 30, id="alone"),
        pytest.param(30, ["a"] * 4, 26, id="what others leave"),
        pytest.param(30, ["a"] * 20, 15, id="no less than an equal part"),
        pytest.param(30, ["a"] * 20 + ["b"] * 10, 10, id="of three"),
        pytest.param(2, ["a", "b", "c"], 1, id="never under one"),
        pytest.param(1, ["a"] * 9, 1, id="nor over the limit"),
    ],
)
def test_the_fair_share(limit, others, share):
    assert fair_share(limit, others) == share
