"""Creation and update of sources, with the refusals that Stitch documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import report_cards, values
from airflow_provider_stitch.emulator.allowance import NewConnections
from airflow_provider_stitch.emulator.catalogue import SOURCE_TYPES, SourceType, source_type
from airflow_provider_stitch.emulator.clock import parse_iso, stamp_ms
from airflow_provider_stitch.emulator.plans import EmulatedStream
from airflow_provider_stitch.emulator.refusal import Refusal, coded
from airflow_provider_stitch.emulator.schedule import SCHEDULING, next_slot
from airflow_provider_stitch.emulator.sources import Source, stitch_properties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_stitch.emulator.account import Account

_USUAL_FREQUENCY = 30
_USUAL_ROWS = 100
_NAME = re.compile(r"[a-z_][a-z0-9_$]{0,48}", re.ASCII)


# Creation


def create_source(account: Account, body: Any, now: datetime) -> dict[str, Any]:
    """A new source, as far in its configuration as the given properties carry it."""
    allowed = {"display_name", "type", "properties"}
    if account.quirks.accept_destination_id:
        allowed.add("destination_id")
    if account.quirks.accept_source_name:
        allowed.add("name")
    if not isinstance(body, dict) or set(body) - allowed or not _texts(body, "display_name", "type"):
        raise invalid_post_body()
    kind = _kind(account, body["type"])
    destination_id = _destination_id(account, body, invalid_post_body())
    properties = body.get("properties", {})
    if not isinstance(properties, dict):
        raise invalid_post_body()
    name = _new_name(account, body)
    source_card = report_cards.source_report_card(kind, "form", (), account.quirks)
    check_properties(account, kind, properties, source_card)
    source = account.new_source(name, body["display_name"], kind.name, now)
    if destination_id is not None:
        source.destination_id = destination_id
    _give_first(account, source, properties, now)
    source.answer_steps()
    check_name = None
    if source.can_be_checked:
        check_name = account.begin_check(source, now).name
    account.configure(source, now)
    return _answer(account, source, check_name, now)


def _give_first(account: Account, source: Source, properties: Mapping[str, Any], now: datetime) -> None:
    """What the user gives and Stitch adds, and what discovery is going to find."""
    if source.kind.singer_backed:
        source.give({**stitch_properties(_USUAL_FREQUENCY), "anchor_time": stamp_ms(now)}, by_stitch=True)
        source.give({**values.defaults(source.kind.properties, properties), **properties})
        new = account.new_sources.get(source.type, NewConnections())
        found = dict.fromkeys(source.kind.streams, _USUAL_ROWS) if new.streams is None else new.streams
        source.undiscovered = {key: unselected(plan) for key, plan in found.items()}
        source.checks.planned.extend(new.take_checks())
        account.jobs.of(source.id).plan = new.job
        source.starts_by_itself = True
    else:
        source.give(properties)


def unselected(plan: int | EmulatedStream) -> EmulatedStream:
    """A stream that was just found: nobody has selected it."""
    return EmulatedStream(plan, selected=None) if isinstance(plan, int) else plan


def _texts(body: Mapping[str, Any], *keys: str) -> bool:
    return all(isinstance(body.get(key), str) and body[key] for key in keys)


def _kind(account: Account, type_name: str) -> SourceType:
    if type_name not in SOURCE_TYPES and type_name not in account.new_sources:
        raise coded("InvalidType", f"invalid source type ({type_name})")
    kind = source_type(type_name)
    if kind.bare or type_name in account.allowed.refused_types:
        raise coded("AccessDenied", f"you do not have access to source type ({type_name})")
    return kind


def _new_name(account: Account, body: Mapping[str, Any]) -> str:
    """The source's ``name``: as given, where that is allowed, or derived from the display name."""
    display_name = body["display_name"]
    if "name" in body:
        given = body["name"]
        if not isinstance(given, str):
            raise invalid_post_body()
        _check_name(given)
        if given in account.names:
            raise coded("InvalidName", f"non-unique name ({given})")
        return given
    live = (source for source in account.sources.values() if source.deleted_at is None)
    if any(source.display_name == display_name for source in live):
        raise coded("InvalidName", f"non-unique name ({display_name})")
    derived = derive_name(display_name)
    if not derived:
        message = f"invalid name after deriving it from display_name ({display_name} -> )"
        raise coded("InvalidDisplayName", message)
    _check_name(derived)
    if derived in account.names:
        message = f"non-unique name after deriving it from display_name ({display_name} -> {derived})"
        raise coded("InvalidName", message)
    return derived


def derive_name(display_name: str) -> str:
    """Lowercase, spaces as underscores, and nothing but letters, digits and underscores."""
    return re.sub(r"[^a-z0-9_]", "", re.sub(r"\s+", "_", display_name.strip().lower()))


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise coded(
            "InvalidName",
            "The name field must be under 50 characters, and can only contain lowercase letters, numbers, "
            "underscores, or dollar signs. It must begin with a letter or an underscore.",
        )


# Update


