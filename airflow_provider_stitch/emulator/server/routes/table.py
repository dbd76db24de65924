"""The table of all API endpoints, which is used for routing and for the OpenAPI description.

The groups of endpoints have the same order as in the reference of the Stitch Connect API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.emulator.model.api_errors import ApiError, not_found
from airflow_provider_stitch.emulator.server.routes import (
    accounts,
    destinations,
    jobs,
    notifications,
    sources,
    streams,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.server.routes.endpoint import Endpoint

__all__ = ["ENDPOINTS", "RouteMatch", "match", "unknown_path"]

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


class RouteMatch(NamedTuple):
    """The endpoint that matches a request, and the values of the path parameters."""

    endpoint: Endpoint
    params: dict[str, str]


def match(method: str, path: str) -> RouteMatch | None:
    """Return the endpoint of a request, or None if no endpoint has this method and path."""
    for pattern, endpoint in _PATTERNS:
        if endpoint.method == method:
            found = pattern.fullmatch(path)
            if found is not None:
                return RouteMatch(endpoint, found.groupdict())
    return None


def unknown_path(method: str, path: str) -> ApiError:
    """Return the error for a request that matches no endpoint."""
    # Stitch documents the body of this 404 error only for an update of a custom e-mail address without an id.
    missing_id = method == "PUT" and path.rstrip("/") == notifications.EMAILS
    return ApiError(404, {"status": "NOT FOUND"}) if missing_id else not_found()
