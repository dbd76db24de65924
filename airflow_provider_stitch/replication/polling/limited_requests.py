"""The requests that count against Stitch's rate limit, and how to send them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_stitch.connect.errors import StitchBadRequest, StitchNotFound
from airflow_provider_stitch.connect.objects import Page

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import Extraction, Load


class RequestKind(Enum):
    """The kind of a rate-limited request."""

    EXTRACTIONS = "extractions"
    LOADS = "loads"
    LOG = "log"


class LimitedRequest(NamedTuple):
    """A request that counts against Stitch's rate limit."""

    kind: RequestKind
    key: int | str  #: the number of a page, or the name of a job


class SharedPage(NamedTuple):
    """A page that another process has requested."""

    page: Page[Any]
    sequence: int  #: time of the request, in microseconds of the Redis server's clock
    age: float  #: seconds since the request, at most


def send(
    client: StitchClient, request: LimitedRequest, *, should_abort: Callable[[], bool]
) -> Page[Extraction] | Page[Load] | ExtractionLog:
    """Send a request and return its page or log.

    :param should_abort: returns whether to stop the download of a log.
    """
    if request.kind is RequestKind.EXTRACTIONS:
        return client.list_extractions(int(request.key))
    if request.kind is RequestKind.LOADS:
        return client.list_loads(int(request.key))
    return client.get_extraction_log(str(request.key), should_abort=should_abort)


def is_missing_page(request: LimitedRequest, error: Exception) -> bool:
    """Return whether an error means that a cached page number no longer exists.

    Stitch does not document the response to a page beyond the last.
    """
    is_missing = isinstance(error, (StitchNotFound, StitchBadRequest))
    return is_missing and request.kind is not RequestKind.LOG and request.key != 1


def empty_page(request: LimitedRequest, responded_at: datetime | None) -> Page[Any]:
    """Return an empty page, which represents a page beyond the last."""
    number = int(request.key)
    return Page(
        records=(), number=number, total=100 * (number - 1), responded_at=responded_at, next_page=None
    )
