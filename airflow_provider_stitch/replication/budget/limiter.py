"""The rate limiter of one account, by default for 30 status requests in any period of 10 minutes.

Status requests are the requests for extractions, logs and loads. Source: Stitch Connect API, "Rate limits".
If an account repeatedly exceeds the limit, Stitch may block the status requests of the account, even if
Stitch has responded to the excess requests. This module therefore counts the requests, either in memory for
one process, or in a file for all processes on a host.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.replication.budget.store import BudgetStore
from airflow_provider_stitch.replication.budget.window import DEFAULT_LIMIT, WINDOW, Window, available_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

STORE_RETRY_INTERVAL = 60.0
"""Number of seconds after a failure before the store is used again."""

_log = logging.getLogger(__name__)


class RequestBudget:
    """A count of the status requests that this process sends to one account.

    A request counts against the limit from the time at which it is sent until one window after its response.
    Stitch counts a request at some time after it is sent and before its response arrives. Regardless of the
    latency, Stitch therefore never counts more than `limit` requests in any window.
    """

    def __init__(
        self, limit: int = DEFAULT_LIMIT, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self._limits: dict[str, int] = {}  # request limit of each connection, by connection id
        self._monotonic = monotonic
        self._response_times: deque[float] = deque()
        self._in_flight = 0
        self._blocked_until = float("-inf")
        self._lock = threading.Lock()

    @property
    def even_interval(self) -> float:
        """Seconds between two requests if all requests are spread evenly over a window."""
        return WINDOW / self.limit

    def set_limit(self, connection_id: str, limit: int) -> None:
        """Set the limit of one connection. The budget uses the lowest limit of all connections."""
        with self._lock:
            self._limits[connection_id] = limit
            self.limit = min(self._limits.values())

    def window(self) -> Window:
        """Return when each of the `limit` requests is available, and this process's share of the requests."""
        return self._own_window()

    def _own_window(self, hosts: int = 1) -> Window:
        """Return the window that contains only the requests of this process.

        :param hosts: number of hosts by which the limit is divided; see `available_in`.
        """
        with self._lock:
            return Window(self._available_in(hosts), float(max(1, self.limit // hosts)))

    def acquire(self) -> float:
        """Count one request and return 0.0, or return the number of seconds until a request is available."""
        with self._lock:
            wait = self._available_in()[0]
            if not wait:
                self._in_flight += 1
            return wait

    def release(self) -> None:
        """Record that a counted request has received its response, or will never receive one."""
        with self._lock:
            self._in_flight -= 1
            self._response_times.append(self._monotonic())

    def block(self, seconds: float) -> None:
        """For this number of seconds, allow no request, because Stitch has returned status 429."""
        with self._lock:
            self._blocked_until = max(self._blocked_until, self._monotonic() + seconds)

    def _available_in(self, hosts: int = 1) -> tuple[float, ...]:
        now = self._monotonic()
        while self._response_times and self._response_times[0] <= now - WINDOW:
            self._response_times.popleft()
        counted_until = [response_time + WINDOW for response_time in self._response_times]
        # The response to a request in flight cannot arrive before the current time.
        counted_until += [now + WINDOW] * self._in_flight
        return available_in(
            self.limit, counted_until, now=now, blocked_until=self._blocked_until, hosts=hosts
        )


class SharedRequestBudget(RequestBudget):
    """A count, in a file, of the status requests that all processes on this host send to one account.

    The requests of this process are also counted in memory. If the file cannot be used, no task fails, and
    this process still respects the limit. If the file has to be replaced, the count in memory remains.

    Each method usually takes less than a millisecond. A method may block for about two seconds while other
    processes lock the file.

    :param folder: the folder that contains the budget file. The folder must exist.
    :param account: base URL and client ID of the account.
    """

    def __init__(
        self,
        limit: int,
        folder: Path,
        account: tuple[str, int],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(limit, monotonic=monotonic)
        self._account = account
        self._store = BudgetStore(folder, account, monotonic=monotonic)
        self._store_retry_at = float("-inf")
        self._has_warned = False

    def window(self) -> Window:
        own = self._own_window()
        # Memory and file must use the same limit, even if another thread changes the limit.
        limit = len(own.available_in)
        shared = self._with_store(lambda: self._store.window(limit))
        if shared is None:
            return own
        return Window(tuple(map(max, own.available_in, shared.available_in)), shared.share)

    def acquire(self) -> float:
        if wait := self._own_window().available_in[0]:
            return wait
        shared_wait = self._with_store(lambda: self._store.acquire(self.limit))
        if shared_wait is None:
            return super().acquire()
        if shared_wait:
            return shared_wait
        with self._lock:
            self._in_flight += 1
        self._has_warned = False  # the store works again, so the next failure will be logged
        return 0.0

    def release(self) -> None:
        super().release()
        self._with_store(self._store.release)

    def block(self, seconds: float) -> None:
        super().block(seconds)
        self._with_store(lambda: self._store.block(seconds))

    def _with_store(self, operation: Callable[[], T]) -> T | None:
        """Return the result of an operation on the store, or None while the store cannot be used."""
        if self._monotonic() < self._store_retry_at:
            return None
        try:
            return operation()
        except (OSError, sqlite3.Error) as error:
            self._store_retry_at = self._monotonic() + STORE_RETRY_INTERVAL
            if not self._has_warned:
                self._warn(error)
            return None

    def _warn(self, error: Exception) -> None:
        self._has_warned = True
        base_url, client_id = self._account
        _log.warning(
            "Cannot use the budget file that this host's processes share for Stitch account %s (%s): "
            "%s (%s). The task continues, but this process counts only its own requests until the "
            "file can be used. If other processes use the account, Stitch may receive more requests than it "
            "allows, and may then block the account's status requests. Make the file and its folder readable "
            "and writable for the user that runs Airflow, or divide requests_per_10_minutes among the "
            "processes.",
            client_id,
            base_url,
            error,
            self._store.path,
        )
