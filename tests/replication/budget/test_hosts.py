"""Tests of the budget that several hosts share through Redis, also while Redis is killed."""

from __future__ import annotations

import random

import pytest

from airflow_provider_stitch.replication.budget.window import WINDOW
from tests.support.hosts_simulation import Hosts, Process, use_virtual_time_in_redis
from tests.support.redis_servers import KINDS, running_redis


@pytest.fixture(params=KINDS)
def server(request, monkeypatch):
    use_virtual_time_in_redis(monkeypatch)
    with running_redis(request.param) as server:
        yield server


@pytest.fixture
def hosts(server, tmp_path) -> Hosts:
    return Hosts(server, tmp_path)


# --- The kill test ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_limit_holds_and_all_waiters_are_served_while_redis_is_killed(hosts, seed):
    rng = random.Random(seed)
    processes = [Process(hosts, number % 3, rng) for number in range(6)]
    last_arrival = 4 * WINDOW
    for _ in range(100):
        # Half of the waiters arrive in bursts.
        time = rng.choice([rng.uniform(0, last_arrival), WINDOW * rng.randint(0, 3)])
        hosts.at(time, rng.choice(processes).add_waiter)
    back_at = 0.0
    for _ in range(3):
        killed_at = rng.uniform(0, last_arrival)
        away = rng.choice([rng.uniform(1, 30), rng.uniform(0.5, 2.5) * WINDOW])
        hosts.at(killed_at, hosts.kill_redis)
        hosts.at(killed_at + away, hosts.start_redis)
        back_at = max(back_at, killed_at + away)
    for _ in range(5):
        hosts.at(rng.uniform(0, last_arrival), rng.choice(processes).replace)
    hosts.run(until=max(back_at, last_arrival) + 10 * WINDOW)

    assert hosts.max_in_a_window() <= 30
    assert [process.waiting for process in processes] == [0] * 6
    assert len(hosts.counted) == 100
