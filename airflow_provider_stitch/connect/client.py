"""The client of the Stitch Connect API, with one method per endpoint.

The package `endpoints` defines the methods, with one module per group of endpoints. The methods raise only
StitchError and its subclasses. Every method can raise StitchUnauthorized, StitchUnavailable (including
RateLimited) and UnexpectedResponse. All other errors are documented in the docstrings of the methods. Error
messages contain the request, Stitch's message, and advice on what to do. Error messages never contain the
token.
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
from airflow_provider_stitch.connect.transport.request import Transport
from airflow_provider_stitch.connect.transport.urls import DEFAULT_BASE_URL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from types import TracebackType

    from redis import Redis
    from typing_extensions import Self


class StitchClient(
    SessionEndpoints,
    DestinationEndpoints,
    SourceEndpoints,
    StreamEndpoints,
    JobEndpoints,
    NotificationEndpoints,
):
    """A thread-safe client for one Stitch account.

    :param access_token: an API access token for the account. Partner credentials (`oc_...`) are rejected.
    :param base_url: an `https://` URL. Plain `http://` is allowed only for this machine's loopback address.
    :param client_id: the account number. By default, the client reads the account number from the account's
        sources or destinations.
    :param request_timeout: maximum number of seconds to wait for the connection, for the response headers,
        and for each part of the body.
    :param requests_per_10_minutes: the maximum number of rate-limited requests. The request budget of the
        account uses the client's limit. The limit is enforced only if `request_budget` is set.
    :param retry_for: number of seconds for which a request is retried while Stitch is unavailable; 0 disables
        retries. Requests that start a job are never retried.
    :raises StitchConfigurationError: if a parameter is invalid.
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
        #: A function that is called immediately before each rate-limited request, including retries.
        self.on_limited_request: Callable[[], None] | None = None
        #: A function that returns a context manager for each rate-limited request, including retries. On
        #: entry, the context manager counts the request in a budget. On exit, the context manager records
        #: that the request has ended.
        self.request_budget: Callable[[], AbstractContextManager[None]] | None = None
        #: The id of the Airflow connection from which this client was created, or an empty string.
        self.connection_id = ""
        #: The Redis client through which hosts share the request budget and cached pages. StitchClient itself
        #: does not use Redis.
        self.redis: Redis | None = None

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
        """Close the HTTP connections of this client and of all its copies."""
        self._transport.close()

    def with_retries(self, retry_for: float) -> StitchClient:
        """Return a client with the same connections and client id, but a different `retry_for`."""
        other = copy.copy(self)
        other._transport = self._transport.with_retries(retry_for)  # noqa: SLF001 - same class
        return other

    def with_request_timeout(self, request_timeout: float) -> StitchClient:
        """Return a client with the same connections and client id, but a different `request_timeout`."""
        other = copy.copy(self)
        other._transport = self._transport.with_request_timeout(request_timeout)  # noqa: SLF001 - same class
        other.request_timeout = other._transport.request_timeout  # noqa: SLF001
        return other

    @property
    def stitch_time(self) -> datetime | None:
        """Stitch's current time (UTC), or None before the first response that contains a time.

        The value is the latest `Date` header from this base URL plus the time that has passed since the
        response. If no response had a `Date` header, the value is estimated from the times in listed records.
        An estimated time is earlier than Stitch's real time. This machine's system clock is not used.
        """
        return self._transport.stitch_time

    def record_past_time(self, moment: datetime) -> None:
        """Record a time that Stitch's clock has already passed.

        A recorded time is used only until a response contains a `Date` header.
        """
        self._transport.record_past_time(moment)

    @property
    def client_id(self) -> int:
        """The account number.

        The client remembers the account number after it has read a source. If the account number is unknown,
        the client requests all sources and, if the account has no sources, all destinations.

        :raises StitchConfigurationError: if the account has neither sources nor destinations.
        """
        with self._account.lock:
            if self._account.client_id is None:
                self.list_sources()
            if self._account.client_id is None:
                for destination in self.list_destinations():
                    self._remember_client_id(destination.stitch_client_id)
            if self._account.client_id is None:
                raise StitchConfigurationError(
                    "The account has no source and no destination, so its Stitch client id cannot be "
                    "determined. Set the id as the connection's login: it is the number after /client/ in "
                    "the URL of the Stitch app."
                )
            return self._account.client_id

    def client_id_from_source(self, source_id: int) -> int:
        """Return the account number. If the account number is unknown, read it from one source.

        This method is faster than `client_id`, which may have to read thousands of sources. All sources are
        read only if the response for the given source does not contain the account number.

        :raises UnknownSource: if the account has no such source.
        :raises StitchConfigurationError: see `client_id`.
        """
        with self._account.lock:
            if self._account.client_id is None:
                self.get_source(source_id)
        return self.client_id

    @property
    def known_client_id(self) -> int | None:
        """The account number if it is already known, or None. Reading this property sends no request."""
        return self._account.client_id

    def _remember_client_id(self, client_id: int | None) -> None:
        if self._account.client_id is None:
            self._account.client_id = client_id


class _Account:
    """The account number, which all copies of a client share."""

    def __init__(self, client_id: int | None) -> None:
        self.client_id = client_id
        self.lock = threading.Lock()


def _positive(name: str, value: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise StitchConfigurationError(f"{name} must be a positive integer; it is {value!r}.")
