"""Decide which request to send next, and when to send it.

The decision is a pure function of estimates, budget and time. A finished phase remains unnoticed until a page
that contains its result is polled. For each page, the scheduler adds up the expected detection delays of all
waiters that need the page (see `completion`). The page with the largest sum is polled as soon as this sum
exceeds a threshold. The threshold is the *shadow price* of a request, in seconds of delay. The shadow price
is chosen so that the expected polls use exactly the requests that the budget allows in the next 10 minutes.
The threshold is low if one task waits, and high if a thousand tasks wait.

The number of polls and the threshold follow from a square-root rule. Suppose that events occur on a page at a
rate of r per second, and that the page is polled every T seconds. On average, an event is noticed T/2 seconds
late, so the delays of one interval add up to r T^2 / 2. If the page is polled when this sum reaches the price
p, then

    T = sqrt(2 p / r),  or  1 / T = sqrt(r / (2 p)) polls per second.

Pages are therefore polled in proportion to the square root of their event rates, which minimizes the mean
delay for a given number of requests. The next 10 minutes are divided into steps. If n events are expected in
a step of d seconds (r = n / d), the step requires sqrt(n d / (2 p)) polls of the page. If m requests become
free before a step ends, at most m polls of all pages are possible until then. The price is therefore

    p = max over all steps of (sum of sqrt(n d) until the end of the step / m)^2 / 2.

For each step, n is the number of waiters times the relative decrease of their survival function. A result
that is certainly available is fetched first, because waiting would not save a request.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stitch.replication.budget.window import MAX_BURST, WINDOW
from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest, RequestKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_stitch.replication.budget.window import Window
    from airflow_provider_stitch.replication.polling.completion import CompletionEstimate

# The time at which each step of the forecast ends, in seconds from now.
HORIZON_STEPS = (10.0, 30.0, 70.0, 150.0, 300.0, 450.0, WINDOW)

# One request in 15 is reserved for the polls of logs and loads that follow an extraction. If the number of
# pages exceeds a third of the budget, no request is reserved, because the pages need all requests.
RESERVE_ONE_IN = 15

# Fractions of the interval between evenly spread requests, which is 20 s for 30 requests in 10 minutes. A
# page is polled at most once every 3 s. A new plan is made after at most 5 s, because probabilities change.
MIN_POLL_FRACTION = 0.15
REPLAN_FRACTION = 0.25

# Maximum number of estimates from which the threshold is computed. If there are more estimates, a sample is
# used.
MAX_SAMPLE = 1000


class SecondsUntilBudget(float):
    """Seconds to wait because a request is due, but the budget does not allow it yet."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request that at least one waiter needs."""

    request: LimitedRequest
    estimates: Sequence[CompletionEstimate]  #: estimates of the waiters that need the request
    #: Whether a waiter needs the response as soon as the rate limit allows the request.
    immediate: bool = False
    requested_at: float = -math.inf  #: when the request was last sent

    def is_due(self, now: float) -> bool:
        return self.immediate or any(now >= estimate.done_by for estimate in self.estimates)

    def expected_delay(self, now: float) -> float:
        if self.immediate:
            return math.inf
        return sum(estimate.expected_delay(now) for estimate in self.estimates)


def next_request(candidates: Sequence[Candidate], window: Window, now: float) -> LimitedRequest | float:
    """Return the request to send now, or the number of seconds to wait before planning again.

    :param candidates: requests that at least one waiter needs and that are not in flight.
    :param now: the current time, by the clock of the estimates.
    """
    even_interval = WINDOW / len(window.available_in)
    min_gap, max_sleep = even_interval * MIN_POLL_FRACTION, even_interval * REPLAN_FRACTION
    # If `requested_at` is in the future, the clock was set back.
    ready = [each for each in candidates if not now - min_gap < each.requested_at <= now or each.immediate]
    due = [each for each in ready if each.is_due(now)]
    if due:
        if window.available_in[0] > 0:
            return SecondsUntilBudget(min(max_sleep, window.available_in[0]))
        return max(due, key=lambda each: each.expected_delay(now)).request
    if not ready:
        return min_gap
    best = max(ready, key=lambda each: each.expected_delay(now))
    threshold = delay_threshold(candidates, window, now)
    if best.expected_delay(now) <= threshold:  # both delays are 0 if no result can have changed
        return min(max_sleep, max(min_gap / 6, _seconds_until_threshold(threshold, best, now)))
    reserved = _reserved_requests(candidates, window) if best.request.kind is RequestKind.EXTRACTIONS else 0
    available_in = window.available_in[reserved]
    if available_in <= 0:
        return best.request
    pause = min(max_sleep, available_in)
    return SecondsUntilBudget(pause) if window.available_in[0] > 0 else pause


