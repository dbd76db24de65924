"""30 status requests in any 10 minutes: the limit that one account's programs share, kept by a sliding
window.

Source: Stitch Connect API, "Rate limits". Stitch need not enforce it, and may block who passes it repeatedly,
so the client keeps it by itself: for this process, or through a file for all processes of this host.
"""

from __future__ import annotations

import logging
import os
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

__all__ = ["DEFAULT_LIMIT", "WINDOW", "RequestBudget", "SharedRequestBudget", "Window", "shared_budget"]

T = TypeVar("T")

STORE_RETRY_INTERVAL = 60.0
"""Seconds for which a file that could not be used is left alone."""

_log = logging.getLogger(__name__)


class RequestBudget:
    """What is left of one account's requests in this process.

    A request counts from when it is sent until a window after its answer has come: Stitch counts it somewhere
    in between, so that however long the way, Stitch never counts more than `limit` in any window.
    """

    def __init__(
        self, limit: int = DEFAULT_LIMIT, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self._limits: dict[str, int] = {}  # by the id of the connection
        self._monotonic = monotonic
        self._answered: deque[float] = deque()
        self._under_way = 0
        self._blocked_until = float("-inf")
        self._lock = threading.Lock()

    @property
    def even_interval(self) -> float:
        """Seconds between two requests if they are spread evenly over a window."""
        return WINDOW / self.limit

    def set_limit(self, connection_id: str, limit: int) -> None:
        """Set the number of a connection. The smallest number of all connections is the limit."""
        with self._lock:
            self._limits[connection_id] = limit
            self.limit = min(self._limits.values())

    def window(self) -> Window:
        """Return when each request of the limit may be sent, and how many of them are this process's."""
        with self._lock:
            return Window(self._free_in(), float(self.limit))

    def acquire(self) -> float:
        """Take one request and return 0.0; or, if none is left, return the seconds until to ask again."""
        with self._lock:
            wait = self._free_in()[0]
            if not wait:
                self._under_way += 1
            return wait

    def release(self) -> None:
        """Say that the answer to a taken request has come, or will not come."""
        with self._lock:
            self._under_way -= 1
            self._answered.append(self._monotonic())

    def block(self, seconds: float) -> None:
        """Ask nothing for so many seconds: Stitch has said that it was too much."""
        with self._lock:
            self._blocked_until = max(self._blocked_until, self._monotonic() + seconds)

    def _free_in(self) -> tuple[float, ...]:
        now = self._monotonic()
        while self._answered and self._answered[0] <= now - WINDOW:
            self._answered.popleft()
        counted_until = [answered + WINDOW for answered in self._answered]
        # What is under way is answered now at the earliest.
        counted_until += [now + WINDOW] * self._under_way
        return available_in(self.limit, counted_until, now=now, blocked_until=self._blocked_until)


class SharedRequestBudget(RequestBudget):
    """What is left of one account's requests on this host, by a file that its processes share.

    What this process has sent is counted here as well. So there is a budget to keep when the file cannot be
    used (no task fails for that), and a file that had to be begun anew does not forgive what was sent before.

    Each method may take as long as the file is locked by others, up to about two seconds; without them, less
    than a millisecond.

    :param folder: where the file is, or is to be.
    :param account: base URL and client ID.
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
        self._file = BudgetStore(folder, account, monotonic=monotonic)
        self._alone_until = float("-inf")
        self._warned = False

    def window(self) -> Window:
        own = super().window()
        limit = len(own.available_in)
        common = self._with_store(lambda: self._file.window(limit))
        if common is None:
            return own
        return Window(tuple(map(max, own.available_in, common.available_in)), common.share)

    def acquire(self) -> float:
        if wait := super().window().available_in[0]:
            return wait
        common = self._with_store(lambda: self._file.acquire(self.limit))
        if common is None:
            return super().acquire()
        if common:
            return common
        with self._lock:
            self._under_way += 1
        self._warned = False  # the file can be written, so that its next failure is news
        return 0.0

    def release(self) -> None:
        super().release()
        self._with_store(self._file.release)

    def block(self, seconds: float) -> None:
        super().block(seconds)
        self._with_store(lambda: self._file.block(seconds))

    def _with_store(self, ask: Callable[[], T]) -> T | None:
        """Return what the file says, or None as long as it cannot be used."""
        if self._monotonic() < self._alone_until:
            return None
        try:
            return ask()
        except (OSError, sqlite3.Error) as error:
            self._alone_until = self._monotonic() + STORE_RETRY_INTERVAL
            if not self._warned:
                self._warn(error)
            return None

    def _warn(self, error: Exception) -> None:
        self._warned = True
        base_url, client_id = self._account
        _log.warning(
            "The file in which this host's processes share the request budget of Stitch account %s (%s) "
            "cannot be used: %s (%s). The task goes on, but until the file can be used this process counts "
            "its own requests only. With others beside it, Stitch may be asked more often than it allows, "
            "and may then block the account's status requests. Make the file and its folder readable and "
            "writable for the user that Airflow runs as, or divide requests_per_10_minutes among the "
            "processes.",
            client_id,
            base_url,
            error,
            self._file.path,
        )


_budgets: dict[tuple[tuple[str, int], Path | None], RequestBudget] = {}
_budgets_lock = threading.Lock()


def shared_budget(
    account: tuple[str, int], limit: int, folder: Path | None = None, *, connection_id: str = ""
) -> RequestBudget:
    """Return the budget that everybody in this process who asks about `account` shares.

    Where two connections to one account allow different numbers of requests, the smaller holds for both. If
    the number of one connection changes, its latest number holds. With a `folder`, all processes of this host
    that name it share one count, each up to its own limit.

    :param account: base URL and client ID.
    :param folder: where to keep the file of the count; None counts in this process alone.
    """
    with _budgets_lock:
        if (budget := _budgets.get((account, folder))) is None:
            budget = RequestBudget(limit) if folder is None else SharedRequestBudget(limit, folder, account)
            _budgets[account, folder] = budget
        budget.set_limit(connection_id, limit)
        return budget


def _forget_parent() -> None:
    """A forked process begins with budgets of its own: its parent's requests are never given back in it, and
    a lock that another thread of the parent held would never be released."""
    global _budgets_lock  # noqa: PLW0603 - the lock may be held, so it has to be another
    _budgets_lock = threading.Lock()
    _budgets.clear()


os.register_at_fork(after_in_child=_forget_parent)
