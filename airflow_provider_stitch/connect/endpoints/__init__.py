"""The endpoints of the Stitch Connect API, one module per group.

Each module defines its endpoints as constants at the top. Each constant is named after the client method that
uses the endpoint.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.endpoints import (
    accounts,
    destinations,
    jobs,
    notifications,
    sources,
    streams,
)
from airflow_provider_stitch.connect.endpoints._base import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENDPOINTS", "Endpoint"]

#: All endpoints. Each key is the lower-case name of an endpoint's constant.
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        name.lower(): value
        for group in (accounts, destinations, sources, streams, jobs, notifications)
        for name, value in vars(group).items()
        if isinstance(value, Endpoint)
    }
)
