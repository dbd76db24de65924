"""What hosts that serve extraction logs answer, other than a log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from airflow_provider_stitch.connect._answers import parse_retry_after
from airflow_provider_stitch.connect.errors import (
    ExtractionLogUnavailable,
    StitchUnavailable,
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

_MARKUP = ("text/html", "application/xhtml+xml", "application/xml", "text/xml")


def refuse_all_but_log(asked: str, response: requests.Response) -> None:
    """Raise unless a log host's answer is a log. Its body is not shown: it can repeat the credential."""
    status = response.status_code
    if status in (403, 404):
        raise StitchUnavailable(f"{asked} (HTTP {status}): the address has expired. Ask for the log again.")
    if status == 429 or status >= 500:
        retry_after = parse_retry_after(response.headers.get("Retry-After"), None)
        raise StitchUnavailable(f"{asked} (HTTP {status}): the host has a problem.", retry_after=retry_after)
    if status != 200:
        raise UnexpectedAnswer(f"{asked} (HTTP {status}): not the log.")
    refuse_markup(asked, response)


@contextmanager
def failing_as_log() -> Iterator[None]:
    """Turn a failure to read a log into ExtractionLogUnavailable: Stitch itself has just responded."""
    try:
        yield
    except StitchUnavailable as error:
        raise ExtractionLogUnavailable(str(error), retry_after=error.retry_after) from None


def refuse_markup(asked: str, response: requests.Response) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in _MARKUP:
        raise UnexpectedAnswer(f"{asked} (HTTP {response.status_code}): the answer is {kind}, not a log.")


def absolute(url: str, location: str) -> str:
    try:
        return urljoin(f"{url}/" if not urlsplit(url).path else url, location)
    except ValueError:
        raise UnexpectedAnswer("Stitch names a place for the extraction log that is no address.") from None
