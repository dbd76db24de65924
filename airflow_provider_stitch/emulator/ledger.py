"""What the emulator was asked: every request, and how many counted against Stitch's limit.

Stitch allows 30 requests in 10 minutes per client id, over the lists of extractions and loads and the logs
together. Whether the window slides is not documented; here it does.
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
    status: int | None  #: None: the connection was cut, so no answer was given
    counted: bool  #: counts against the limit
    client_id: int | None  #: the account whose token it carried, if any


class LogHostRequest(NamedTuple):
    """A request to the host that serves logs."""

    at: datetime  #: virtual time
    method: str
    path: str  #: without the query, which is a credential
    status: int | None
    authorization: bool  #: it carried an Authorization header, which it must not


def busiest_window(instants: Iterable[datetime]) -> int:
    """The most requests in any window of ten (virtual) minutes."""
    ordered = sorted(instants)
    most = first = 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most


class Limit:
    """The limit of one account, when the emulator is told to enforce it. As documented, Stitch does not."""

    def __init__(self) -> None:
        self.enforced = False
        self._served: list[datetime] = []

    def admit(self, now: datetime) -> float | None:
        """None if a request may be served now; otherwise the (virtual) seconds until one may be."""
        self._served = [at for at in self._served if at > now - WINDOW]
        if self.enforced and len(self._served) >= REQUESTS_PER_WINDOW:
            return (self._served[-REQUESTS_PER_WINDOW] + WINDOW - now).total_seconds()
        self._served.append(now)
        return None
