"""Test the request budget that several hosts share through Redis, even while Redis is killed.

Set `STITCH_TEST_REDIS_RUNS=20` to run the kill test with more random seeds.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.replication.budget import redis_store
from airflow_provider_stitch.replication.budget.window import WINDOW
from tests.support.hosts_simulation import Hosts, Process, use_virtual_time_in_redis
from tests.support.redis_servers import KINDS, running_redis

if TYPE_CHECKING:
    from airflow_provider_stitch.replication.budget.hosts_limiter import HostsRequestBudget


@pytest.fixture(params=KINDS)
def server(request, monkeypatch):
    use_virtual_time_in_redis(monkeypatch)
    with running_redis(request.param) as server:
        yield server


@pytest.fixture
def hosts(server, tmp_path) -> Hosts:
    return Hosts(server, tmp_path)


# --- The kill test ------------------------------------------------------------------------------------------

#: How often the kill test runs for each kind of Redis server.
RUNS = int(os.environ.get("STITCH_TEST_REDIS_RUNS", "8"))


@pytest.mark.parametrize("seed", range(RUNS))
def test_limit_holds_and_all_waiters_are_served_while_redis_is_killed(hosts, seed):
    rng = random.Random(seed)
    processes = [Process(hosts, number % 3, rng) for number in range(6)]
    last_arrival = 4 * WINDOW
    for _ in range(100):
        # About half of the waiters arrive in bursts.
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


# --- The count in Redis -------------------------------------------------------------------------------------


def send(hosts: Hosts, budget: HostsRequestBudget) -> float:
    """Send a request and return 0. If the budget is used up, return the number of seconds to wait."""
    if not (wait := budget.acquire()):
        budget.release()
    return wait


@pytest.fixture
def pair(hosts):
    """Return the budgets of two hosts that have used Redis for 15 minutes, with a limit of 30 requests."""
    pair = hosts.budget(0), hosts.budget(1)
    for minute in range(16):
        hosts.advance(minute * 60)
        for budget in pair:
            budget.window()
    assert [budget.window().available_in[0] for budget in pair] == [0, 0]
    return pair


def test_nothing_is_sent_for_a_window_after_the_first_use(hosts, caplog):
    budget = hosts.budget(0)

    window = budget.window()

    assert window.available_in[0] == pytest.approx(1.1 * WINDOW)
    assert "Redis has no count of this account's requests" in window.reason
    assert "No host sends a status request of Stitch account 104857" in caplog.text
    hosts.advance(1.1 * WINDOW)
    assert budget.acquire() == 0
    assert budget.window().reason == ""


def test_hosts_share_one_count(hosts, pair):
    one, two = pair
    for _ in range(20):
        assert send(hosts, one) == 0
    assert two.acquire() == 0  # in flight
    hosts.advance(hosts.now + 100)

    assert one.window().available_in == pytest.approx([0] * 9 + [WINDOW - 100] * 20 + [WINDOW])


def test_run_id_that_only_some_hosts_can_read_is_not_a_restart(server, hosts, pair):
    client = server.client()
    (key,) = client.keys("*:requests")
    is_readable = client.hget(key, "server") != b"unknown"
    client.hset(key, "server", "unknown" if is_readable else "0123456789abcdef")

    assert [budget.window().reason for budget in pair] == ["", ""]
    assert client.hget(key, "server") != b"unknown"


def test_count_of_a_fast_emulator_exceeds_the_results_of_a_lua_function(server, hosts):
    store = redis_store.RedisStore(server.client(), ("http://127.0.0.1", 1), "process")
    store.window("host", 18_000)
    (key,) = server.client().keys("*:requests")
    now = server.client().hget(key, "latest").decode()
    server.client().hset(key, mapping={f"r process {number}": f"{now} {now}" for number in range(9000)})

    assert len(store.window("host", 18_000).requests) == 9000


def test_share_follows_from_the_requests_of_other_processes():
    requests = [("one", 600.0)] * 20 + [("two", 600.0)]
    reply = redis_store.Reply(0.0, 0.0, 0.0, "", "", 2, requests)

    assert reply.window(30, "one").share == 29
    assert reply.window(30, "two").share == 15


def test_request_of_a_killed_host_expires(hosts, pair):
    one, two = pair
    for _ in range(30):
        assert one.acquire() == 0
    hosts.advance(hosts.now + 2 * WINDOW - 1)
    assert two.acquire() == pytest.approx(1)
    hosts.advance(hosts.now + 1)
    assert two.acquire() == 0


def test_block_applies_to_all_hosts(hosts, pair):
    one, two = pair
    one.block(90)
    one.block(30)  # a later, shorter block does not replace a longer block

    assert two.acquire() == pytest.approx(90)
    assert two.window().reason == ""
    hosts.advance(hosts.now + 90)
    assert two.acquire() == 0


def test_response_without_redis_is_reported_when_redis_is_back(hosts, pair):
    one, two = pair
    assert one.acquire() == 0
    hosts.disconnect()
    hosts.advance(hosts.now + 10)
    one.release()
    hosts.reconnect()
    hosts.advance(hosts.now + 10)
    one.window()

    assert two.window().available_in[-1] == pytest.approx(WINDOW - 10)


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=60),
)
@settings(max_examples=25, deadline=None)
def test_script_and_window_agree_on_the_next_request(limit, requests):
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        use_virtual_time_in_redis(patch)
        with running_redis("memory") as server:
            hosts = Hosts(server, Path(folder), limit=limit)
            one, two = hosts.budget(0), hosts.budget(1)
            one.window()
            hosts.advance(1.1 * WINDOW)
            for pause, has_response in requests:
                hosts.advance(hosts.now + pause)
                expected = two.window().available_in[0]
                assert two.acquire() == pytest.approx(expected, abs=1e-3)
                if not expected and has_response:
                    two.release()


# --- A doubtful count ---------------------------------------------------------------------------------------


def edit_count(server, field: str, value: str) -> None:
    (key,) = (key for key in server.client().scan_iter() if key.endswith(b":requests"))
    server.client().hset(key, field, value)


@pytest.mark.parametrize("server", [kind for kind in KINDS if kind != "memory"], indirect=True)
def test_no_host_sends_for_a_window_if_the_server_was_replaced(hosts, pair, server):
    """A Redis server with a new run ID may have restored an old copy of its data."""
    one, two = pair
    edit_count(server, "server", "another")

    assert one.acquire() == pytest.approx(1.1 * WINDOW)
    assert two.acquire() == pytest.approx(1.1 * WINDOW)
    assert "Redis was restarted or replaced" in two.window().reason


def test_no_host_sends_for_a_window_if_the_server_clock_was_set_back(hosts, pair, server):
    one, two = pair
    for _ in range(30):
        send(hosts, one)
    server.client().set("clock", "1799999000")

    assert two.acquire() == pytest.approx(1.1 * WINDOW)
    assert "was set back" in two.window().reason


def test_count_is_in_doubt_after_a_host_sent_requests_without_redis(hosts, pair):
    one, _ = pair
    third = hosts.budget(2)
    third.set_redis("stitch", None)
    assert send(hosts, third) == 0
    hosts.advance(hosts.now + 1)
    assert one.acquire() == 0

    third.set_redis("stitch", hosts.new_client())
    assert third.acquire() == pytest.approx(1.1 * WINDOW)
    assert one.acquire() == pytest.approx(1.1 * WINDOW)
    assert "requests that Redis did not count" in one.window().reason


# --- Redis is away ------------------------------------------------------------------------------------------


def test_hosts_are_silent_for_a_window_and_then_send_an_equal_part(hosts, pair, caplog):
    caplog.clear()
    hosts.kill_redis()
    one, _ = pair
    started = hosts.now

    for budget in pair:
        assert budget.window().available_in[0] == pytest.approx(1.1 * WINDOW)
        assert "Redis cannot be reached" in budget.window().reason
        assert budget.acquire() > 0
    hosts.advance(started + 1.1 * WINDOW)
    assert [sum(not send(hosts, budget) for _ in range(40)) for budget in pair] == [15, 15]
    assert len(one.window().available_in) == 15
    # A new process shares its host's part of the budget.
    assert hosts.budget(0).acquire() > 0
    warnings = [message for message in caplog.messages if "Cannot use Redis" in message]
    assert len(warnings) == 3  # one warning per process
    assert "it may send 15 of the 30 requests in 10 minutes" in warnings[0]


def test_first_host_that_is_back_silences_all(hosts, pair):
    one, two = pair
    hosts.disconnect()
    one.acquire()
    hosts.advance(hosts.now + 1.2 * WINDOW)
    assert send(hosts, one) == 0
    hosts.reconnect()
    hosts.advance(hosts.now + 10)

    assert one.acquire() == pytest.approx(1.1 * WINDOW)
    assert two.acquire() == pytest.approx(1.1 * WINDOW)
    hosts.advance(hosts.now + 1.1 * WINDOW)
    assert two.acquire() == 0


def test_short_failure_without_a_loss_delays_nothing_else(hosts, pair):
    one, two = pair
    hosts.disconnect()
    assert one.acquire() > 0
    hosts.advance(hosts.now + 60)
    hosts.reconnect()

    assert one.acquire() == 0
    assert two.acquire() == 0


def test_host_that_never_reached_redis_counts_in_its_file(hosts, caplog):
    hosts.kill_redis()
    first, second = hosts.budget(0), hosts.budget(0)

    assert [send(hosts, first) for _ in range(20)] == [0] * 20
    assert [send(hosts, second) for _ in range(10)] == [0] * 10
    assert second.acquire() > 0
    assert "never reached Redis" in caplog.text


def test_host_that_just_joined_waits_for_redis(hosts, pair):
    third = hosts.budget(2)
    third.window()
    hosts.kill_redis()
    third.acquire()
    hosts.advance(hosts.now + 5 * WINDOW)

    assert third.acquire() > 0


def test_more_hosts_than_requests_wait_for_redis(hosts, tmp_path, server):
    small = Hosts(server, tmp_path, limit=1)
    pair = small.budget(3), small.budget(4)
    for minute in range(16):
        small.advance(minute * 60)
        for budget in pair:
            budget.window()
    small.kill_redis()
    pair[0].acquire()
    small.advance(small.now + 5 * WINDOW)

    assert [budget.acquire() > 0 for budget in pair] == [True, True]
    small.start_redis()


def test_unusable_file_makes_each_process_a_host(hosts, server):
    """Without a budget file, the processes on a host cannot divide the host's part of the budget."""
    budgets = [hosts.budget(0, folder=hosts.folder / "missing") for _ in range(2)]
    for minute in range(16):
        hosts.advance(minute * 60)
        for budget in budgets:
            budget.window()
    hosts.kill_redis()
    for budget in budgets:
        budget.acquire()
    hosts.advance(hosts.now + 1.2 * WINDOW)

    assert [sum(not send(hosts, budget) for _ in range(40)) for budget in budgets] == [15, 15]


def test_limit_above_30_shortens_the_silence(server, tmp_path):
    fast = Hosts(server, tmp_path, limit=1800)
    budget = fast.budget(0)

    assert budget.acquire() == pytest.approx(11)
    fast.advance(11)
    assert [send(fast, budget) for _ in range(30)] == [0] * 30
    assert budget.acquire() == pytest.approx(10)


def test_only_one_hash_is_stored_and_it_expires(hosts, pair, server):
    send(hosts, pair[0])

    keys = [key for key in server.client().scan_iter() if key != b"clock"]
    assert len(keys) == 1
    assert re.fullmatch(rb"\{stitch-[0-9a-f]{16}\}:requests", keys[0])
    assert server.client().ttl(keys[0]) > 30 * 86_400
