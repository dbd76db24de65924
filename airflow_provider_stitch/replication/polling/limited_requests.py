"""Rate-limited requests, and the functions that send them."""

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
    key: int | str  #: page number, or the name of the job if the request is for a log


class LeasedElsewhere:
    """The value that is returned instead of a lease if another process is requesting the page."""


class SharedPage(NamedTuple):
    """A page that another process has requested."""

    page: Page[Any]
    sequence: int  #: time of the request in microseconds, by the Redis server's clock
    age: float  #: maximum number of seconds since the request


def send(
    client: StitchClient, request: LimitedRequest, *, should_abort: Callable[[], bool]
) -> Page[Extraction] | Page[Load] | ExtractionLog:
    """Send a request and return the resulting page or log.

    :param should_abort: a function that is called while a log is downloaded. If the function returns True,
        the download is aborted.
    """
    if request.kind is RequestKind.EXTRACTIONS:
        return client.list_extractions(int(request.key))
    if request.kind is RequestKind.LOADS:
        return client.list_loads(int(request.key))
    return client.get_extraction_log(str(request.key), should_abort=should_abort)


def is_missing_page(request: LimitedRequest, error: Exception) -> bool:
    """Return whether an error means that the requested page no longer exists.

    Stitch does not document how it responds to a request for a page after the last page.
    """
    is_missing = isinstance(error, (StitchNotFound, StitchBadRequest))
    return is_missing and request.kind is not RequestKind.LOG and request.key != 1


def empty_page(request: LimitedRequest, responded_at: datetime | None) -> Page[Any]:
    """Return an empty page that represents a page after the last page."""
    number = int(request.key)
    return Page(
        records=(), number=number, total=100 * (number - 1), responded_at=responded_at, next_page=None
    )
