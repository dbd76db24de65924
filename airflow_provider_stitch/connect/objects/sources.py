"""Sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect._json import (
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
class Source:
    """A database, API or other application that Stitch replicates from; also a paused or deleted one.

    Source: Stitch Connect API, "Source object".
    """

    id: int
    name: str  #: schema in the destination; unique among the account's living sources, never changes
    display_name: str  #: label, may change; the name if Stitch gives none
    type: str | None  #: `platform.github`, `platform.hp-postgres`, `import_api` ...
    stitch_client_id: int | None
    paused_at: datetime | None  #: set when a user paused it
    system_paused_at: datetime | None  #: set when Stitch paused it
    deleted_at: datetime | None  #: deleted sources stay readable
    created_at: datetime | None
    updated_at: datetime | None
    check_job_name: str | None  #: of its last connection check; often missing
    current_step: str | None  #: of its report card: `form` ... `fully_configured`
    properties: Mapping[str, Any]
    schedule: Mapping[str, Any] | None  #: None does not mean paused
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Source:
        source = record(data, "source")
        name = required_text(source, "name")
        return cls(
            id=required_integer(source, "id"),
            name=name,
            display_name=text(source, "display_name") or name,
            type=text(source, "type"),
            stitch_client_id=integer(source, "stitch_client_id"),
            paused_at=time(source, "paused_at"),
            system_paused_at=time(source, "system_paused_at"),
            deleted_at=time(source, "deleted_at"),
            created_at=time(source, "created_at"),
            updated_at=time(source, "updated_at"),
            check_job_name=text(source, "check_job_name"),
            current_step=current_step(source),
            properties=mapping(source, "properties") or {},
            schedule=mapping(source, "schedule"),
            raw=source,
        )

    @property
    def label(self) -> str:
        """The source as messages call it: `github (310442)`."""
        return f"{self.name} ({self.id})"

    @property
    def is_paused(self) -> bool:
        """Whether a user or Stitch has paused the source, so that Stitch's schedule starts no job of it."""
        return self.paused_at is not None or self.system_paused_at is not None

    @property
    def is_deleted(self) -> bool:
        """Whether the source was deleted. A deleted source stays readable."""
        return self.deleted_at is not None

    @property
    def report_card(self) -> ReportCard | None:
        """Where the source stands in its configuration; None if Stitch does not say."""
        return ReportCard.within(self.raw)
