"""The endpoints of the Stitch Connect API, one module per group.

Each module begins with its endpoints, as constants named after the methods that send requests to them.
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

#: All endpoints, by the lower-case name of their constant.
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        name.lower(): value
        for group in (accounts, destinations, sources, streams, jobs, notifications)
        for name, value in vars(group).items()
        if isinstance(value, Endpoint)
    }
)
