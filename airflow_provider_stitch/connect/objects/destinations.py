"""Destinations, in the form of version 4 and in that of version 3."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect._json import (
    free_text,
    integer,
    mapping,
    record,
    required_integer,
    required_text,
    text,
)
from airflow_provider_stitch.connect.objects.report_cards import ReportCard, current_step
from airflow_provider_stitch.connect.objects.times import time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Destination:
    """The warehouse, lake or storage that Stitch loads into.

    Source: Stitch Connect API, "Destination object".
    """

    id: int
    name: str
    type: str | None  #: `postgres`, `snowflake`, `s3` ...
    stitch_client_id: int | None
    paused_at: datetime | None
    system_paused_at: datetime | None
    deleted_at: datetime | None
    current_step: str | None  #: of its report card: `form`, `fully_configured`
    display_name: str | None
    description: str | None
    properties: Mapping[str, Any]  #: without credentials
    check_job_name: str | None  #: of its last connection check; missing in lists
    created_at: datetime | None
    updated_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Destination:
        destination = record(data, "destination")
        return cls(
            id=required_integer(destination, "id"),
            name=required_text(destination, "name"),
            type=text(destination, "type"),
            stitch_client_id=integer(destination, "stitch_client_id"),
            paused_at=time(destination, "paused_at"),
            system_paused_at=time(destination, "system_paused_at"),
            deleted_at=time(destination, "deleted_at"),
            current_step=current_step(destination),
            display_name=text(destination, "display_name"),
            description=free_text(destination, "description"),
            properties=mapping(destination, "properties") or {},
            check_job_name=text(destination, "check_job_name"),
            created_at=time(destination, "created_at"),
            updated_at=time(destination, "updated_at"),
            raw=destination,
        )

    @property
    def label(self) -> str:
        """The destination as messages call it: `Staging (155901)`."""
        return f"{self.name} ({self.id})"

    @property
    def report_card(self) -> ReportCard | None:
        """Where the destination stands in its configuration; None if Stitch does not say."""
        return ReportCard.within(self.raw)


@dataclass(frozen=True, slots=True)
class DestinationV3:
    """A destination in the form of version 3, which has no name. Source: Stitch Connect API, version 3."""

    id: int
    type: str | None
    connection: Mapping[str, Any]  #: what version 4 calls properties
    last_check: Mapping[str, Any] | None  #: `error`, `started_at`, `completed_at`
    created_at: datetime | None
    updated_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> DestinationV3:
        destination = record(data, "destination")
        return cls(
            id=required_integer(destination, "id"),
            type=text(destination, "type"),
            connection=mapping(destination, "connection") or {},
            last_check=mapping(destination, "last_check"),
            created_at=time(destination, "created_at"),
            updated_at=time(destination, "updated_at"),
            raw=destination,
        )
