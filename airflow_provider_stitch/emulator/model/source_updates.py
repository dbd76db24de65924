"""Functions that create and update sources, with the errors that Stitch documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.account_plan import NewConnectionPlan
from airflow_provider_stitch.emulator.model.api_errors import ApiError, coded_error
from airflow_provider_stitch.emulator.model.connections import property_values, report_cards
from airflow_provider_stitch.emulator.model.connections.connector_types import (
    SOURCE_TYPES,
    SourceType,
    source_type,
)
from airflow_provider_stitch.emulator.model.connections.schedule import (
    DEFAULT_FREQUENCY_MINUTES,
    SCHEDULE_PROPERTIES,
    next_start,
)
from airflow_provider_stitch.emulator.model.connections.sources import Source, system_properties
from airflow_provider_stitch.emulator.model.plans import EmulatedStream
from airflow_provider_stitch.emulator.model.times import format_time_ms, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.account import Account

_DEFAULT_ROWS = 100
_NAME = re.compile(r"[a-z_][a-z0-9_$]{0,48}", re.ASCII)


# Creation


def create_source(account: Account, body: Any, now: datetime) -> dict[str, Any]:
    """Create a source, and complete each configuration step for which all required properties are given."""
    allowed = {"display_name", "type", "properties"}
    if account.quirks.accept_destination_id:
        allowed.add("destination_id")
    if account.quirks.accept_source_name:
        allowed.add("name")
    if not isinstance(body, dict) or set(body) - allowed or not _has_strings(body, "display_name", "type"):
        raise invalid_post_body()
    kind = _permitted_type(account, body["type"])
    destination_id = _destination_id(account, body, invalid_post_body())
    properties = body.get("properties", {})
    if not isinstance(properties, dict):
        raise invalid_post_body()
    name = _new_name(account, body)
    initial_report_card = report_cards.source_report_card(kind, "form", (), account.quirks)
    check_properties(account, kind, properties, initial_report_card)
    source = account.new_source(name, body["display_name"], kind.name, now)
    if destination_id is not None:
        source.destination_id = destination_id
    _apply_initial_properties(account, source, properties, now)
    source.advance_input_steps()
    check_name = None
    if source.can_be_checked:
        check_name = account.start_check(source, now).name
    account.schedule_if_configured(source, now)
    return _response_body(account, source, check_name, now)


def _apply_initial_properties(
    account: Account, source: Source, properties: Mapping[str, Any], now: datetime
) -> None:
    """Set the properties of a new source, and apply the plans for its streams, jobs and checks."""
    if not source.kind.has_extractions:
        source.apply_properties(properties)
        return
    from_stitch = {**system_properties(DEFAULT_FREQUENCY_MINUTES), "anchor_time": format_time_ms(now)}
    source.apply_properties(from_stitch, by_stitch=True)
    source.apply_properties({**property_values.defaults(source.kind.properties, properties), **properties})
    plan = account.new_source_plans.get(source.type, NewConnectionPlan())
    streams = dict.fromkeys(source.kind.streams, _DEFAULT_ROWS) if plan.streams is None else plan.streams
    source.undiscovered = {key: unselected(stream) for key, stream in streams.items()}
    source.checks.planned.extend(plan.take_check())
    account.jobs.for_source(source.id).default_plan = plan.job
    source.schedule_when_configured = True


def unselected(plan: int | EmulatedStream) -> EmulatedStream:
    """Return the plan for a new stream.

    If a test has planned only a number of rows, the stream is not selected.
    """
    return EmulatedStream(plan, selected=None) if isinstance(plan, int) else plan


def _has_strings(body: Mapping[str, Any], *keys: str) -> bool:
    return all(isinstance(body.get(key), str) and body[key] for key in keys)


def _permitted_type(account: Account, type_name: str) -> SourceType:
    if type_name not in SOURCE_TYPES and type_name not in account.new_source_plans:
        raise coded_error("InvalidType", f"invalid source type ({type_name})")
    kind = source_type(type_name)
    if kind.has_no_steps or type_name in account.pricing_plan.excluded_source_types:
        raise coded_error("AccessDenied", f"you do not have access to source type ({type_name})")
    return kind


def _new_name(account: Account, body: Mapping[str, Any]) -> str:
    """Return the requested name of the source, or a name derived from the display name."""
    display_name = body["display_name"]
    if "name" in body:
        given = body["name"]
        if not isinstance(given, str):
            raise invalid_post_body()
        _check_name(given)
        if given in account.names:
            raise coded_error("InvalidName", f"non-unique name ({given})")
        return given
    active = (source for source in account.sources.values() if source.deleted_at is None)
    if any(source.display_name == display_name for source in active):
        raise coded_error("InvalidName", f"non-unique name ({display_name})")
    derived = derive_name(display_name)
    if not derived:
        message = f"invalid name after deriving it from display_name ({display_name} -> )"
        raise coded_error("InvalidDisplayName", message)
    _check_name(derived)
    if derived in account.names:
        message = f"non-unique name after deriving it from display_name ({display_name} -> {derived})"
        raise coded_error("InvalidName", message)
    return derived


def derive_name(display_name: str) -> str:
    """Return the display name in lower case, with underscores for spaces and without special characters."""
    return re.sub(r"[^a-z0-9_]", "", re.sub(r"\s+", "_", display_name.strip().lower()))


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise coded_error(
            "InvalidName",
            "The name field must be under 50 characters, and can only contain lowercase letters, numbers, "
            "underscores, or dollar signs. It must begin with a letter or an underscore.",
        )


# Update


def update_source(account: Account, source: Source, body: Any, now: datetime) -> dict[str, Any]:
    """Update a source, start a connection check if possible, and return the source as a JSON object."""
    allowed = {"display_name", "properties", "paused_at"}
    if account.quirks.accept_destination_id:
        allowed.add("destination_id")
    if not isinstance(body, dict) or set(body) - allowed:
        raise invalid_put_body()
    paused_at = _paused_at(body, source)
    display_name = _display_name(body, source)
    destination_id = _destination_id(account, body, invalid_put_body())
    changes = body.get("properties", {})
    if not isinstance(changes, dict):
        raise invalid_put_body()
    check_properties(account, source.kind, changes, source.report_card(now), current=source.properties)
    source.paused_at, source.display_name, source.updated_at = paused_at, display_name, now
    if "paused_at" in body and paused_at is None and account.quirks.unpause_system_pauses:
        source.system_paused_at = None
    if destination_id is not None:
        _change_destination(account, source, destination_id, now)
    if changes:
        _change_properties(account, source, changes, now)
    check_name = None
    if source.can_be_checked and (set(body) != {"paused_at"} or account.quirks.checks_on_pause):
        check_name = account.start_check(source, now).name
    return _response_body(account, source, check_name, now)


def _response_body(account: Account, source: Source, check_name: str | None, now: datetime) -> dict[str, Any]:
    body = source.body(now)
    if check_name is not None and account.quirks.name_checks_in_updates:
        body["check_job_name"] = check_name
    return body


def _paused_at(body: Mapping[str, Any], source: Source) -> datetime | None:
    """Return the new pause time of a source.

    An ISO 8601 time pauses the source, and null unpauses the source.

    Stitch does not document the error for any other value.
    """
    if "paused_at" not in body:
        return source.paused_at
    value = body["paused_at"]
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid_put_body()
    try:
        return parse_time(value)
    except ValueError as error:
        raise invalid_put_body() from error


def _display_name(body: Mapping[str, Any], source: Source) -> str:
    name = body.get("display_name", source.display_name)
    if not isinstance(name, str) or not name.strip():
        raise coded_error("InvalidDisplayName", f"invalid display_name ({name})")
    return name


def _destination_id(account: Account, body: Mapping[str, Any], error: ApiError) -> int | None:
    """Return the requested destination id, if any.

    :param error: the error to raise if the account does not have the destination. Stitch does not document
        this error.
    """
    if "destination_id" not in body:
        return None
    number = body["destination_id"]
    known = {destination.id for destination in account.active_destinations()}
    if isinstance(number, bool) or not isinstance(number, int) or number not in known:
        raise error
    return number


def _change_destination(account: Account, source: Source, destination_id: int, now: datetime) -> None:
    """Change the destination of a source.

    If Stitch has paused the source because it had no destination, unpause the source.
    """
    if source.id in account.paused_without_destination and account.destinations[destination_id].connected:
        account.paused_without_destination.discard(source.id)
        source.system_paused_at = None
    elif source.destination_id != destination_id and account.quirks.pause_on_switch:
        source.system_paused_at = source.system_paused_at or now
    source.destination_id = destination_id
    account.on_destinations_changed(now)


def _change_properties(account: Account, source: Source, changes: Mapping[str, Any], now: datetime) -> None:
    had_schemas, old_schedule = source.schema_in_load_names, _schedule_properties(source)
    source.apply_properties(changes)
    source.advance_input_steps()
    account.schedule_if_configured(source, now)
    if source.schema_in_load_names != had_schemas:
        account.load_list.mark_unsorted()
    if source.schedule_minutes is not None and _schedule_properties(source) != old_schedule:
        minutes = source.properties.get("frequency_in_minutes")
        if isinstance(minutes, str) and minutes.isdecimal():
            source.schedule_minutes = float(minutes) or source.schedule_minutes
        account.schedule(source, next_start(source.properties, source.schedule_minutes, now))


def _schedule_properties(source: Source) -> tuple[Any, ...]:
    return tuple(source.properties.get(key) for key in SCHEDULE_PROPERTIES)


# Properties


def check_properties(
    account: Account,
    kind: SourceType,
    given: Mapping[str, Any],
    report_card: Mapping[str, Any],
    *,
    current: Mapping[str, Any] | None = None,
) -> None:
    """Check property values and the cron expression.

    :param current: the properties of an existing source.
    :raises ApiError: if a value or the cron expression is invalid, if an immutable property changes, or if
        the pricing plan does not include cron expressions. Stitch does not document the error for an
        immutable property.
    """
    bad = property_values.bad_names(given, kind.properties, account.quirks)
    bad += property_values.changed_immutables(given, current or {}, account.quirks)
    if bad:
        raise coded_error(
            "InvalidProperties", "properties do not match schema", bad_properties=bad, report_card=report_card
        )
    cron = given.get("cron_expression")
    if cron is not None:
        _check_cron(account, cron)


def _check_cron(account: Account, cron: str) -> None:
    if not account.pricing_plan.cron:
        raise coded_error("AccessDenied", "access to cron_expression based scheduling is not permitted")
    fields = cron.split()
    if len(fields) > 5 and "?" not in (fields[3], fields[5]):
        raise coded_error(
            "InvalidCronExpression",
            f'cron_expression "{cron}" is invalid: Support for specifying both a day-of-week AND a '
            "day-of-month parameter is not implemented.",
        )


# Errors for requests with an invalid body


def invalid_post_body() -> ApiError:
    """Return the error for a POST request with an invalid body.

    Stitch does not document the error for a body that is not JSON.
    """
    message = (
        "POST body may only include a non-empty type, a non-empty display_name and map of string properties"
    )
    return coded_error("InvalidBody", message)


def invalid_put_body() -> ApiError:
    """Return the error for a PUT request with an invalid body.

    Stitch does not document the error for a body that is not JSON.
    """
    # Stitch's own message contains the typo "many".
    return coded_error(
        "InvalidBody", "PUT body many only include the keys: display_name, properties, and paused_at"
    )
