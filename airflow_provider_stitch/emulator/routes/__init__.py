"""Which request does what: the table of all endpoints, from which requests are routed and the API described.

Source: Stitch Connect API; the order of the groups is that of its reference.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from airflow_provider_stitch.emulator.refusal import Refusal, not_found
from airflow_provider_stitch.emulator.routes import (
    accounts,
    destinations,
    jobs,
    notifications,
    sources,
    streams,
)
from airflow_provider_stitch.emulator.routes.endpoint import Call, Endpoint, Redirect

__all__ = ["ENDPOINTS", "Call", "Endpoint", "Matched", "Redirect", "match", "unknown"]

ENDPOINTS: tuple[Endpoint, ...] = (
    *accounts.ENDPOINTS,
    *destinations.ENDPOINTS,
    *sources.ENDPOINTS,
    *streams.ENDPOINTS,
    *jobs.ENDPOINTS,
    *notifications.ENDPOINTS,
)
_PATTERNS = [
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", endpoint.path)), endpoint) for endpoint in ENDPOINTS
]


class Matched(NamedTuple):
    """The endpoint that a request is for, and what stands in the places of its path."""

    endpoint: Endpoint
    params: dict[str, str]


def match(method: str, path: str) -> Matched | None:
    """The endpoint of a request. A method that an endpoint does not allow is a 404 like an unknown path."""
    for pattern, endpoint in _PATTERNS:
        if endpoint.method == method:
            found = pattern.fullmatch(path)
            if found is not None:
                return Matched(endpoint, found.groupdict())
    return None


def unknown(method: str, path: str) -> Refusal:
    """The answer where no endpoint is."""
    # An update of a custom e-mail without its id is the one whose 404 has a documented body.
    missing_id = method == "PUT" and path.rstrip("/") == notifications.EMAILS
    return Refusal(404, {"status": "NOT FOUND"}) if missing_id else not_found()
