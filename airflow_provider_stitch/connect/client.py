"""The Stitch Connect API: one short method per endpoint. The methods are in `endpoints`, by group.

Every method raises StitchError and nothing else. The kinds that any of them can raise are StitchUnauthorized,
StitchUnavailable (RateLimited too) and UnexpectedAnswer; others are named where they belong. Messages say
what was asked, what Stitch said, and what to do now, and never hold the token.
"""

from __future__ import annotations

import copy
import threading
import time
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.endpoints.accounts import SessionEndpoints
from airflow_provider_stitch.connect.endpoints.destinations import DestinationEndpoints
from airflow_provider_stitch.connect.endpoints.jobs import JobEndpoints
from airflow_provider_stitch.connect.endpoints.notifications import NotificationEndpoints
from airflow_provider_stitch.connect.endpoints.sources import SourceEndpoints
from airflow_provider_stitch.connect.endpoints.streams import StreamEndpoints
from airflow_provider_stitch.connect.errors import StitchConfigurationError
from airflow_provider_stitch.connect.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self


DEFAULT_BASE_URL = "https://api.stitchdata.com"


class StitchClient(
    SessionEndpoints,
    DestinationEndpoints,
    SourceEndpoints,
    StreamEndpoints,
    JobEndpoints,
    NotificationEndpoints,
):
    """One Stitch account, as its access token sees it. May be used by several threads at once.

    :param access_token: an API access token; partner credentials (`oc_...`) are refused.
    :param base_url: HTTPS, or plain HTTP on this machine's loopback.
    :param client_id: the account's number; found from the account's sources or destinations if not given.
    :param request_timeout: seconds to wait for a connection, for the head of an answer, and for each next
        part of its body.
    :param requests_per_10_minutes: of those that Stitch limits, how many may be sent. Kept here for the
        budget; the client itself does not count, unless a `request_budget` is set.
    :param retry_for: seconds for which requests are repeated while Stitch is unavailable; 0 means one try.
        Starting a job is never repeated.
    :raises StitchConfigurationError: any of these cannot be used.
    """

    def __init__(
        self,
        access_token: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        client_id: int | None = None,
        request_timeout: float = 30.0,
        requests_per_10_minutes: int = 30,
        retry_for: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = Transport(
            base_url,
            access_token,
            request_timeout=request_timeout,
            retry_for=retry_for,
            sleep=sleep,
            monotonic=monotonic,
        )
        self.base_url = self._transport.base_url
        self.request_timeout = self._transport.request_timeout
        self.requests_per_10_minutes = _positive("requests_per_10_minutes", requests_per_10_minutes)
        self._account = _Account(None if client_id is None else _positive("client_id", client_id))
        #: Called right before each request that Stitch limits, each retry included.
        self.on_limited_request: Callable[[], None] | None = None
        #: Returns a context in which each request that Stitch limits is sent, each retry included: entering
        #: it acquires the request from a budget, leaving it releases the request.
        self.request_budget: Callable[[], AbstractContextManager[None]] | None = None
        #: Id of the Airflow connection that this client was made of, empty if it was made otherwise.
        self.connection_id = ""

    def __repr__(self) -> str:
        return f"StitchClient({self.base_url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, also those of clients made by `with_retries`."""
        self._transport.close()

    def with_retries(self, retry_for: float) -> StitchClient:
        """Return this client with another patience (seconds). Connections and the client id are shared."""
        other = copy.copy(self)
        other._transport = self._transport.with_retries(retry_for)  # noqa: SLF001 - it is one of us
        return other

    @property
    def stitch_time(self) -> datetime | None:
        """Stitch's time now (UTC), None before any response showed it.

        It is that of the latest `Date` header from this base URL plus the seconds since, or if no response
        had one, an underestimate by the times of listed records. This machine's time of day is not used.
        """
        return self._transport.stitch_time

    def learn_past(self, moment: datetime) -> None:
        """Record that a moment has passed for Stitch, in case no response has a `Date`."""
        self._transport.learn_past(moment)

    @property
    def client_id(self) -> int:
        """The account's number, which each source tells that was read. If none was, this asks Stitch for all
        sources, then for destinations.

        :raises StitchConfigurationError: the account has neither, so nothing tells.
        """
        with self._account.lock:
            if self._account.client_id is None:
                self.list_sources()
            if self._account.client_id is None:
                for destination in self.list_destinations():
                    self._learn_client_id(destination.stitch_client_id)
            if self._account.client_id is None:
                raise StitchConfigurationError(
                    "The account has no source and no destination, so its Stitch client id cannot be found. "
                    "Set it as the connection's login: it is the number after /client/ in the address of the "
                    "Stitch app."
                )
            return self._account.client_id

    def client_id_by_way_of(self, source_id: int) -> int:
        """Return the account's number. Asks Stitch for this source if it is not known yet, and for all of
        them, of which there may be thousands, only if this one does not tell.

        :raises UnknownSource: the account has no such source.
        :raises StitchConfigurationError: as `client_id`.
        """
        with self._account.lock:
            if self._account.client_id is None:
                self.get_source(source_id)
        return self.client_id

    @property
    def known_client_id(self) -> int | None:
        """The account's number, if it is known without asking Stitch."""
        return self._account.client_id

    def _learn_client_id(self, client_id: int | None) -> None:
        if self._account.client_id is None:
            self._account.client_id = client_id


class _Account:
    """What is known of the account, shared by all clients of one session."""

    def __init__(self, client_id: int | None) -> None:
        self.client_id = client_id
        self.lock = threading.Lock()


def _positive(name: str, value: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise StitchConfigurationError(f"{name} must be a positive integer; it is {value!r}.")
