"""The objects of the Stitch Connect API, as frozen dataclasses.

Each is made in one place, its `from_json`. Stitch may add fields at any time and leaves many out, so: ids and
names are required, everything else may be missing or null (then None), unknown keys stay in `raw`, and a
value of another type than documented raises UnexpectedAnswer. Times are UTC. Only the standard library is
imported.
"""

from __future__ import annotations

from airflow_provider_stitch.connect.objects.accounts import AccountAccess, EphemeralToken, ImportToken
from airflow_provider_stitch.connect.objects.destinations import Destination, DestinationV3
from airflow_provider_stitch.connect.objects.jobs import (
    ConnectionCheck,
    Extraction,
    JobName,
    Load,
    MalformedRecord,
    Page,
    ReplicationJob,
)
from airflow_provider_stitch.connect.objects.notifications import CustomEmail, PostLoadHook
from airflow_provider_stitch.connect.objects.report_cards import (
    ConnectionStep,
    Property,
    ReportCard,
    TypeDetails,
)
from airflow_provider_stitch.connect.objects.sources import Source
from airflow_provider_stitch.connect.objects.streams import Field, Stream, StreamSchema, StreamUpdate
from airflow_provider_stitch.connect.objects.times import format_time, parse_time

__all__ = [
    "AccountAccess",
    "ConnectionCheck",
    "ConnectionStep",
    "CustomEmail",
    "Destination",
    "DestinationV3",
    "EphemeralToken",
    "Extraction",
    "Field",
    "ImportToken",
    "JobName",
    "Load",
    "MalformedRecord",
    "Page",
    "PostLoadHook",
    "Property",
    "ReplicationJob",
    "ReportCard",
    "Source",
    "Stream",
    "StreamSchema",
    "StreamUpdate",
    "TypeDetails",
    "format_time",
    "parse_time",
]
