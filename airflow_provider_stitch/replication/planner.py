"""What to ask Stitch next, and when: a pure function of who waits for what, of the budget and of the time.

As long as a page is not looked at, those wait in vain whose wait is over without their knowing it. That delay
piles up; and once it is worth the price of a request, the page is looked at. The price is such that the
requests of the coming 10 minutes are just spent if all goes as it is expected to: low when one task waits,
and high when a thousand do. If the chance is steady, pages are thus looked at in proportion to the square
root of the number of waits that end there, which makes the mean delay the least. What has happened for
certain, and needs only to be fetched, is asked for at once, since to wait would save no request.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from airflow_provider_stitch.replication.budget import WINDOW
from airflow_provider_stitch.replication.budget_rule import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.replication.budget import Window
    from airflow_provider_stitch.replication.prospects import Prospect

# Ends of the stretches, in seconds from now, in which the coming 10 minutes are looked ahead.
STRETCHES = (10.0, 30.0, 70.0, 150.0, 300.0, 450.0, WINDOW)

# Of so many requests one is kept for what follows once an extraction has ended: its log, and looks at its
# loads; unless there are more pages to look at than a third of the requests. Each is so late then that it
# pays to spend them all.
RESERVE = 15

# Pauses are told in parts of the one between two requests if they were spread evenly, 20 s as a rule.
# A page is not looked at twice within 3 s, and after 5 s the plan is made anew, for chances change.
SHORTEST_PAUSE = 0.15
LONGEST_PAUSE = 0.25

# So many prospects are looked at for a price; of more, every second, third ... one stands for the others.
LARGEST_SAMPLE = 1000


class Request(NamedTuple):
    """A request that counts against Stitch's limit."""

    what: Literal["extractions", "loads", "log"]
    key: int | str  #: the number of a page, or the name of a job


class BudgetWait(float):
    """Seconds to wait although a request is due, because the budget has no free one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request that would serve somebody."""

    request: Request
    prospects: Sequence[Prospect]  #: of those whom it would serve
    urgent: bool = False  #: somebody wants it at once
    asked_at: float = -math.inf  #: when it was made last

    def certain(self, now: float) -> bool:
        return self.urgent or any(now >= prospect.certain_at for prospect in self.prospects)

    def delay(self, now: float) -> float:
        return math.inf if self.urgent else sum(prospect.delay(now) for prospect in self.prospects)


def next_step(candidates: Sequence[Candidate], window: Window, now: float) -> Request | float:
    """Return the request to make now, or the seconds to wait until to plan again.

    :param candidates: the requests that would serve somebody, and are not under way.
    :param now: seconds of the clock of the prospects.
    """
    spacing = WINDOW / len(window.free_in)
    soonest, latest = spacing * SHORTEST_PAUSE, spacing * LONGEST_PAUSE
    # What was asked in the future was asked before the clock was set back.
    ready = [each for each in candidates if not now - soonest < each.asked_at <= now or each.urgent]
    certain = [each for each in ready if each.certain(now)]
    if certain:
        first = max(certain, key=lambda each: each.delay(now))
        return first.request if window.free_in[0] <= 0 else BudgetWait(min(latest, window.free_in[0]))
    if not ready:
        return soonest
    best = max(ready, key=lambda each: each.delay(now))
    price = price_of_a_request(candidates, window, now)
    if best.delay(now) <= price:  # both are 0 where nothing can have happened
        return min(latest, max(soonest / 6, _time_until(price, best, now)))
    kept = _reserve(candidates, window) if best.request.what == "extractions" else 0
    free_in = window.free_in[kept]
    if free_in <= 0:
        return best.request
    pause = min(latest, free_in)
    return BudgetWait(pause) if window.free_in[0] > 0 else pause


def price_of_a_request(candidates: Sequence[Candidate], window: Window, now: float) -> float:
    """Return the delay, in seconds of all waiters together, that a look at a page must save to be worth it.

    The looks that a price leads to are the integral of the square root of (what happens per second, divided
    by twice the price). They must not be more than there will be requests for, at no time of the window.
    """
    every = 1 + sum(len(each.prospects) for each in candidates) // LARGEST_SAMPLE
    demand = [0.0] * len(STRETCHES)
    kept = _reserve(candidates, window) + sum(each.certain(now) for each in candidates)
    for candidate in candidates:
        if candidate.certain(now):
            continue
        prospects = candidate.prospects[::every]
        known = [prospect.pending(prospect.known_at) for prospect in prospects]
        left, begins = float(len(prospects)), 0.0
        for index, ends in enumerate(STRETCHES):
            still = sum(
                prospect.pending(now + ends) / at_first
                for prospect, at_first in zip(prospects, known, strict=True)
            )
            # As if nobody had gone by then: whoever is wrong about the end must not have spent all before it.
            goes = len(candidate.prospects) * max(0.0, 1 - still / left) if left else 0.0
            demand[index] += math.sqrt(goes * (ends - begins))
            left, begins = still, ends
    dearest = 0.0
    needed = 0.0
    for looks, ends in zip(demand, STRETCHES, strict=True):
        needed += looks
        free = _free_within(ends, window) - kept
        dearest = max(dearest, needed / max(free, ends / WINDOW * window.share / 3, 0.5))
    return dearest**2 / 2


def _free_within(seconds: float, window: Window) -> float:
    """Return how many requests may be sent within so many seconds, with a part of the next one: it would seem
    dear to ask now if none comes free for 10 s, and one after 11 s."""
    number = bisect_left(window.free_in, seconds)
    if number == len(window.free_in):
        return float(number)
    latest = window.free_in[number - 1] if number else 0.0
    return number + (seconds - latest) / (window.free_in[number] - latest)


def _time_until(price: float, candidate: Candidate, now: float) -> float:
    """Estimate when the delay, which grows with the square of the time, is worth the price."""
    delay = candidate.delay(now)
    if delay <= 0:
        return math.inf
    passed = now - min(prospect.known_at for prospect in candidate.prospects)
    return passed * (math.sqrt(price / delay) - 1)


def _reserve(candidates: Sequence[Candidate], window: Window) -> int:
    """Return how many requests looks at extractions leave to what follows once one has ended."""
    if len(candidates) > window.share / 3:
        return 0
    following = sum(prospect.then for each in candidates for prospect in each.prospects)
    return min(following, int(min(window.share, AT_ONCE) / RESERVE), len(window.free_in) - 1)