def update_source(account: Account, source: Source, body: Any, now: datetime) -> dict[str, Any]:
    """Change a source, run a connection check, and return the Source."""
    allowed = {"display_name", "properties", "paused_at"}
    if account.quirks.accept_destination_id:
        allowed.add("destination_id")
    if not isinstance(body, dict) or set(body) - allowed:
        raise invalid_put_body()
    paused_at = _paused_at(body, source)
    display_name = _display_name(body, source)
    destination_id = _destination_id(account, body, invalid_put_body())
    changed = body.get("properties", {})
    if not isinstance(changed, dict):
        raise invalid_put_body()
    check_properties(account, source.kind, changed, source.report_card(now), found=source.properties)
    source.paused_at, source.display_name, source.updated_at = paused_at, display_name, now
    if "paused_at" in body and paused_at is None and account.quirks.unpause_system_pauses:
        source.system_paused_at = None
    if destination_id is not None:
        _move(account, source, destination_id, now)
    if changed:
        _change_properties(account, source, changed, now)
    check_name = None
    if source.can_be_checked and (set(body) != {"paused_at"} or account.quirks.checks_on_pause):
        check_name = account.begin_check(source, now).name
    return _answer(account, source, check_name, now)


def _answer(account: Account, source: Source, check_name: str | None, now: datetime) -> dict[str, Any]:
    answer = source.body(now)
    if check_name is not None and account.quirks.name_checks_in_updates:
        answer["check_job_name"] = check_name
    return answer


def _paused_at(body: Mapping[str, Any], source: Source) -> datetime | None:
    """Any ISO 8601 value pauses at once; null unpauses. Anything else is not documented."""
    if "paused_at" not in body:
        return source.paused_at
    value = body["paused_at"]
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid_put_body()
    try:
        return parse_iso(value)
    except ValueError as error:
        raise invalid_put_body() from error


def _display_name(body: Mapping[str, Any], source: Source) -> str:
    name = body.get("display_name", source.display_name)
    if not isinstance(name, str) or not name.strip():
        raise coded("InvalidDisplayName", f"invalid display_name ({name})")
    return name


def _destination_id(account: Account, body: Mapping[str, Any], otherwise: Refusal) -> int | None:
    """A destination of the account. What an unknown one answers is not documented."""
    if "destination_id" not in body:
        return None
    number = body["destination_id"]
    known = {destination.id for destination in account.live_destinations()}
    if isinstance(number, bool) or not isinstance(number, int) or number not in known:
        raise otherwise
    return number


def _move(account: Account, source: Source, destination_id: int, now: datetime) -> None:
    """Map a source to another destination; one that Stitch had paused for want of any goes on."""
    if source.id in account.paused_without_destination and account.destinations[destination_id].connected:
        account.paused_without_destination.discard(source.id)
        source.system_paused_at = None
    elif source.destination_id != destination_id and account.quirks.pause_on_switch:
        source.system_paused_at = source.system_paused_at or now
    source.destination_id = destination_id
    account.note_destinations(now)


def _change_properties(account: Account, source: Source, changed: Mapping[str, Any], now: datetime) -> None:
    had_schemas, had_schedule = source.schema_in_load_names, _scheduling(source)
    source.give(changed)
    source.answer_steps()
    account.configure(source, now)
    if source.schema_in_load_names != had_schemas:
        account.load_list.reorder()
    if source.schedule_minutes is not None and _scheduling(source) != had_schedule:
        minutes = source.properties.get("frequency_in_minutes")
        if isinstance(minutes, str) and minutes.isdecimal():
            source.schedule_minutes = float(minutes) or source.schedule_minutes
        account.schedule(source, next_slot(source.properties, source.schedule_minutes, now))


def _scheduling(source: Source) -> tuple[Any, ...]:
    """What decides when Stitch starts the next job."""
    return tuple(source.properties.get(key) for key in SCHEDULING)


# Properties


def check_properties(
    account: Account,
    kind: SourceType,
    given: Mapping[str, Any],
    report_card: Mapping[str, Any],
    *,
    found: Mapping[str, Any] | None = None,
) -> None:
    """Refuse properties of a wrong form, and a cron expression that can't be.

    :param found: the properties of a source that exists already. What a change of an immutable one answers is
        not documented.
    """
    bad = values.bad_names(given, kind.properties, account.quirks)
    bad += values.changed_immutables(given, found or {}, account.quirks)
    if bad:
        raise coded(
            "InvalidProperties", "properties do not match schema", bad_properties=bad, report_card=report_card
        )
    cron = given.get("cron_expression")
    if cron is not None:
        _check_cron(account, cron)


def _check_cron(account: Account, cron: str) -> None:
    if not account.allowed.cron:
        raise coded("AccessDenied", "access to cron_expression based scheduling is not permitted")
    fields = cron.split()
    if len(fields) > 5 and "?" not in (fields[3], fields[5]):
        raise coded(
            "InvalidCronExpression",
            f'cron_expression "{cron}" is invalid: Support for specifying both a day-of-week AND a '
            "day-of-month parameter is not implemented.",
        )


# Refusals of whole bodies


def invalid_post_body() -> Refusal:
    """A body that is no JSON object gets it too (not documented)."""
    message = (
        "POST body may only include a non-empty type, a non-empty display_name and map of string properties"
    )
    return coded("InvalidBody", message)


def invalid_put_body() -> Refusal:
    """With Stitch's own typo. A body that is no JSON object gets it too (not documented)."""
    return coded(
        "InvalidBody", "PUT body many only include the keys: display_name, properties, and paused_at"
    )
