"""The rule of the budget: at most `limit` requests in any 10 minutes. Pure functions of times in seconds.

Source: Stitch Connect API, "Rate limits". It does not document whether Stitch's window slides. A program that
respects a sliding window respects every other window too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

WINDOW = 600.0
"""Seconds in which at most `limit` requests may be sent."""

DEFAULT_LIMIT = 30
"""Requests that Stitch allows in a window."""

MAX_IN_FLIGHT_SECONDS = 600.0
"""Seconds after which a request without a response counts as responded to, because its process was killed.

With the default timeout, a response of Stitch's API is complete within 3 minutes. Only the download of a log
takes longer. It comes from another host, and Stitch has counted its request long before.
"""

MAX_BURST = DEFAULT_LIMIT
"""Requests that may be sent at once, even if the limit is higher. A higher limit may belong to an emulator
with a faster clock, which allows 30 requests in a window that is shorter by the same factor."""


@dataclass(frozen=True, slots=True)
class Window:
    """The requests that a budget allows in the next 10 minutes."""

    #: Seconds until each of the `limit` requests may be sent, in ascending order; 0.0 is now.
    available_in: tuple[float, ...]
    #: This process's fair share of the requests in a window, from 1 to the limit.
    share: float
    #: Why the count is uncertain, so that no request is available; empty if it is certain.
    reason: str = ""


class Allowance:
    """The requests that one of several hosts may send if they cannot share a count. One host may send all.

    :param limit: the requests of all hosts together in a window.
    """

    __slots__ = ("burst", "interval", "limit", "silence")

    def __init__(self, limit: int, hosts: int = 1) -> None:
        self.limit = limit // hosts  #: in a window; may be 0
        self.burst = min(limit, MAX_BURST) // hosts  #: in any `interval`
        self.interval = WINDOW * min(1.0, MAX_BURST / limit)  #: seconds
        #: Seconds without requests after which a burst is allowed, whatever was sent before. It is one
        #: interval, and a tenth for requests that are in flight.
        self.silence = 1.1 * self.interval


def available_in(
    limit: int, counted_until: Iterable[float], *, now: float, blocked_until: float, hosts: int = 1
) -> tuple[float, ...]:
    """Return the seconds until each request of the limit may be sent, in ascending order.

    :param counted_until: the time until which each sent request counts. There may be more of them than
        `limit`, if other processes have a higher limit.
    :param hosts: divide the limit by this number of hosts, because they cannot share a count.
    """
    allowed = Allowance(limit, hosts)
    if not allowed.burst:
        return (WINDOW,)  # more hosts than requests, so that this host has none
    latest = sorted(counted_until)[-allowed.limit :]
    times = _times_without_burst(allowed, latest, now=now, blocked_until=blocked_until)
    for index, until in enumerate(latest, allowed.limit - len(latest)):
        follows_burst = index >= allowed.burst
        earliest = times[index - allowed.burst] + allowed.interval if follows_burst else times[index]
        times[index] = max(until, earliest)
    # Rounding errors can leave two times in the wrong order, which the running maximum fixes.
    return tuple(time - now for time in accumulate(times, max))


def _times_without_burst(
    allowed: Allowance, latest: Sequence[float], *, now: float, blocked_until: float
) -> list[float]:
    """Return the time of each request if at most `burst` requests are sent in an `interval`."""
    burst, interval = allowed.burst, allowed.interval
    # If a request counts until t, its response arrived at t - WINDOW. It leaves its burst an interval later.
    first = [now] * burst + [until - (WINDOW - interval) for until in latest[-burst:]]
    first = [max(time, blocked_until, now) for time in first[-burst:]]
    bursts = -(-allowed.limit // burst)  # rounded up
    return [time + number * interval for number in range(bursts) for time in first][: allowed.limit]


def fair_share(limit: int, requests_of_others: Collection[str]) -> float:
    """Return this process's fair share of the requests in a window.

    It is the number that the other processes leave, but at least an equal part, so that the process that
    starts first does not keep the others from sending.

    :param requests_of_others: the sending process of each request in the window, except this process's own.
    """
    processes = 1 + len(set(requests_of_others))
    remaining = limit - len(requests_of_others)
    return float(min(limit, max(1.0, remaining, limit / processes)))
