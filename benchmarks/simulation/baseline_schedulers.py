"""Fixed schedules, which choose the next request by a simple rule.

In some simulations, a fixed schedule replaces the provider's scheduler. A fixed schedule receives the same
arguments as the scheduler: the possible requests with the waiters' completion estimates, and the state of the
request budget. Like the scheduler, a fixed schedule first sends the requests that are due. A fixed schedule
uses the whole budget while any task is waiting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_stitch.replication.budget.window import DEFAULT_LIMIT, WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_stitch.replication.budget.window import Window
    from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest
    from airflow_provider_stitch.replication.polling.scheduler import Candidate


def _seconds_since_poll(candidate: Candidate, now: float) -> float:
    return now - candidate.requested_at


def _total_waiting_time(candidate: Candidate, now: float) -> float:
    return sum(max(0.0, now - estimate.last_checked_at) for estimate in candidate.estimates)


def _expected_delay(candidate: Candidate, now: float) -> float:
    return candidate.expected_delay(now)


# A function that returns the priority of a request. The request with the highest priority is sent next.
PRIORITIES: dict[str, Callable[[Candidate, float], float]] = {
    "in turn": _seconds_since_poll,
    "most waiters": _total_waiting_time,
    "longest delay": _expected_delay,
}


@dataclass
class FixedSchedule:
    """A replacement for `next_request` that sends requests at a fixed interval.

    :param interval: seconds between two requests.
    :param priority: a function that returns the priority of a request at a given time.
    """

    interval: float
    priority: Callable[[Candidate, float], float]
    last_request_at: float = field(default=-math.inf, init=False)

    def __call__(self, candidates: Sequence[Candidate], window: Window, now: float) -> LimitedRequest | float:
        wait = max(window.available_in[0], self.last_request_at + self.interval - now)
        useful = [each for each in candidates if each.is_due(now) or each.expected_delay(now) > 0]
        if not useful:
            return 1.0
        if wait > 0:
            return wait
        self.last_request_at = now
        first = max(useful, key=lambda each: (each.is_due(now), self.priority(each, now)))
        return first.request


def fixed_schedules() -> dict[str, FixedSchedule]:
    """Return the fixed schedules by name.

    The last schedule first polls twice as fast, and then pauses because the request budget is used up.
    """
    even_interval = WINDOW / DEFAULT_LIMIT
    even = {
        f"every {even_interval:g} s, {name}": FixedSchedule(even_interval, priority)
        for name, priority in PRIORITIES.items()
    }
    return even | {"every 10 s, then pause, in turn": FixedSchedule(even_interval / 2, _seconds_since_poll)}
