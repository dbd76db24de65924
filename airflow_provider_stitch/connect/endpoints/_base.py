"""The base class of all endpoint groups: declare an endpoint, send a request, parse the response."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.connect.endpoints.api_errors import ErrorContext, api_error
from airflow_provider_stitch.connect.endpoints.validation import validate_id
from airflow_provider_stitch.connect.errors import StitchError, UnexpectedResponse, UnknownSource
from airflow_provider_stitch.connect.objects.json import excerpt
from airflow_provider_stitch.connect.transport.response import HIDDEN_BODY, with_proxy_hint
from airflow_provider_stitch.connect.transport.urls import quote_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_stitch.connect.objects import Destination, Source
    from airflow_provider_stitch.connect.transport.request import Transport
    from airflow_provider_stitch.connect.transport.response import Response

T = TypeVar("T")

ENDPOINT_ERRORS = (400, 404)  #: their meaning depends on the endpoint, unlike all other error statuses


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the API.

    Each module of a group begins with its endpoints, as constants named after the client's methods.
    """

    method: str
    path: str  #: with ids in braces: `/v4/sources/{source_id}`
    confidential: bool = False  #: the response contains a secret

    def path_for(self, ids: Mapping[str, int | str]) -> str:
        """Return the path for these ids."""
        return self.path.format_map({name: quote_segment(value) for name, value in ids.items()})


class EndpointGroup:
    """Base class of the mixins that hold the client's methods, one class per group of endpoints."""

    _transport: Transport

    # `**request` below are arguments of Transport.request.

    def _get(
        self,
        endpoint: Endpoint,
        parse: Callable[[object], T],
        context: ErrorContext | None = None,
        **request: Any,
    ) -> T:
        """Return one object. Retried while Stitch is unavailable."""
        return self._parse(endpoint, self._request(endpoint, context, **request), parse)

    def _list(
        self,
        endpoint: Endpoint,
        parse: Callable[[object], T],
        context: ErrorContext | None = None,
        **request: Any,
    ) -> list[T]:
        """Return the objects of an array. Retried while Stitch is unavailable."""
        return self._get(endpoint, lambda body: parse_array(body, parse), context, **request)

    def _create(
        self,
        endpoint: Endpoint,
        parse: Callable[[object], T],
        context: ErrorContext | None = None,
        **request: Any,
    ) -> T:
        """Create an object. Never retried, because the response to a success may have been lost."""
        return self._parse(endpoint, self._request(endpoint, context, **request), parse)

    def _update(
        self, endpoint: Endpoint, parse: Callable[[object], T], context: ErrorContext, **request: Any
    ) -> T:
        """Update an object. Retried while Stitch is unavailable, because repeating an update is harmless."""
        return self._parse(endpoint, self._request(endpoint, context, retry=True, **request), parse)

    def _delete(self, endpoint: Endpoint, context: ErrorContext, **request: Any) -> Response:
        """Delete an object. Never retried, because after a success the second attempt would fail with 404."""
        return self._request(endpoint, context, expects_body=False, **request)

    def _request(self, endpoint: Endpoint, context: ErrorContext | None = None, **request: Any) -> Response:
        """Send a request and return the successful response; raise for any other."""
        response = self._request_unchecked(endpoint, context, **request)
        if not response.ok:
            raise api_error(response, context)
        return response

    def _request_unchecked(
        self,
        endpoint: Endpoint,
        context: ErrorContext | None = None,
        *,
        ids: Mapping[str, int | str] | None = None,
        **request: Any,
    ) -> Response:
        """Send a request and return the response, also with status 400 or 404.

        :param ids: the ids in the endpoint's path; ignored if there is a `context`, which contains them.
        """
        ids = context.ids if context else ids or {}
        request = {"accept": ENDPOINT_ERRORS, "confidential": endpoint.confidential, **request}
        try:
            return self._transport.request(endpoint.method, endpoint.path_for(ids), **request)
        except StitchError as error:
            error.source_id = context.source_id if context else None
            raise

    def _parse(self, endpoint: Endpoint, response: Response, parse: Callable[[object], T]) -> T:
        """Parse the body of a response."""
        try:
            return parse(response.body)
        except UnexpectedResponse as error:
            if not endpoint.confidential:
                text = self._transport.redact(f"{response.request_line}: {error}")
                error.args = (with_proxy_hint(text),)
                raise
        # Raised outside the except clause, because there Python would attach the error that shows the body.
        raise UnexpectedResponse(
            f"{response.request_line}: the request succeeded, but the response is invalid; {HIDDEN_BODY}"
        )


class AccountGroup(EndpointGroup):
    """Base class of the groups whose methods accept a source or a destination by id or by name.

    An integer is used as it is. A string costs one more request, which is not limited: see `find_source` and
    `find_destination`.
    """

    @abstractmethod
    def list_sources(self) -> list[Source]:
        """Return all sources: active, paused and deleted."""

    @abstractmethod
    def find_source(self, source: int | str) -> Source:
        """Return the source with this id, `name` or display name."""

    @abstractmethod
    def find_destination(self, destination: int | str) -> Destination:
        """Return the destination with this id, `name` or display name."""

    def _source_id(self, source: int | str) -> int:
        """Return the id of a source that is given by id, `name` or display name."""
        if isinstance(source, str) and source.strip():
            return self.find_source(source).id
        return validate_id("source", source)

    def _destination_id(self, destination: int | str) -> int:
        """Return the id of a destination that is given by id, `name` or display name."""
        if isinstance(destination, str) and destination.strip():
            return self.find_destination(destination).id
        return validate_id("destination", destination)

    def _source_context(self, source: int | str) -> ErrorContext:
        return source_context(self._source_id(source))


def source_context(source_id: int) -> ErrorContext:
    """Return the error context of a request for a source. The source id is validated."""
    checked = validate_id("source", source_id)
    return ErrorContext(
        f"source {checked} in this Stitch account",
        UnknownSource,
        source_id=checked,
        ids={"source_id": checked},
    )


def parse_array(body: object, parse: Callable[[object], T]) -> list[T]:
    """Parse each element of an array."""
    if not isinstance(body, list):
        raise UnexpectedResponse(f"The response should be a JSON array: {excerpt(body)}")
    return [parse(entry) for entry in body]


def ignore_body(body: object) -> None:
    """Ignore the body of a successful response."""