def delay_threshold(candidates: Sequence[Candidate], window: Window, now: float) -> float:
    """Return the shadow price of a request, which is the total delay in seconds that a poll must save.

    The docstring of this module explains the formula.
    """
    stride = 1 + sum(len(each.estimates) for each in candidates) // MAX_SAMPLE
    reserved = _reserved_requests(candidates, window) + sum(each.is_due(now) for each in candidates)
    demand = [0.0] * len(HORIZON_STEPS)
    for candidate in candidates:
        if not candidate.is_due(now):
            for step, polls in enumerate(_polls_per_step(candidate, stride, now)):
                demand[step] += polls
    highest_ratio = 0.0
    needed = 0.0
    for polls, step_end in zip(demand, HORIZON_STEPS, strict=True):
        needed += polls
        free = _free_requests(step_end, window) - reserved
        # Assume that at least a third of the fair share is free. With fewer free requests, the price could
        # become infinite.
        available = max(free, step_end / WINDOW * window.share / 3, 0.5)
        highest_ratio = max(highest_ratio, needed / available)
    return highest_ratio**2 / 2


def _polls_per_step(candidate: Candidate, stride: int, now: float) -> Iterator[float]:
    """Yield sqrt(n d) for each step, which is the number of polls that a page requires at a price of 1/2.

    :param stride: use only every `stride`-th estimate.
    """
    estimates = candidate.estimates[::stride]
    survival_at_check = [estimate.survival(estimate.last_checked_at) for estimate in estimates]
    pending, step_start = float(len(estimates)), 0.0
    for step_end in HORIZON_STEPS:
        survivors = sum(
            estimate.survival(now + step_end) / at_check
            for estimate, at_check in zip(estimates, survival_at_check, strict=True)
        )
        # Assume conservatively that no waiter has finished before the step. If the estimates are wrong, some
        # requests must still be free when the jobs end.
        completions = len(candidate.estimates) * max(0.0, 1 - survivors / pending) if pending else 0.0
        yield math.sqrt(completions * (step_end - step_start))
        pending, step_start = survivors, step_end


def _free_requests(seconds: float, window: Window) -> float:
    """Return how many requests become free within `seconds`, including a fraction of the next request.

    The fraction prevents a jump of the threshold just before a request becomes free.
    """
    number = bisect_left(window.available_in, seconds)
    if number == len(window.available_in):
        return float(number)
    latest = window.available_in[number - 1] if number else 0.0
    return number + (seconds - latest) / (window.available_in[number] - latest)


def _seconds_until_threshold(threshold: float, candidate: Candidate, now: float) -> float:
    """Estimate the number of seconds until the expected delay reaches the threshold.

    The expected delay grows with the square of the time.
    """
    delay = candidate.expected_delay(now)
    if delay <= 0:
        return math.inf
    elapsed = now - min(estimate.last_checked_at for estimate in candidate.estimates)
    return elapsed * (math.sqrt(threshold / delay) - 1)


def _reserved_requests(candidates: Sequence[Candidate], window: Window) -> int:
    """Return how many requests to reserve for logs and loads."""
    if len(candidates) > window.share / 3:
        return 0
    follow_ups = sum(estimate.follow_ups for each in candidates for estimate in each.estimates)
    limit = int(min(window.share, MAX_BURST) / RESERVE_ONE_IN)
    return min(follow_ups, limit, len(window.available_in) - 1)
