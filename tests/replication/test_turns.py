"""Who waits says so from time to time, and never many at once."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter

import pytest

from airflow_provider_stitch.replication.turns import PACE
from airflow_provider_stitch.replication.watch import SIGN_OF_LIFE, Watch
from tests.replication import sizes

LONG = 1800.0
MANY = 150


@pytest.mark.parametrize("poll_interval", [None, 60.0], ids=["planned", "at an interval"])
def test_of_many_who_begin_to_wait_at_once_one_a_second_says_that_it_still_does(poll_interval):
    never = float("inf")
    account = sizes.Account(sizes.Jobs(dict.fromkeys(range(310_000, 310_000 + MANY), never)))
    account.client.now = account.loop.time
    said: list[tuple[float, int]] = []

    async def wait(source_id: int) -> None:
        def tell(line: str) -> None:
            if line.startswith("Still waiting"):
                said.append((account.loop.time(), source_id))

        reader = account.reader(deadline=account.clock.time() + LONG)
        await Watch(reader, sizes.goal_of(source_id), poll_interval=poll_interval, tell=tell).wait()

    async def story() -> None:
        await asyncio.gather(*map(wait, account.client.ends))

    account.run(story)

    times = [at for at, _ in said]
    assert min(times) >= SIGN_OF_LIFE
    busiest = max(bisect_left(times, at + 10 * PACE) - number for number, at in enumerate(times))
    assert busiest <= 10 + 1
    each = Counter(source_id for _, source_id in said)
    assert len(each) == MANY, "everybody has had its turn"
    assert max(each.values()) <= LONG / SIGN_OF_LIFE
