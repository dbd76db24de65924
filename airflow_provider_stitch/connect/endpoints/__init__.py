"""The endpoints of the Stitch Connect API, a module per group.

Each module begins with the table of its endpoints: constants that are named like the methods that ask them.
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

#: Every endpoint that the clients ask, by the name of its constant in lower case.
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        name.lower(): value
        for group in (accounts, destinations, sources, streams, jobs, notifications)
        for name, value in vars(group).items()
        if isinstance(value, Endpoint)
    }
)
