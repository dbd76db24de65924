"""One call for all who want its answer at the same time."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.replication.polling.concurrency import SingleFlight
from simulated_stitch.virtual_time import VirtualLoop, run


class Calls:
    """A call that takes 10 s and answers with its number."""

    def __init__(self) -> None:
        self.begun = 0

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await asyncio.sleep(10.0)
        if number == 3:
            raise ConnectionError("the third")
        return number


@pytest.fixture
def calls():
    return Calls()


def told(calls: Calls, *begin_at: float, cancelled_at: float | None = None) -> list[object]:
    """What each is told who comes at one of these times; the first may go again."""
    loop = VirtualLoop()

    async def story() -> list[object]:
        shared = SingleFlight(calls)

        async def come(at: float) -> int:
            await asyncio.sleep(at)
            return await shared.result()

        tasks = [asyncio.ensure_future(come(at)) for at in begin_at]
        if cancelled_at is not None:
            loop.call_later(cancelled_at, tasks[0].cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return run(loop, story())


def test_who_comes_at_the_same_time_shares_one_call(calls):
    assert told(calls, 0, 0, 0) == [1, 1, 1]
    assert calls.begun == 1


def test_who_comes_while_a_call_is_under_way_shares_the_next_one(calls):
    assert told(calls, 0, 1, 9) == [1, 2, 2]
    assert calls.begun == 2


def test_who_comes_after_the_answer_has_a_call_of_its_own(calls):
    assert told(calls, 0, 11) == [1, 2]


def test_all_who_share_a_call_are_told_its_error_and_the_next_call_is_made_as_ever(calls):
    first, second, *thirds, fourth = told(calls, 0, 1, 11, 12, 25)

    assert (first, second, fourth) == (1, 2, 4)
    assert [str(each) for each in thirds] == ["the third"] * 2


def test_who_is_cancelled_leaves_the_answer_to_the_others(calls):
    cancelled, other = told(calls, 0, 0, cancelled_at=5)

    assert isinstance(cancelled, asyncio.CancelledError)
    assert other == 1
    assert calls.begun == 1
