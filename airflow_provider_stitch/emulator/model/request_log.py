"""The recorded requests, and Stitch's rate limit.

Stitch allows 30 requests in 10 minutes per client id, shared by the lists of extractions and loads and the
logs. It is not documented whether the window slides; here it does.
Source: Stitch Connect API, "Rate limits".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW = timedelta(minutes=10)
REQUESTS_PER_WINDOW = 30


class RequestRecord(NamedTuple):
    """A request to the API host."""

    at: datetime  #: virtual time
    method: str
    path: str  #: with the query
    status: int | None  #: None: the connection was closed without a response
    counted: bool  #: whether the request counts against the rate limit
    client_id: int | None  #: the account of its token, if any


class LogHostRequest(NamedTuple):
    """A request to the host that serves logs."""

    at: datetime  #: virtual time
    method: str
    path: str  #: without the query, which is a credential
    status: int | None  #: None: the connection was closed without a response
    authorization: bool  #: whether it had an Authorization header, which a client must not send


def busiest_window(times: Iterable[datetime]) -> int:
    """Return the largest number of requests in any 10 (virtual) minutes."""
    ordered = sorted(times)
    busiest = first = 0
    for last, time in enumerate(ordered):
        while ordered[first] <= time - WINDOW:
            first += 1
        busiest = max(busiest, last - first + 1)
    return busiest


class RateLimit:
    """The rate limit of one account. It is not enforced by default, because Stitch does not enforce it."""

    def __init__(self) -> None:
        self.enforced = False
        self._served: list[datetime] = []

    def admit(self, now: datetime) -> float | None:
        """Count a request and return None, or return the (virtual) seconds until one is allowed."""
        self._served = [time for time in self._served if time > now - WINDOW]
        if self.enforced and len(self._served) >= REQUESTS_PER_WINDOW:
            return (self._served[-REQUESTS_PER_WINDOW] + WINDOW - now).total_seconds()
        self._served.append(now)
        return None
