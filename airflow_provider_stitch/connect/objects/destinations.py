"""Destinations in the formats of API version 4 and API version 3."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects.json import (
    display_string,
    json_object,
    optional_integer,
    optional_object,
    optional_string,
    required_integer,
    required_string,
)
from airflow_provider_stitch.connect.objects.report_cards import ReportCard, current_step
from airflow_provider_stitch.connect.objects.times import optional_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Destination:
    """A data warehouse, data lake or storage service into which Stitch loads data.

    Source: Stitch Connect API, "Destination object".
    """

    id: int
    name: str
    type: str | None  #: the type, such as `postgres`, `snowflake` or `s3`
    stitch_client_id: int | None
    paused_at: datetime | None
    system_paused_at: datetime | None
    deleted_at: datetime | None
    #: The type of the current step in the report card, such as `form` or `fully_configured`.
    current_step: str | None
    display_name: str | None
    description: str | None
    properties: Mapping[str, Any]  #: the settings of the destination, without credentials
    check_job_name: str | None  #: the job name of the last connection check; missing in lists
    created_at: datetime | None
    updated_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Destination:
        destination = json_object(data, "destination")
        return cls(
            id=required_integer(destination, "id"),
            name=required_string(destination, "name"),
            type=optional_string(destination, "type"),
            stitch_client_id=optional_integer(destination, "stitch_client_id"),
            paused_at=optional_time(destination, "paused_at"),
            system_paused_at=optional_time(destination, "system_paused_at"),
            deleted_at=optional_time(destination, "deleted_at"),
            current_step=current_step(destination),
            display_name=optional_string(destination, "display_name"),
            description=display_string(destination, "description"),
            properties=optional_object(destination, "properties") or {},
            check_job_name=optional_string(destination, "check_job_name"),
            created_at=optional_time(destination, "created_at"),
            updated_at=optional_time(destination, "updated_at"),
            raw=destination,
        )

    @property
    def label(self) -> str:
        """The name and id for messages, such as `Staging (155901)`."""
        return f"{self.name} ({self.id})"

    @property
    def report_card(self) -> ReportCard | None:
        """The state of the destination's configuration, or None if the response does not contain it."""
        return ReportCard.within(self.raw)


@dataclass(frozen=True, slots=True)
class DestinationV3:
    """A destination in the format of API version 3, without a name.

    Source: Stitch Connect API, version 3.
    """

    id: int
    type: str | None
    connection: Mapping[str, Any]  #: the settings, called `properties` in API version 4
    #: The last connection check, with `error`, `started_at` and `completed_at`.
    last_check: Mapping[str, Any] | None
    created_at: datetime | None
    updated_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> DestinationV3:
        destination = json_object(data, "destination")
        return cls(
            id=required_integer(destination, "id"),
            type=optional_string(destination, "type"),
            connection=optional_object(destination, "connection") or {},
            last_check=optional_object(destination, "last_check"),
            created_at=optional_time(destination, "created_at"),
            updated_at=optional_time(destination, "updated_at"),
            raw=destination,
        )
