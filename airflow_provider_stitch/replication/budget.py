"""30 status requests in any 10 minutes: the limit that one account's programs share, kept by a sliding
window.

Source: Stitch Connect API, "Rate limits". Stitch need not enforce it, and may block who passes it repeatedly,
so the client keeps it by itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

WINDOW = 600.0
"""Seconds over which requests are counted."""

DEFAULT_LIMIT = 30
"""Requests that Stitch allows in a window."""


class Budget:
    """What is left of one account's requests in this process.

    A request counts from when it is sent until a window after its answer has come: Stitch counts it somewhere
    in between, so that however long the way, Stitch never counts more than `limit` in any window.
    """

    def __init__(
        self, limit: int = DEFAULT_LIMIT, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self._monotonic = monotonic
        self._answered: deque[float] = deque()
        self._under_way = 0
        self._blocked_until = float("-inf")
        self._lock = threading.Lock()

    @property
    def spacing(self) -> float:
        """Seconds between two requests if they are spread evenly over a window."""
        return WINDOW / self.limit

    def take(self) -> float:
        """Take one request and return 0.0; or, if none is left, return the seconds until to ask again."""
        with self._lock:
            now = self._monotonic()
            while self._answered and self._answered[0] <= now - WINDOW:
                self._answered.popleft()
            if now < self._blocked_until:
                return self._blocked_until - now
            if len(self._answered) + self._under_way < self.limit:
                self._under_way += 1
                return 0.0
            # With all of them under way, the first answer is waited for in small steps.
            return self._answered[0] + WINDOW - now if self._answered else self.spacing / 10

    def give_back(self) -> None:
        """Say that the answer to a taken request has come, or will not come."""
        with self._lock:
            self._under_way -= 1
            self._answered.append(self._monotonic())

    def block(self, seconds: float) -> None:
        """Ask nothing for so many seconds: Stitch has said that it was too much."""
        with self._lock:
            self._blocked_until = max(self._blocked_until, self._monotonic() + seconds)


_budgets: dict[Hashable, Budget] = {}
_budgets_lock = threading.Lock()


def shared_budget(account: Hashable, limit: int) -> Budget:
    """Return the budget that everybody in this process who asks about `account` shares.

    Where two connections to one account allow different numbers of requests, the smaller holds for both.
    """
    with _budgets_lock:
        budget = _budgets.setdefault(account, Budget(limit))
        budget.limit = min(budget.limit, limit)
        return budget
