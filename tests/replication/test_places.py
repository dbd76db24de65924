"""Few requests at a time in an event loop."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.replication.places import PLACES, Place
from benchmarks.virtual_time import VirtualLoop, run


@pytest.fixture
def loop():
    return VirtualLoop()


async def hold(loop: VirtualLoop, begun: list[float], seconds: float = 10.0) -> None:
    async with Place():
        begun.append(loop.time())
        await asyncio.sleep(seconds)


def test_no_more_than_there_are_places_for_begin_at_once(loop):
    begun: list[float] = []

    async def story() -> None:
        await asyncio.gather(*(hold(loop, begun) for _ in range(2 * PLACES + 1)))

    run(loop, story())

    assert begun == [0.0] * PLACES + [10.0] * PLACES + [20.0]


def test_who_sleeps_leaves_its_place_to_others(loop):
    begun: list[float] = []

    async def rest() -> None:
        async with Place() as sleep:
            await sleep(100.0)

    async def story() -> None:
        await asyncio.gather(*(rest() for _ in range(10 * PLACES)), hold(loop, begun))

    run(loop, story())

    assert begun == [0.0]


@pytest.mark.parametrize(
    "cancelled_at", [5.0, 50.0, 105.0], ids=["asking", "sleeping", "waiting for a place"]
)
def test_who_is_cancelled_takes_no_place_along(loop, cancelled_at):
    begun: list[float] = []

    async def rest() -> None:
        async with Place() as sleep:
            await asyncio.sleep(10.0)
            await sleep(90.0)

    async def story() -> None:
        resting = [asyncio.ensure_future(rest()) for _ in range(PLACES)]
        loop.call_later(99.0, lambda: [asyncio.ensure_future(hold(loop, [], 10.0)) for _ in range(PLACES)])
        for each in resting:
            loop.call_later(cancelled_at, each.cancel)
        await asyncio.sleep(120.0)
        await asyncio.gather(*(hold(loop, begun) for _ in range(2 * PLACES)))

    run(loop, story())

    assert begun == [120.0] * PLACES + [130.0] * PLACES
