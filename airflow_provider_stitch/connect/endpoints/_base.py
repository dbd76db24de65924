"""The base class of all endpoint groups, which sends requests and parses responses."""

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

#: Error status codes whose meaning depends on the endpoint. All other error status codes have the same
#: meaning for all endpoints.
ENDPOINT_ERRORS = (400, 404)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the API.

    Each module defines its endpoints as constants that are named after the client's methods.
    """

    method: str
    path: str  #: the path of the endpoint, with ids in braces, such as `/v4/sources/{source_id}`
    confidential: bool = False  #: whether the response contains a secret

    def path_for(self, ids: Mapping[str, int | str]) -> str:
        """Return the path with the percent-encoded ids."""
        return self.path.format_map({name: quote_segment(value) for name, value in ids.items()})


class EndpointGroup:
    """Base class of the mixins that define the client's methods.

    There is one mixin per group of endpoints.
    """

    _transport: Transport

    # In the methods below, `**request` contains arguments for `Transport.request`.

    def _get(
        self,
        endpoint: Endpoint,
        parse: Callable[[object], T],
        context: ErrorContext | None = None,
        **request: Any,
    ) -> T:
        """Request one object. The request is retried while Stitch is unavailable."""
        return self._parse(endpoint, self._request(endpoint, context, **request), parse)

    def _list(
        self,
        endpoint: Endpoint,
        parse: Callable[[object], T],
        context: ErrorContext | None = None,
        **request: Any,
    ) -> list[T]:
        """Request an array of objects. The request is retried while Stitch is unavailable."""
        return self._get(endpoint, lambda body: parse_array(body, parse), context, **request)

    def _create(
        self,
        endpoint: Endpoint,
        parse: Callable[[object], T],
        context: ErrorContext | None = None,
        **request: Any,
    ) -> T:
        """Create an object.

        The request is never retried, because the first attempt may have succeeded even if its response was
        lost.
        """
        return self._parse(endpoint, self._request(endpoint, context, **request), parse)

    def _update(
        self, endpoint: Endpoint, parse: Callable[[object], T], context: ErrorContext, **request: Any
    ) -> T:
        """Update an object.

        The request is retried while Stitch is unavailable, because it is safe to repeat an update.
        """
        return self._parse(endpoint, self._request(endpoint, context, retry=True, **request), parse)

    def _delete(self, endpoint: Endpoint, context: ErrorContext, **request: Any) -> Response:
        """Delete an object.

        The request is never retried, because a second attempt would fail if the first attempt had succeeded.
        """
        return self._request(endpoint, context, expects_body=False, **request)

    def _request(self, endpoint: Endpoint, context: ErrorContext | None = None, **request: Any) -> Response:
        """Send a request and return the response. Raise an error if the status code is not 2xx."""
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
        """Send a request and return the response, even if its status code is 400 or 404.

        :param ids: the ids in the endpoint's path. This parameter is ignored if `context` is given, because a
            context contains the ids.
        """
        ids = context.ids if context else ids or {}
        request = {"accept": ENDPOINT_ERRORS, "confidential": endpoint.confidential, **request}
        try:
            return self._transport.request(endpoint.method, endpoint.path_for(ids), **request)
        except StitchError as error:
            error.source_id = context.source_id if context else None
            raise

    def _parse(self, endpoint: Endpoint, response: Response, parse: Callable[[object], T]) -> T:
        """Parse the body of a response. If the body is invalid, add the request to the error message."""
        try:
            return parse(response.body)
        except UnexpectedResponse as error:
            if not endpoint.confidential:
                text = self._transport.redact(f"{response.request_line}: {error}")
                error.args = (with_proxy_hint(text),)
                raise
        # The error is raised outside the except clause, because Python would otherwise chain the original
        # error, which shows the response body.
        raise UnexpectedResponse(
            f"{response.request_line}: the request succeeded, but the response is invalid; {HIDDEN_BODY}"
        )


class AccountEndpoints(EndpointGroup):
    """Base class of the endpoint groups that accept the id or the name of a source or destination.

    An integer is interpreted as an id. If a string is passed, an additional request, which is not
    rate-limited, looks up the id. See `find_source` and `find_destination`.
    """

    @abstractmethod
    def list_sources(self) -> list[Source]:
        """Return all sources, including paused and deleted sources."""

    @abstractmethod
    def find_source(self, source: int | str) -> Source:
        """Return the source that is given by id, `name` or display name."""

    @abstractmethod
    def find_destination(self, destination: int | str) -> Destination:
        """Return the destination that is given by id, `name` or display name."""

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
    """Validate a source id, and return the error context for requests about the source."""
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
