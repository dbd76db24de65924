"""Simulate hosts that share a request budget through Redis.

The simulation runs in virtual time.
"""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING, Any

import redis

from airflow_provider_stitch.replication.budget import redis_store
from airflow_provider_stitch.replication.budget.hosts_limiter import HostsRequestBudget
from airflow_provider_stitch.replication.budget.window import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.redis_servers import KillableRedis

ACCOUNT = ("https://api.stitchdata.com", 104857)

REDIS_TIME = "redis.call('TIME')"


def use_virtual_time_in_redis(monkeypatch: Any) -> None:
    """Make the Redis script read the time from a Redis key that `Hosts` sets."""
    assert redis_store.SCRIPT.count(REDIS_TIME) == 1
    virtual = redis_store.SCRIPT.replace(REDIS_TIME, "{redis.call('GET', 'clock'), '0'}")
    monkeypatch.setattr(redis_store, "SCRIPT", virtual)


class Hosts:
    """Simulated hosts with processes that send requests, and the times when Stitch counts each request."""

    def __init__(self, server: KillableRedis, folder: Path, *, limit: int = 30) -> None:
        self.now = 0.0
        self.counted: list[float] = []
        self._server = server
        self._client = server.client()
        self.folder = folder
        self._flaky: list[_FlakyClient] = []
        self._limit = limit
        self._is_up = True
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.advance(0.0)

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def run(self, until: float) -> None:
        """Run all events that are due by a given time."""
        while self._events and self._events[0][0] <= until:
            time, _, event = heapq.heappop(self._events)
            self.advance(time)
            event()
        self.advance(until)

    def advance(self, time: float) -> None:
        self.now = max(self.now, time)
        if self._is_up:
            self._client.set("clock", f"{1_800_000_000 + self.now:.6f}")

    def kill_redis(self) -> None:
        if self._is_up:
            self._server.kill()
            self._is_up = False

    def start_redis(self) -> None:
        if not self._is_up:
            self._server.start()
            self._is_up = True
            self.advance(self.now)

    def disconnect(self) -> None:
        """Disconnect all hosts from Redis, which keeps its data."""
        for client in self._flaky:
            client.is_connected = False

    def reconnect(self) -> None:
        for client in self._flaky:
            client.is_connected = True

    def new_client(self) -> Any:
        """Return a new Redis client for a simulated process."""
        self._flaky.append(_FlakyClient(self._server.client()))
        return self._flaky[-1]

    def budget(self, host: int, *, folder: Path | None = None) -> HostsRequestBudget:
        """Return the request budget for a new process on a host.

        The monotonic clocks of different hosts differ.
        """
        if folder is None:
            folder = self.folder / str(host)
            folder.mkdir(exist_ok=True)
        budget = HostsRequestBudget(
            self._limit, folder, ACCOUNT, monotonic=lambda: self.now + 100_000 * (host + 1)
        )
        budget.set_redis("stitch", self.new_client())
        return budget

    def max_in_a_window(self, seconds: float = WINDOW) -> int:
        times = sorted(self.counted)
        first = most = 0
        for last, time in enumerate(times):
            while times[first] <= time - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


class _FlakyClient:
    """A Redis client whose connection a test can interrupt."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.is_connected = True

    def register_script(self, text: str) -> Callable[..., Any]:
        script = self._client.register_script(text)

        def run(**arguments: Any) -> Any:
            if not self.is_connected:
                raise redis.ConnectionError("the network is cut")
            return script(**arguments)

        return run


class Process:
    """A simulated process with waiters, each of which needs one request."""

    def __init__(self, hosts: Hosts, host: int, rng: random.Random) -> None:
        self.hosts, self.host, self.rng = hosts, host, rng
        self.waiting = 0
        self.served = 0
        self._budget = hosts.budget(host)
        self._is_scheduled = False
        self._generation = 0

    def add_waiter(self) -> None:
        self.waiting += 1
        self._schedule(0.0)

    def replace(self) -> None:
        """Kill the process, and start another process that takes over the remaining waiters."""
        self._generation += 1
        self._budget = self.hosts.budget(self.host)
        self._is_scheduled = False
        self._schedule(1.0)

    def _schedule(self, seconds: float) -> None:
        if self.waiting and not self._is_scheduled:
            self._is_scheduled = True
            generation = self._generation
            self.hosts.at(
                self.hosts.now + seconds, lambda: self._send() if generation == self._generation else None
            )

    def _send(self) -> None:
        self._is_scheduled = False
        wait = self._budget.acquire()
        if wait:
            self._schedule(min(wait, 100.0) + self.rng.uniform(0.01, 0.5))
            return
        latency = self.rng.choice([0.3, 1.0, 2.0, 20.0])
        self.hosts.counted.append(self.hosts.now + latency * self.rng.random())
        self.waiting -= 1
        self.served += 1
        generation, budget = self._generation, self._budget

        def release() -> None:
            # a process that was killed before the response arrives does not release the request
            if generation == self._generation:
                budget.release()

        self.hosts.at(self.hosts.now + latency, release)
        self._schedule(0.01)
