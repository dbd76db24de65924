"""What all groups of endpoints share: how a method declares its endpoint, asks it, and reads the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.connect._addresses import segment
from airflow_provider_stitch.connect._answers import NOT_SHOWN, with_advice
from airflow_provider_stitch.connect._json import excerpt
from airflow_provider_stitch.connect._refusals import About, refusal_about
from airflow_provider_stitch.connect.errors import StitchError, UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_stitch.connect._answers import Answer
    from airflow_provider_stitch.connect.transport import Transport

T = TypeVar("T")

OUR_BUSINESS = (
    400,
    404,
)  #: what these mean depends on the request; all other refusals mean the same everywhere


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the API.

    Each group of endpoints begins with its own, as constants that are named like the client's methods.
    """

    method: str
    path: str  #: with its ids in braces: `/v4/sources/{source_id}`
    confidential: bool = False  #: its answer holds a secret

    def at(self, ids: Mapping[str, int | str]) -> str:
        """Return the path of a request, with these ids in it."""
        return self.path.format_map({name: segment(value) for name, value in ids.items()})


class EndpointGroup:
    """A group of endpoints: methods of a client that has a transport."""

    _transport: Transport

    # `request` below is what Transport.request takes.

    def _get(
        self, endpoint: Endpoint, make: Callable[[object], T], about: About | None = None, **request: Any
    ) -> T:
        """Read something. Repeated while Stitch is unavailable."""
        return self._read(endpoint, self._ask(endpoint, about, **request), make)

    def _list(
        self, endpoint: Endpoint, make: Callable[[object], T], about: About | None = None, **request: Any
    ) -> list[T]:
        """Read a bare array."""
        return self._get(endpoint, lambda body: each(body, make), about, **request)

    def _create(
        self, endpoint: Endpoint, make: Callable[[object], T], about: About | None = None, **request: Any
    ) -> T:
        """Create something. Never repeated: a lost answer may be that of a success."""
        return self._read(endpoint, self._ask(endpoint, about, **request), make)

    def _update(self, endpoint: Endpoint, make: Callable[[object], T], about: About, **request: Any) -> T:
        """Set something to what is given. Repeated while Stitch is unavailable: that changes nothing more."""
        return self._read(endpoint, self._ask(endpoint, about, retry=True, **request), make)

    def _delete(self, endpoint: Endpoint, about: About, **request: Any) -> Answer:
        """Delete something. Never repeated: a second try could not tell a success from an unknown id."""
        return self._ask(endpoint, about, body_due=False, **request)

    def _ask(self, endpoint: Endpoint, about: About | None = None, **request: Any) -> Answer:
        """Send a request and return the answer, which is a success."""
        answer = self._ask_anything(endpoint, about, **request)
        if not answer.ok:
            raise refusal_about(answer, about)
        return answer

    def _ask_anything(
        self,
        endpoint: Endpoint,
        about: About | None = None,
        *,
        ids: Mapping[str, int | str] | None = None,
        **request: Any,
    ) -> Answer:
        """Send a request. A 400 or 404 comes back, for methods to which it means something of its own.

        :param ids: those in the endpoint's path; of what the request is about, if it is about anything.
        """
        ids = about.ids if about else ids or {}
        request = {"accept": OUR_BUSINESS, "confidential": endpoint.confidential, **request}
        try:
            return self._transport.request(endpoint.method, endpoint.at(ids), **request)
        except StitchError as error:
            error.source_id = about.source_id if about else None
            raise

    def _read(self, endpoint: Endpoint, answer: Answer, make: Callable[[object], T]) -> T:
        """Make an object of what an answer holds."""
        try:
            return make(answer.body)
        except UnexpectedAnswer as error:
            if not endpoint.confidential:
                text = self._transport.redacted(f"{answer.asked}: {error}")
                error.args = (with_advice(text),)
                raise
        # Outside of the except clause: there Python would attach the error that shows the answer.
        raise UnexpectedAnswer(
            f"{answer.asked}: it worked, but the answer is not what it should be; {NOT_SHOWN}"
        )


def each(body: object, make: Callable[[object], T]) -> list[T]:
    """Make an object of each entry of a bare array."""
    if not isinstance(body, list):
        raise UnexpectedAnswer(f"A JSON array is due: {excerpt(body)}")
    return [make(entry) for entry in body]


def nothing_due(body: object) -> None:
    """Take any success for what it is."""
