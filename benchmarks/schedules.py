"""Fixed schedules: what to ask next by a simple rule, in place of the planner's.

They are told the same as it is: which requests would serve whom, what those may expect, what is left of the
budget. What has happened for certain they fetch first, as it does. They spend the whole budget as long as
anybody waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_stitch.replication.budget import DEFAULT_LIMIT, WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_stitch.replication.budget import Window
    from airflow_provider_stitch.replication.planner import Candidate, Request


def _in_turn(candidate: Candidate, now: float) -> float:  # noqa: ARG001
    return -candidate.asked_at


def _waited(candidate: Candidate, now: float) -> float:
    return sum(max(0.0, now - prospect.known_at) for prospect in candidate.prospects)


def _expected(candidate: Candidate, now: float) -> float:
    return candidate.delay(now)


# Which page next: that not looked at for longest; that which most have waited for, for longest; or that whose
# delay is expected to be the longest.
ORDERS: dict[str, Callable[[Candidate, float], float]] = {
    "in turn": _in_turn,
    "most waiters": _waited,
    "longest delay": _expected,
}


@dataclass
class FixedSchedule:
    """Asks in an order, so many seconds after the request before. Stands in for `next_step`."""

    pause: float
    order: Callable[[Candidate, float], float]
    asked_at: float = field(default=-math.inf, init=False)

    def __call__(self, candidates: Sequence[Candidate], window: Window, now: float) -> Request | float:
        wait = max(window.free_in[0], self.asked_at + self.pause - now)
        useful = [each for each in candidates if each.certain(now) or each.delay(now) > 0]
        if not useful:
            return 1.0
        if wait > 0:
            return wait
        self.asked_at = now
        first = max(useful, key=lambda each: (each.certain(now), self.order(each, now)))
        return first.request


def fixed_schedules() -> dict[str, FixedSchedule]:
    """Return those that may be the best, by name: whoever asks faster at first must pause for long."""
    evenly = WINDOW / DEFAULT_LIMIT
    even = {f"every {evenly:g} s, {name}": FixedSchedule(evenly, order) for name, order in ORDERS.items()}
    return even | {"every 10 s, then pause, in turn": FixedSchedule(evenly / 2, _in_turn)}
