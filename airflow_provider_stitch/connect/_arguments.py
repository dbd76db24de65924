"""Checks of what a user gives, before anything is sent. No stricter than what Stitch documents."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_stitch.connect._json import excerpt
from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects.streams import StreamUpdate

REGIONS = ("us-east-1", "eu-central-1")
REPLICATION_METHODS = ("FULL_TABLE", "INCREMENTAL", "LOG_BASED")

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


def checked_id(what: str, value: int) -> int:
    """Return a positive integer."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    article = "An" if what[0] in "aeiouAEIOU" else "A"
    raise InvalidArgument(f"{article} {what} id is a positive integer, not {value!r}.")


def checked_text(name: str, value: str) -> str:
    """Return a text that is not empty. What is none is not repeated: it may be a secret in a wrong place."""
    if isinstance(value, str) and value.strip():
        return value
    raise InvalidArgument(f"{name} must be a text that is not empty; it is of type {type(value).__name__}.")


def checked_flag(name: str, value: bool) -> bool:  # noqa: FBT001 - the value is what is checked
    if isinstance(value, bool):
        return value
    raise InvalidArgument(f"{name} must be True or False; it is {value!r}.")


def checked_email(name: str, value: str) -> str:
    """Return an e-mail address, as far as one can be told by its looks."""
    if isinstance(value, str) and _EMAIL.fullmatch(value):
        return value
    raise InvalidArgument(f"{name} is no e-mail address: {excerpt(value)}")


def checked_region(value: str) -> str:
    if value in REGIONS:
        return value
    raise InvalidArgument(
        f"region is one of {', '.join(REGIONS)}; it is {value!r}. It can't be changed later."
    )


def checked_hook_url(value: str) -> str:
    """Return the URL of a webhook. It is never repeated: it may hold a secret.

    Source: Stitch Connect API, "Webhooks" (HTTPS only).
    """
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        usable = parts is not None and parts.scheme.lower() == "https" and bool(parts.hostname)
    except ValueError:
        usable = False
    if usable and not re.search(r"\s", value):
        return value
    raise InvalidArgument("The URL of a post-load hook must be an https:// address: Stitch calls no other.")


def checked_display_name(value: str) -> str:
    """Return a display name of which a source's name can be made.

    Source: Stitch Connect API, "Create a source" (lower-case letters, digits and underscores are kept).
    """
    if isinstance(value, str) and re.search("[A-Za-z0-9_]", value):
        return value
    raise InvalidArgument(
        "display_name must hold letters, digits or underscores: Stitch makes the source's name (the schema "
        f"in the destination) of them. It is {excerpt(value)}."
    )


def checked_properties(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a destination: a JSON object."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise InvalidArgument(f"{name} must be a dict with names of properties as its keys.")
    properties = dict(value)
    for key, given in properties.items():
        _check_can_be_sent(f"{name}[{key!r}]", given)
    return properties


def checked_source_properties(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a source. Their values are not repeated: they may be credentials.

    Source: Stitch Connect API, "Create a source", "Scheduling properties".
    """
    properties = checked_properties("properties", value)
    for key, given in properties.items():
        if given == "":
            raise InvalidArgument(
                f"properties[{key!r}] is empty, which Stitch refuses. Leave it out, or give None."
            )
    _check_cron_expression(properties.get("cron_expression"))
    _check_start_date(properties.get("start_date"))
    return properties


def checked_stream_updates(updates: Sequence[StreamUpdate]) -> list[dict[str, Any]]:
    """Return what `update_streams` sends.

    Source: Stitch Connect API, "Update a stream's metadata".
    """
    if not updates:
        raise InvalidArgument("There is no stream to update.")
    names = [checked_text("tap_stream_id", update.tap_stream_id) for update in updates]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise InvalidArgument(f"These streams are in the update twice: {', '.join(twice)}.")
    return [_checked_stream_update(update) for update in updates]


def _checked_stream_update(update: StreamUpdate) -> dict[str, Any]:
    about = f"Stream {update.tap_stream_id!r}"
    if update.selected is not None:
        checked_flag(f"{about}: selected", update.selected)
    if update.replication_method not in (None, *REPLICATION_METHODS):
        raise InvalidArgument(
            f"{about}: replication_method is one of {', '.join(REPLICATION_METHODS)}, not "
            f"{update.replication_method!r}."
        )
    if update.replication_key is not None:
        checked_text(f"{about}: replication_key", update.replication_key)
    elif update.replication_method == "INCREMENTAL":
        raise InvalidArgument(f"{about}: replication by INCREMENTAL needs a replication_key.")
    _check_fields(about, update)
    found = update.to_json()
    if not found["metadata"]:
        raise InvalidArgument(f"{about}: the update changes nothing.")
    return found


def _check_fields(about: str, update: StreamUpdate) -> None:
    keys = update.view_key_properties
    if keys is not None and (isinstance(keys, str) or not all(isinstance(key, str) and key for key in keys)):
        raise InvalidArgument(f"{about}: view_key_properties must be a list of names of fields.")
    if not isinstance(update.fields, Mapping):
        raise InvalidArgument(f"{about}: fields must be a dict, from the name of a field to True or False.")
    for name, selected in update.fields.items():
        checked_text(f"{about}: the name of a field", name)
        checked_flag(f"{about}: whether to select the field {name!r}", selected)
        if selected and update.selected is False:
            raise InvalidArgument(
                f"{about}: its field {name!r} can't be selected while the stream itself is deselected."
            )


def _check_can_be_sent(what: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(f"{what} can't be written as JSON.") from None


def _check_cron_expression(value: Any) -> None:
    if not isinstance(value, str):
        return
    fields = value.split()  # Quartz: seconds, minutes, hours, day of month, month, day of week[, year]
    if len(fields) in (6, 7) and "?" not in (fields[3], fields[5]):
        raise InvalidArgument(
            f"The cron_expression {excerpt(value)} names both a day of the month and a day of the week. "
            "Write ? for one of them, such as 0 0 12 ? * MON-FRI *."
        )


def _check_start_date(value: Any) -> None:
    if not isinstance(value, str):
        return
    wanted = "The start_date must be midnight in UTC, such as 2025-01-01T00:00:00Z"
    try:
        moment = parse_time(value).astimezone(timezone.utc)
    except InvalidArgument:
        raise InvalidArgument(f"{wanted}; it is {excerpt(value)}.") from None
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise InvalidArgument(f"{wanted}; it is {excerpt(value)}.")
