"""Destinations, with their configuration and JSON representations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.connections import property_values, report_cards
from airflow_provider_stitch.emulator.model.connections.connector_types import DESTINATION_TYPES
from airflow_provider_stitch.emulator.model.times import format_optional_time, format_time

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.connections.checks import ConnectionCheck, ConnectionChecks
    from airflow_provider_stitch.emulator.model.quirks import Quirks


@dataclass
class Destination:
    """A destination of an account."""

    id: int
    client_id: int
    type: str
    name: str
    description: str
    properties: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    checks: ConnectionChecks
    quirks: Quirks = field(repr=False)
    credentials: set[str] = field(default_factory=set)
    connected: bool = False  #: whether a connection check has ever succeeded
    stepped_back: bool = False  #: whether a failed check has reset the configuration to the step ``form``
    deleted_at: datetime | None = None

    def apply_properties(self, properties: Mapping[str, Any]) -> None:
        """Store valid properties. For credentials, the names are stored but not the values."""
        shown, secret = property_values.split(properties, DESTINATION_TYPES[self.type])
        self.credentials |= secret
        self.properties = {**self.properties, **shown}
        account = properties.get("service_account_credentials")
        if self.type == "bigquery_v2" and isinstance(account, Mapping) and account.get("project_id"):
            self.properties["project_id"] = account["project_id"]  # the API cannot change this property

    @property
    def provided(self) -> set[str]:
        """Return the names of the properties that have a value."""
        return {name for name, value in self.properties.items() if value is not None} | self.credentials

    @property
    def is_complete(self) -> bool:
        """Return whether all properties that a connection check requires have a value."""
        return not report_cards.missing_properties(DESTINATION_TYPES[self.type], self.provided)

    @property
    def step(self) -> str:
        """Return the destination's current configuration step."""
        if self.quirks.destination_configured == "after_form":
            return "fully_configured" if self.is_complete else "form"
        return "fully_configured" if self.connected and not self.stepped_back else "form"

    def body(self, *, after_change: bool = False) -> dict[str, Any]:
        """Return the JSON representation of the destination in API v4.

        See "Destination object" in the Stitch Connect API.

        :param after_change: whether the object is returned by a request that creates or updates the
            destination.
        """
        check = self.checks.last
        quirks = self.quirks
        # A creation or an update of an incomplete destination starts no check.
        started = quirks.name_checks_in_updates and self.is_complete
        names_check = started if after_change else quirks.name_checks_in_reads
        return {
            "description": self.description,
            "properties": dict(self.properties),
            "updated_at": format_time(self.updated_at),
            **({"check_job_name": check.name} if names_check and check else {}),
            "name": self.name,
            "type": self.type,
            "deleted_at": format_optional_time(self.deleted_at),
            "system_paused_at": None,
            "stitch_client_id": self.client_id,
            "paused_at": None,
            "id": self.id,
            "display_name": None,
            "created_at": format_time(self.created_at),
            "report_card": report_cards.destination_report_card(
                self.type, self.step, self.provided, self.quirks
            ),
        }

    def v3_body(self, now: datetime) -> dict[str, Any]:
        """Return the JSON representation of the destination in API v3."""
        check = self.checks.last
        return {
            "id": self.id,
            "type": self.type,
            "created_at": format_time(self.created_at),
            "updated_at": format_time(self.updated_at),
            "connection": dict(self.properties),
            "last_check": None if check is None else _last_check(check, now),
        }


def _last_check(check: ConnectionCheck, now: datetime) -> dict[str, Any]:
    return {
        "error": check.failed(now),
        "started_at": format_time(check.starts_at),
        "completed_at": format_optional_time(check.ends_at if check.finished(now) else None),
    }
