"""Functions that create, update and delete destinations, and update the affected sources."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.api_errors import ApiError
from airflow_provider_stitch.emulator.model.connections import property_values
from airflow_provider_stitch.emulator.model.connections.connector_types import DESTINATION_TYPES
from airflow_provider_stitch.emulator.model.connections.destinations import Destination

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.account import Account
    from airflow_provider_stitch.emulator.model.connections.checks import ConnectionCheck


def create_destination(
    account: Account,
    now: datetime,
    *,
    destination_type: str,
    properties: Mapping[str, Any],
    name: str | None = None,
    description: str = "",
    map_unmapped_sources: bool = True,
    check: bool = True,
) -> Destination:
    """Create a destination, and start a connection check if all required properties are given.

    :param map_unmapped_sources: whether sources without a destination load into the new destination.
    :raises ApiError: if the account's pricing plan does not include the type or does not allow another
        destination.
    """
    _check_plan(account, destination_type)
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
    defaults = property_values.defaults(DESTINATION_TYPES[destination_type], properties)
    destination.apply_properties({**defaults, **properties})
    account.destinations[number] = destination
    if map_unmapped_sources:
        _map_unmapped_sources(account, number)
    if check and destination.is_complete:
        destination.checks.planned.extend(account.new_destination_plan.take_check())
        start_destination_check(account, destination, now)
    return destination


def _check_plan(account: Account, destination_type: str) -> None:
    if destination_type in account.pricing_plan.excluded_destination_types:
        # Stitch does not document this error, so its text is similar to the text for source types.
        raise ApiError(400, f"you do not have access to destination type ({destination_type})")
    if len(account.active_destinations()) >= account.pricing_plan.max_destinations:
        raise ApiError(400, "you are at your destination limit")


def _map_unmapped_sources(account: Account, destination_id: int) -> None:
    for source in account.sources.values():
        if source.destination_id is None and source.deleted_at is None:
            source.destination_id = destination_id


def add_default_destination(account: Account, now: datetime) -> None:
    """Add the initial destination of an account, as if the destination had been connected 30 days ago."""
    created_at = now - timedelta(days=30)
    properties = {"database": "staging", "host": "pg.acme.example", "port": "5432", "username": "stitch"}
    destination = create_destination(
        account,
        created_at,
        destination_type="postgres",
        properties={**properties, "password": "secret"},
        name="Staging",
        check=False,
    )
    destination.checks.start(created_at)
    connect_destination(account, destination, created_at)


def update_destination(
    account: Account, destination: Destination, properties: Mapping[str, Any], now: datetime
) -> None:
    """Update properties.

    Start a connection check if all required properties of the destination have values.
    """
    destination.apply_properties(properties)
    destination.updated_at = now
    if destination.is_complete:
        start_destination_check(account, destination, now)


def start_destination_check(account: Account, destination: Destination, now: datetime) -> None:
    """Start a connection check. If the check succeeds, the destination becomes connected."""
    check = destination.checks.start(now)
    account.events.schedule(check.ends_at, _finish_check, account, destination, check)


def _finish_check(account: Account, destination: Destination, check: ConnectionCheck, now: datetime) -> None:
    destination.stepped_back = account.quirks.failed_check_resets_step and check.failed(now)
    if check.succeeded(now) and destination.deleted_at is None:
        connect_destination(account, destination, now)


def connect_destination(account: Account, destination: Destination, now: datetime) -> None:
    """Mark a destination as connected.

    Unpause the sources that Stitch paused because they had no destination.
    """
    destination.connected = True
    for source in account.sources.values():
        if source.destination_id == destination.id and source.id in account.paused_without_destination:
            account.paused_without_destination.discard(source.id)
            source.system_paused_at = None
    account.on_destinations_changed(now)


def delete_destination(account: Account, destination: Destination, now: datetime) -> None:
    """Mark a destination as deleted, and delete its hooks.

    Pause the sources that load into the destination.
    """
    destination.deleted_at = destination.updated_at = now
    account.notifications.delete_hooks_of(destination.id)
    for source in account.sources.values():
        if source.destination_id != destination.id:
            continue
        source.destination_id = None
        if source.deleted_at is None and source.system_paused_at is None:
            source.system_paused_at = now
            account.paused_without_destination.add(source.id)
    account.on_destinations_changed(now)
