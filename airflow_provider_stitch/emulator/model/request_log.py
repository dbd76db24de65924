"""The requests that an emulator records, and the rate limit for requests.

Stitch allows 30 requests in 10 minutes per client id. Requests for extractions, loads and logs share this
limit. Stitch does not document whether the 10-minute window slides, and the emulator uses a sliding window.
See "Rate limits" in the Stitch Connect API.
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
    path: str  #: the path with the query
    status: int | None  #: status of the response, or None if the connection was closed without a response
    counted: bool  #: whether the request counts against the rate limit
    client_id: int | None  #: id of the token's account, or None without a valid token


class LogHostRequest(NamedTuple):
    """A request to the host that serves logs."""

    at: datetime  #: virtual time
    method: str
    path: str  #: the path without the query, because the query is a credential
    status: int | None  #: status of the response, or None if the connection was closed without a response
    authorization: bool  #: whether the request had an Authorization header, which clients must not send


def busiest_window(times: Iterable[datetime]) -> int:
    """Return the maximum number of requests within 10 virtual minutes."""
    ordered = sorted(times)
    busiest = first = 0
    for last, time in enumerate(ordered):
        while ordered[first] <= time - WINDOW:
            first += 1
        busiest = max(busiest, last - first + 1)
    return busiest


class RateLimit:
    """The rate limit of one account. By default, the limit is not enforced, as in Stitch."""

    def __init__(self) -> None:
        self.enforced = False
        self._served: list[datetime] = []

    def admit(self, now: datetime) -> float | None:
        """Record a request and return None if the request is allowed.

        If the limit has been reached, return the number of virtual seconds until the next request is allowed.
        """
        self._served = [time for time in self._served if time > now - WINDOW]
        if self.enforced and len(self._served) >= REQUESTS_PER_WINDOW:
            return (self._served[-REQUESTS_PER_WINDOW] + WINDOW - now).total_seconds()
        self._served.append(now)
        return None
