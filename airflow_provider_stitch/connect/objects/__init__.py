"""The objects of the Stitch Connect API, as frozen dataclasses.

Each class has a constructor `from_json` for responses. Stitch omits many fields and may add fields at any
time, so only ids and names are required. All other fields are None or empty if they are missing or null in
the response, unless the comment on a field states a different value. Unknown keys are available in `raw`. A
value of an undocumented type raises UnexpectedResponse. All times are in UTC. The package imports only the
standard library and modules of this project.
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
