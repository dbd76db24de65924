"""The rule of the request budget, which allows at most `limit` requests in any period of 10 minutes.

All functions are pure, and all times are in seconds. Source: Stitch Connect API, "Rate limits". Stitch does
not document whether its window slides. A program that respects a sliding window also respects a fixed window.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

WINDOW = 600.0
"""Length of a window in seconds. At most `limit` requests may be sent in a window."""

DEFAULT_LIMIT = 30
"""Number of requests that Stitch allows in a window."""

MAX_IN_FLIGHT_SECONDS = 600.0
"""Seconds after which a request without a response is treated as completed.

If no response has arrived by then, the process that sent the request was probably killed. With the default
timeout, a response from Stitch's API is complete within 3 minutes. The download of a log may take longer, but
Stitch counts the request before the download starts. Logs are downloaded from another host.
"""

MAX_BURST = DEFAULT_LIMIT
"""Maximum number of requests that may be sent at once, even if the limit is higher.

A higher limit may belong to an emulator with a faster clock, which allows 30 requests in a proportionally
shorter window.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """The requests that a budget allows in the next 10 minutes."""

    #: Seconds until each of the `limit` requests may be sent, in ascending order. 0.0 means now.
    available_in: tuple[float, ...]
    #: This process's fair share of the requests in a window, from 1 to the limit.
    share: float
    #: The reason why the count is uncertain and no request is available. Empty if the count is certain.
    reason: str = ""


class Allowance:
    """The requests that each of several hosts may send if the hosts cannot share a count.

    A single host may send all requests.

    :param limit: number of requests that all hosts together may send in a window.
    """

    __slots__ = ("burst", "interval", "limit", "silence")

    def __init__(self, limit: int, hosts: int = 1) -> None:
        self.limit = limit // hosts  #: maximum number of requests in a window; can be 0
        self.burst = min(limit, MAX_BURST) // hosts  #: maximum number of requests in any `interval`
        self.interval = WINDOW * min(1.0, MAX_BURST / limit)  #: seconds
        #: Seconds without requests after which a burst is allowed, regardless of earlier requests. The time
        #: is one interval, plus a tenth of an interval for requests that are still in flight.
        self.silence = 1.1 * self.interval


def available_in(
    limit: int, counted_until: Iterable[float], *, now: float, blocked_until: float, hosts: int = 1
) -> tuple[float, ...]:
    """Return the number of seconds until each allowed request may be sent, in ascending order.

    :param counted_until: for each request that was sent, the time until which the request counts. More than
        `limit` requests may be counted if other processes have a higher limit.
    :param hosts: number of hosts by which the limit is divided, because the hosts cannot share a count.
    """
    allowed = Allowance(limit, hosts)
    if not allowed.burst:
        return (WINDOW,)  # there are more hosts than requests, so this host must not send requests
    latest = sorted(counted_until)[-allowed.limit :]
    times = _times_limited_by_burst(allowed, latest, now=now, blocked_until=blocked_until)
    for index, until in enumerate(latest, allowed.limit - len(latest)):
        follows_burst = index >= allowed.burst
        earliest = times[index - allowed.burst] + allowed.interval if follows_burst else times[index]
        times[index] = max(until, earliest)
    # Because of rounding errors, two times may be in the wrong order. The running maximum restores ascending
    # order.
    return tuple(time - now for time in accumulate(times, max))


def _times_limited_by_burst(
    allowed: Allowance, latest: Sequence[float], *, now: float, blocked_until: float
) -> list[float]:
    """Return when each request may be sent if an `interval` may contain at most `burst` requests."""
    burst, interval = allowed.burst, allowed.interval
    # If a request counts until time t, the response arrived at t - WINDOW. The request belongs to a burst
    # until one interval after its response.
    first = [now] * burst + [until - (WINDOW - interval) for until in latest[-burst:]]
    first = [max(time, blocked_until, now) for time in first[-burst:]]
    bursts = -(-allowed.limit // burst)  # rounded up
    return [time + number * interval for number in range(bursts) for time in first][: allowed.limit]


def fair_share(limit: int, requests_of_others: Collection[str]) -> float:
    """Return this process's fair share of the requests in a window.

    The share is the number of requests that the other processes leave unused, but at least an equal part. The
    process that starts first therefore cannot prevent the other processes from sending requests.

    :param requests_of_others: for each request of another process in the window, the id of that process.
    """
    processes = 1 + len(set(requests_of_others))
    remaining = limit - len(requests_of_others)
    return float(min(limit, max(1.0, remaining, limit / processes)))
