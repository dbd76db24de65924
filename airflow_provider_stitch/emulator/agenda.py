"""What is going to happen, by the instant at which it does."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class Agenda:
    """Things to do, each at its instant. Nothing runs by itself: whoever looks runs what is due by then.

    An entry cannot be taken back. What it calls must find out whether it still has anything to do.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entered = 0  # what was entered first happens first

    def at(self, instant: datetime, act: Callable[..., None], *subject: Any) -> None:
        """Call ``act`` with the subject and this instant once it has come."""
        self._entered += 1
        heapq.heappush(self._entries, (instant, self._entered, act, subject))

    def run_until(self, now: datetime) -> None:
        """Do what is due, in the order of its instants; also what is entered meanwhile."""
        while self._entries and self._entries[0][0] <= now:
            instant, _, act, subject = heapq.heappop(self._entries)
            act(*subject, instant)

    def next_at(self) -> datetime | None:
        """The instant of the first thing to do; None if there is nothing."""
        return self._entries[0][0] if self._entries else None
