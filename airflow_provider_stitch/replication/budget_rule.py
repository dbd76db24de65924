"""The rule of a budget: so many requests in any 10 minutes, whoever sends them. Pure functions of times.

Source: Stitch Connect API, "Rate limits". It does not say whether Stitch's window slides; keeping to a
sliding one keeps to any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

WINDOW = 600.0
"""Seconds over which requests are counted."""

DEFAULT_LIMIT = 30
"""Requests that Stitch allows in a window."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a budget allows in the coming 10 minutes."""

    #: Ascending: in how many seconds each request of the limit may be sent; 0.0 is now. As many as the limit.
    free_in: tuple[float, ...]
    #: How many requests of a window are this process's fair share, from 1 to the limit.
    share: float


def free_in(
    limit: int, counted_until: Iterable[float], *, now: float, blocked_until: float
) -> tuple[float, ...]:
    """Return in how many seconds each request of the limit may be sent, ascending.

    :param counted_until: the instant until which each request that has been sent counts. They may be more
        than the limit, where others keep to a greater one.
    """
    latest = ([now] * limit + sorted(counted_until))[-limit:]
    return tuple(max(instant, blocked_until, now) - now for instant in latest)


def fair_share(limit: int, requests_of_others: Collection[str]) -> float:
    """Return how many requests of a window one process may call its own.

    What the others leave, but no less than an equal part: who came first does not keep the rest out.

    :param requests_of_others: for each request in the window that another process has sent, which process.
    """
    processes = 1 + len(set(requests_of_others))
    left = limit - len(requests_of_others)
    return float(min(limit, max(1.0, left, limit / processes)))
