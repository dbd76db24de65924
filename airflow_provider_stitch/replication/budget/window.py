"""The rule of a budget: so many requests in any 10 minutes, whoever sends them. Pure functions of times.

Source: Stitch Connect API, "Rate limits". It does not say whether Stitch's window slides; keeping to a
sliding one keeps to any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

WINDOW = 600.0
"""Seconds over which requests are counted."""

DEFAULT_LIMIT = 30
"""Requests that Stitch allows in a window."""

MAX_BURST = DEFAULT_LIMIT
"""Requests of a greater limit that may come at once: it may be that of a Stitch whose time runs faster, and
whose window is over as much sooner."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a budget allows in the coming 10 minutes."""

    #: Ascending: in how many seconds each request of the limit may be sent; 0.0 is now. As many as the limit.
    available_in: tuple[float, ...]
    #: How many requests of a window are this process's fair share, from 1 to the limit.
    share: float


def available_in(
    limit: int, counted_until: Iterable[float], *, now: float, blocked_until: float
) -> tuple[float, ...]:
    """Return in how many seconds each request of the limit may be sent, ascending.

    :param counted_until: the instant until which each request that has been sent counts. They may be more
        than the limit, where others keep to a greater one.
    """
    latest = sorted(counted_until)[-limit:]
    free = _spread(limit, latest, now=now, blocked_until=blocked_until)
    for number, until in enumerate(latest, limit - len(latest)):
        after = free[number - MAX_BURST] + _pause(limit) if number >= MAX_BURST else free[number]
        free[number] = max(until, after)
    return tuple(instant - now for instant in accumulate(free, max))  # what rounding puts out of order


def _spread(limit: int, latest: Sequence[float], *, now: float, blocked_until: float) -> list[float]:
    """Return the instants at which each request may be sent if no more than `MAX_BURST` come in a pause."""
    at_once, pause = min(limit, MAX_BURST), _pause(limit)
    sooner = WINDOW - pause
    first = [now] * at_once + [until - sooner for until in latest[-at_once:]]
    first = [max(instant, blocked_until, now) for instant in first[-at_once:]]
    return [instant + number * pause for number in range(-(-limit // at_once)) for instant in first][:limit]


def _pause(limit: int) -> float:
    """Return the seconds in which no more than `MAX_BURST` requests are sent."""
    return WINDOW * min(1.0, MAX_BURST / limit)


def fair_share(limit: int, requests_of_others: Collection[str]) -> float:
    """Return how many requests of a window one process may call its own.

    What the others leave, but no less than an equal part: who came first does not keep the rest out.

    :param requests_of_others: for each request in the window that another process has sent, which process.
    """
    processes = 1 + len(set(requests_of_others))
    left = limit - len(requests_of_others)
    return float(min(limit, max(1.0, left, limit / processes)))
