"""Destinations of an account, and what becomes of its sources when one comes or goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import report_cards, values
from airflow_provider_stitch.emulator.catalogue import DESTINATION_TYPES
from airflow_provider_stitch.emulator.clock import stamp, stamp_or_none
from airflow_provider_stitch.emulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.account import Account
    from airflow_provider_stitch.emulator.checks import Check, Checks
    from airflow_provider_stitch.emulator.plans import Quirks


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
    checks: Checks
    quirks: Quirks = field(repr=False)
    credentials: set[str] = field(default_factory=set)
    connected: bool = False  #: a check was good once
    stepped_back: bool = False  #: the last check failed, and Stitch takes the configuration back for that
    deleted_at: datetime | None = None

    def give(self, properties: Mapping[str, Any]) -> None:
        """Store properties that were checked. The values of credentials are not kept."""
        shown, secret = values.split(properties, DESTINATION_TYPES[self.type])
        self.credentials |= secret
        self.properties = {**self.properties, **shown}

    @property
    def provided(self) -> set[str]:
        """The names of the properties that have a value."""
        return {name for name, value in self.properties.items() if value is not None} | self.credentials

    @property
    def complete(self) -> bool:
        """Whether it has all that a connection check needs."""
        return not report_cards.missing(DESTINATION_TYPES[self.type], self.provided)

    @property
    def step(self) -> str:
        """The step of its configuration."""
        if self.quirks.destination_configured == "after_form":
            return "fully_configured" if self.complete else "form"
        return "fully_configured" if self.connected and not self.stepped_back else "form"

    def body(self, *, after_change: bool = False) -> dict[str, Any]:
        """The Destination object (v4). Source: Stitch Connect API, "Destination object".

        :param after_change: it answers a creation or update, and so names the check that it started.
        """
        check = self.checks.last
        quirks = self.quirks
        named = quirks.name_checks_in_updates if after_change else quirks.name_checks_in_reads
        return {
            "description": self.description,
            "properties": dict(self.properties),
            "updated_at": stamp(self.updated_at),
            **({"check_job_name": check.name} if named and check else {}),
            "name": self.name,
            "type": self.type,
            "deleted_at": stamp_or_none(self.deleted_at),
            "system_paused_at": None,
            "stitch_client_id": self.client_id,
            "paused_at": None,
            "id": self.id,
            "display_name": None,
            "created_at": stamp(self.created_at),
            "report_card": report_cards.destination_report_card(
                self.type, self.step, self.provided, self.quirks
            ),
        }

    def v3_body(self, now: datetime) -> dict[str, Any]:
        """The Destination object of the API's third version."""
        check = self.checks.last
        return {
            "id": self.id,
            "type": self.type,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
            "connection": dict(self.properties),
            "last_check": None if check is None else _last_check(check, now),
        }


def _last_check(check: Check, now: datetime) -> dict[str, Any]:
    return {
        "error": check.failed(now),
        "started_at": stamp(check.begins_at),
        "completed_at": stamp_or_none(check.ends_at if check.over(now) else None),
    }


def create(
    account: Account,
    now: datetime,
    *,
    destination_type: str,
    properties: Mapping[str, Any],
    name: str | None = None,
    description: str = "",
    takes_unmapped: bool = True,
    begin_check: bool = True,
) -> Destination:
    """A new destination; a connection check of it begins if it has all that the check needs.

    :raises Refusal: the account has as many as its plan allows.
    """
    if len(account.live_destinations()) >= account.allowed.destinations:
        raise Refusal(400, "you are at your destination limit")
    number = account.ids.take("destination")
    destination = Destination(
        id=number,
        client_id=account.client_id,
        type=destination_type,
        name=name or destination_type.replace("_", " ").title(),
        description=description,
        properties={},
        created_at=now,
        updated_at=now,
        checks=account.new_checks(number),
        quirks=account.quirks,
    )
    destination.give({**values.defaults(DESTINATION_TYPES[destination_type], properties), **properties})
    account.destinations[number] = destination
    if takes_unmapped:
        for source in account.sources.values():
            if source.destination_id is None and source.deleted_at is None:
                source.destination_id = number
    if begin_check and destination.complete:
        destination.checks.planned.extend(account.new_destinations.take_checks())
        check(account, destination, now)
    return destination


def update(account: Account, destination: Destination, properties: Mapping[str, Any], now: datetime) -> None:
    """Changed properties; a connection check begins if the destination has all that the check needs."""
    destination.give(properties)
    destination.updated_at = now
    if destination.complete:
        check(account, destination, now)


def check(account: Account, destination: Destination, now: datetime) -> None:
    """Begin a connection check, whose success connects the destination."""
    begun = destination.checks.begin(now)
    account.agenda.at(begun.ends_at, _after_check, account, destination, begun)


def _after_check(account: Account, destination: Destination, begun: Check, instant: datetime) -> None:
    destination.stepped_back = account.quirks.failed_check_steps_back and begun.failed(instant)
    if begun.succeeded(instant) and destination.deleted_at is None:
        connect(account, destination, instant)


def connect(account: Account, destination: Destination, now: datetime) -> None:
    """A check was good. What Stitch had paused for want of a destination goes on."""
    destination.connected = True
    for source in account.sources.values():
        if source.destination_id == destination.id and source.id in account.paused_without_destination:
            account.paused_without_destination.discard(source.id)
            source.system_paused_at = None
    account.note_destinations(now)


def delete(account: Account, destination: Destination, now: datetime) -> None:
    """Delete softly. Stitch pauses the sources that were mapped to it, and deletes the hooks bound to it."""
    destination.deleted_at = destination.updated_at = now
    account.notifications.delete_hooks_of(destination.id)
    for source in account.sources.values():
        if source.destination_id != destination.id:
            continue
        source.destination_id = None
        if source.deleted_at is None and source.system_paused_at is None:
            source.system_paused_at = now
            account.paused_without_destination.add(source.id)
    account.note_destinations(now)
