"""Sources, which are the databases and applications that Stitch replicates from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects.json import (
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
class Source:
    """A database, API or other application that Stitch replicates from. A source may be paused or deleted.

    Source: Stitch Connect API, "Source object".
    """

    id: int
    #: The name of the source, which is also the schema in the destination. The name never changes, and it is
    #: unique among the sources that are not deleted.
    name: str
    display_name: str  #: the label, which may change; equal to `name` if missing in the response
    type: str | None  #: the type, such as `platform.github`, `platform.hp-postgres` or `import_api`
    stitch_client_id: int | None
    paused_at: datetime | None  #: when a user paused the source
    system_paused_at: datetime | None  #: when Stitch paused the source
    deleted_at: datetime | None  #: when the source was deleted; the API still returns deleted sources
    created_at: datetime | None
    updated_at: datetime | None
    check_job_name: str | None  #: the job name of the last connection check; often missing
    #: The type of the current step in the report card, such as `form` or `fully_configured`.
    current_step: str | None
    properties: Mapping[str, Any]
    schedule: Mapping[str, Any] | None  #: a source without a schedule is not necessarily paused
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Source:
        source = json_object(data, "source")
        name = required_string(source, "name")
        return cls(
            id=required_integer(source, "id"),
            name=name,
            display_name=optional_string(source, "display_name") or name,
            type=optional_string(source, "type"),
            stitch_client_id=optional_integer(source, "stitch_client_id"),
            paused_at=optional_time(source, "paused_at"),
            system_paused_at=optional_time(source, "system_paused_at"),
            deleted_at=optional_time(source, "deleted_at"),
            created_at=optional_time(source, "created_at"),
            updated_at=optional_time(source, "updated_at"),
            check_job_name=optional_string(source, "check_job_name"),
            current_step=current_step(source),
            properties=optional_object(source, "properties") or {},
            schedule=optional_object(source, "schedule"),
            raw=source,
        )

    @property
    def label(self) -> str:
        """The name and id for messages, such as `github (310442)`."""
        return f"{self.name} ({self.id})"

    @property
    def is_paused(self) -> bool:
        """Whether a user or Stitch paused the source.

        Stitch does not start scheduled jobs for a paused source.
        """
        return self.paused_at is not None or self.system_paused_at is not None

    @property
    def is_deleted(self) -> bool:
        """Whether the source was deleted. The API still returns deleted sources."""
        return self.deleted_at is not None

    @property
    def report_card(self) -> ReportCard | None:
        """The state of the source's configuration, or None if the response does not contain it."""
        return ReportCard.within(self.raw)
