"""Test that concurrent callers share one call."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.replication.polling.concurrency import SingleFlight
from simulated_stitch.virtual_time import VirtualLoop, run


class Calls:
    """An async function that returns the number of the call after 10 seconds. The third call fails."""

    def __init__(self) -> None:
        self.started = 0

    async def __call__(self) -> int:
        self.started += 1
        number = self.started
        await asyncio.sleep(10.0)
        if number == 3:
            raise ConnectionError("the third")
        return number


@pytest.fixture
def calls():
    return Calls()


def results_of(calls: Calls, *called_at: float, cancelled_at: float | None = None) -> list[object]:
    """Return the result or exception that each caller received.

    :param called_at: when the callers request the result, in seconds.
    :param cancelled_at: when the first caller is cancelled, in seconds.
    """
    loop = VirtualLoop()

    async def call_all() -> list[object]:
        shared = SingleFlight(calls)

        async def call(at: float) -> int:
            await asyncio.sleep(at)
            return await shared.result()

        tasks = [asyncio.ensure_future(call(at)) for at in called_at]
        if cancelled_at is not None:
            loop.call_later(cancelled_at, tasks[0].cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return run(loop, call_all())


def test_simultaneous_callers_share_one_call(calls):
    assert results_of(calls, 0, 0, 0) == [1, 1, 1]
    assert calls.started == 1


def test_callers_during_a_call_share_the_next_one(calls):
    assert results_of(calls, 0, 1, 9) == [1, 2, 2]
    assert calls.started == 2


def test_caller_after_a_call_starts_a_new_one(calls):
    assert results_of(calls, 0, 11) == [1, 2]


def test_callers_share_the_error_of_a_call_and_the_next_call_succeeds(calls):
    first, second, *sharing_third, fourth = results_of(calls, 0, 1, 11, 12, 25)

    assert (first, second, fourth) == (1, 2, 4)
    assert [str(error) for error in sharing_third] == ["the third"] * 2


def test_cancelled_caller_does_not_cancel_the_call_for_others(calls):
    cancelled, other = results_of(calls, 0, 0, cancelled_at=5)

    assert isinstance(cancelled, asyncio.CancelledError)
    assert other == 1
    assert calls.started == 1
