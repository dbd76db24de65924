"""The sliding window of 30 requests in 10 minutes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.replication.budget import WINDOW, Budget, shared_budget


class Time:
    now: float = 0

    def __call__(self) -> float:
        return self.now


def test_the_31st_request_waits_until_the_first_is_10_minutes_old():
    time = Time()
    budget = Budget(30, monotonic=time)
    for _ in range(30):
        assert budget.take() == 0
        time.now += 1
        budget.give_back()

    assert budget.take() == WINDOW - 29  # the first answer came at 1 s, and now it is 30 s


def test_a_refusal_by_stitch_holds_everybody_back():
    time = Time()
    budget = Budget(30, monotonic=time)
    budget.block(90)

    assert budget.take() == 90
    time.now = 90
    assert budget.take() == 0


def test_everybody_who_asks_about_an_account_shares_one_budget():
    assert shared_budget(("stitch", 1), 30) is shared_budget(("stitch", 1), 30)
    assert shared_budget(("stitch", 1), 30) is not shared_budget(("stitch", 2), 30)


def test_of_two_shares_of_one_account_the_smaller_holds():
    first = shared_budget(("stitch", 3), 30)

    assert shared_budget(("stitch", 3), 10) is first
    assert first.limit == 10


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 60), st.booleans()), min_size=1, max_size=60),
)
def test_stitch_never_counts_more_than_the_limit_in_any_window(limit, requests):
    """Each request: a pause before it, the time its answer takes, and whether Stitch counts it at once."""
    time = Time()
    budget = Budget(limit, monotonic=time)
    counted: list[float] = []
    for pause, takes, at_once in requests:
        time.now += pause
        while wait := budget.take():
            time.now += wait
        counted.append(time.now + (0 if at_once else takes))
        time.now += takes
        budget.give_back()

    for first in counted:
        assert sum(first <= moment < first + WINDOW for moment in counted) <= limit
