"""Updates of sources and of the selection of their streams, with the refusals that Stitch documents."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.account import Account, Refusal
from airflow_provider_stitch.emulator.sources import WRITABLE_KEYS, Breadcrumb, Source, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping


def update_source(account: Account, source: Source, body: Any, now: datetime) -> dict[str, Any]:
    """Change a source, run a connection check, and return the Source."""
    allowed = {"display_name", "properties", "paused_at"}
    if account.quirks.accept_destination_id:
        allowed.add("destination_id")
    if not isinstance(body, dict) or set(body) - allowed:
        raise invalid_put_body()
    paused_at = _paused_at(body, source)
    display_name = _display_name(body, source)
    properties = _properties(account, body, source, now)
    source.paused_at, source.display_name, source.updated_at = paused_at, display_name, now
    if properties != source.properties:
        source.properties = properties
        _reschedule(source, now)
    answer = source.body(now)
    if set(body) != {"paused_at"} or account.quirks.checks_on_pause:
        check = source.run_check(now)
        if account.quirks.name_checks_in_updates:
            answer["check_job_name"] = check.name
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
        # Python 3.10 reads neither a Z nor milliseconds of one or two digits.
        instant = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError as error:
        raise invalid_put_body() from error
    return instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)


def _display_name(body: Mapping[str, Any], source: Source) -> str:
    name = body.get("display_name", source.display_name)
    if not isinstance(name, str) or not name.strip():
        message = f"invalid display_name ({name})"
        raise Refusal(400, {"error": "InvalidDisplayName", "data": {"message": message}})
    return name


def _properties(account: Account, body: Mapping[str, Any], source: Source, now: datetime) -> dict[str, Any]:
    """The properties with the changed keys: an update needs only those."""
    changed = body.get("properties", {})
    if not isinstance(changed, dict):
        raise invalid_put_body()
    bad = sorted(key for key, value in changed.items() if not _good_property(value))
    if bad:
        data = {
            "message": "properties do not match schema",
            "bad_properties": bad,
            "report_card": source.report_card(now),
        }
        raise Refusal(400, {"error": "InvalidProperties", "data": data})
    cron = changed.get("cron_expression")
    if cron is not None:
        _check_cron(account, cron)
    return {**source.properties, **changed}


def _good_property(value: Any) -> bool:
    """Properties are strings, also for numbers and booleans; a few are arrays, and some may be null."""
    return value is None or isinstance(value, list) or (isinstance(value, str) and value != "")


def _check_cron(account: Account, cron: str) -> None:
    if not account.cron_allowed:
        message = "access to cron_expression based scheduling is not permitted"
        raise Refusal(400, {"error": "AccessDenied", "data": {"message": message}})
    fields = cron.split()
    if len(fields) > 5 and "?" not in (fields[3], fields[5]):
        message = (
            f'cron_expression "{cron}" is invalid: Support for specifying both a day-of-week AND a '
            "day-of-month parameter is not implemented."
        )
        raise Refusal(400, {"error": "InvalidCronExpression", "data": {"message": message}})


def _reschedule(source: Source, now: datetime) -> None:
    """A new frequency moves the next slot. Cron expressions are kept and shown, but do not fire here."""
    frequency = source.properties.get("frequency_in_minutes")
    if source.schedule_minutes is not None and isinstance(frequency, str) and frequency.isdigit():
        minutes = float(frequency)
        if minutes and minutes != source.schedule_minutes:
            source.schedule_minutes = minutes
            source.next_slot = now + timedelta(minutes=minutes)


def update_streams(source: Source, body: Any, now: datetime) -> None:
    """Write metadata of streams: everything in the request, or nothing of it."""
    changes = [change for entry in _entries(body) for change in _changes(source, entry)]
    if source.current_step(now) not in {"field_selection", "fully_configured"}:
        # The rule is documented, the text is not.
        raise _invalid_fields(
            "streams can be selected in the steps field_selection and fully_configured only"
        )
    for stream, crumb, values in changes:
        stream.metadata[crumb].update(values)
    for stream, crumb, values in changes:
        if not crumb and values.get("selected"):
            _select_fields(stream)


def _select_fields(stream: Stream) -> None:
    """A field's ``selected`` is present only if its stream is selected."""
    for crumb, data in stream.metadata.items():
        if crumb:
            data.setdefault("selected", False)


def _entries(body: Any) -> list[dict[str, Any]]:
    """The entries of a well-formed request."""
    entries = body.get("streams") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise invalid_streams_body()
    for entry in entries:
        metadata = entry.get("metadata") if isinstance(entry, dict) else None
        if not isinstance(metadata, list):
            raise invalid_streams_body()
        for item in metadata:
            if not (
                isinstance(item, dict)
                and isinstance(item.get("breadcrumb"), list)
                and all(isinstance(part, str) for part in item["breadcrumb"])
                and isinstance(item.get("metadata"), dict)
            ):
                raise invalid_streams_body()
    return entries


def _changes(source: Source, entry: Mapping[str, Any]) -> list[tuple[Stream, Breadcrumb, dict[str, Any]]]:
    tap_stream_id = entry.get("tap_stream_id")
    stream = next((s for s in source.streams if s.tap_stream_id == tap_stream_id), None)
    if stream is None:
        # With Stitch's two spaces.
        name = "nil" if tap_stream_id is None else tap_stream_id
        raise _invalid_fields(f"invalid tap-stream-ids:  [{name}]")
    changes = []
    for item in entry["metadata"]:
        crumb, values = tuple(item["breadcrumb"]), item["metadata"]
        read_only = [key for key in values if key not in WRITABLE_KEYS]
        if read_only:
            names = " ".join(f'"{key}"' for key in read_only)
            raise _invalid_fields(f"only non-discoverable metadata can be produced by the UI: #{{{names}}}")
        if crumb not in stream.metadata:
            raise _invalid_fields(f"invalid breadcrumbs: {list(crumb)}")  # not documented
        if values.get("selected") and stream.metadata[crumb].get("inclusion") == "unsupported":
            raise _invalid_fields("Unsupported fields cannot be selected by default")
        changes.append((stream, crumb, values))
    return changes


def _invalid_fields(message: str) -> Refusal:
    return Refusal(400, {"invalid_fields": message})


def invalid_put_body() -> Refusal:
    """With Stitch's own typo. A body that is no JSON object gets it too (not documented)."""
    message = "PUT body many only include the keys: display_name, properties, and paused_at"
    return Refusal(400, {"error": "InvalidBody", "data": {"message": message}})


def invalid_streams_body() -> Refusal:
    """A plain string."""
    return Refusal(400, "body must contain a 'streams' property with a list of metadatas by tap_stream_id")
