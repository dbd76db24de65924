"""Validate arguments before a request is sent.

The checks are not stricter than Stitch's documentation.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects.json import excerpt
from airflow_provider_stitch.connect.objects.streams import REPLICATION_METHODS
from airflow_provider_stitch.connect.objects.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects.streams import StreamUpdate

REGIONS = ("us-east-1", "eu-central-1")

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


def validate_id(label: str, value: object) -> int:
    """Return the value if it is a positive integer."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    article = "An" if label[0] in "aeiouAEIOU" else "A"
    or_name = ", or a name" if label in ("source", "destination", "stream") else ""
    raise InvalidArgument(f"{article} {label} id must be a positive integer{or_name}, not {value!r}.")


def validate_string(name: str, value: str) -> str:
    """Return the value if it is a non-empty string.

    The error message never contains the value, because a secret may have been passed by mistake.
    """
    if isinstance(value, str) and value.strip():
        return value
    raise InvalidArgument(f"{name} must be a non-empty string; it is of type {type(value).__name__}.")


def validate_boolean(name: str, value: bool) -> bool:  # noqa: FBT001 - the argument is the value to validate
    if isinstance(value, bool):
        return value
    raise InvalidArgument(f"{name} must be True or False; it is {value!r}.")


def validate_email(name: str, value: str) -> str:
    """Return the value if it has the basic form of an e-mail address."""
    if isinstance(value, str) and _EMAIL.fullmatch(value):
        return value
    raise InvalidArgument(f"{name} is not an e-mail address: {excerpt(value)}")


def validate_region(value: str) -> str:
    if value in REGIONS:
        return value
    raise InvalidArgument(
        f"region must be one of {', '.join(REGIONS)}; it is {value!r}. The region cannot be changed later."
    )


def validate_hook_url(value: str) -> str:
    """Return the URL of a webhook if it is valid.

    The error message never contains the URL, because the URL may contain a secret.

    Source: Stitch Connect API, "Webhooks". Stitch accepts only HTTPS URLs.
    """
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        usable = parts is not None and parts.scheme.lower() == "https" and bool(parts.hostname)
    except ValueError:
        usable = False
    if usable and not re.search(r"\s", value):
        return value
    raise InvalidArgument(
        "The URL of a post-load hook must begin with https://, because Stitch accepts no other URL."
    )


def validate_display_name(value: str) -> str:
    """Return the display name if Stitch can derive a source name from it.

    Source: Stitch Connect API, "Create a source". The derived name consists of lower-case letters, digits and
    underscores.
    """
    if isinstance(value, str) and re.search("[A-Za-z0-9_]", value):
        return value
    raise InvalidArgument(
        "display_name must contain letters, digits or underscores, because Stitch derives the source's name "
        f"(the schema in the destination) from them. It is {excerpt(value)}."
    )


def validate_properties(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the properties if they can be serialized as a JSON object."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise InvalidArgument(f"{name} must be a dict with property names as keys.")
    properties = dict(value)
    for key, item in properties.items():
        _check_serializable(f"{name}[{key!r}]", item)
    return properties


def validate_source_properties(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a source's properties if they are valid.

    Error messages do not contain the values of properties that may be credentials.

    Source: Stitch Connect API, "Create a source", "Scheduling properties".
    """
    properties = validate_properties("properties", value)
    for key, item in properties.items():
        if item == "":
            raise InvalidArgument(
                f"properties[{key!r}] is empty, and Stitch rejects empty strings. Omit the "
                "property, or set it to None."
            )
    _check_cron_expression(properties.get("cron_expression"))
    _check_start_date(properties.get("start_date"))
    return properties


def validate_stream_updates(updates: Sequence[StreamUpdate]) -> list[dict[str, Any]]:
    """Validate the updates, and return them in the JSON format of the request.

    Source: Stitch Connect API, "Update a stream's metadata".
    """
    if not updates:
        raise InvalidArgument("The list of stream updates is empty.")
    names = [validate_string("tap_stream_id", update.tap_stream_id) for update in updates]
    duplicates = sorted(name for name, count in Counter(names).items() if count > 1)
    if duplicates:
        raise InvalidArgument(f"The update contains these streams more than once: {', '.join(duplicates)}.")
    return [_validate_stream_update(update) for update in updates]


def _validate_stream_update(update: StreamUpdate) -> dict[str, Any]:
    label = f"Stream {update.tap_stream_id!r}"
    if update.selected is not None:
        validate_boolean(f"{label}: selected", update.selected)
    if update.replication_method not in (None, *REPLICATION_METHODS):
        raise InvalidArgument(
            f"{label}: replication_method must be one of {', '.join(REPLICATION_METHODS)}, not "
            f"{update.replication_method!r}."
        )
    if update.replication_key is not None:
        validate_string(f"{label}: replication_key", update.replication_key)
    elif update.replication_method == "INCREMENTAL":
        raise InvalidArgument(f"{label}: the replication_method INCREMENTAL needs a replication_key.")
    _check_fields(label, update)
    body = update.to_json()
    if not body["metadata"]:
        raise InvalidArgument(f"{label}: the update changes nothing.")
    return body


def _check_fields(label: str, update: StreamUpdate) -> None:
    keys = update.view_key_properties
    if keys is not None and (isinstance(keys, str) or not all(isinstance(key, str) and key for key in keys)):
        raise InvalidArgument(f"{label}: view_key_properties must be a list of field names.")
    if not isinstance(update.fields, Mapping):
        raise InvalidArgument(f"{label}: fields must be a dict that maps field names to True or False.")
    for name, selected in update.fields.items():
        validate_string(f"{label}: a field name", name)
        validate_boolean(f"{label}: the value of field {name!r}", selected)
        if selected and update.selected is False:
            raise InvalidArgument(
                f"{label}: field {name!r} cannot be selected while the stream itself is deselected."
            )


def _check_serializable(label: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(f"{label} cannot be serialized as JSON.") from None


def _check_cron_expression(value: Any) -> None:
    if not isinstance(value, str):
        return
    # Quartz format: seconds, minutes, hours, day of month, month, day of week, and optionally year.
    fields = value.split()
    if len(fields) in (6, 7) and "?" not in (fields[3], fields[5]):
        raise InvalidArgument(
            f"The cron_expression {excerpt(value)} contains both a day of the month and a day of the week. "
            "Use ? for one of them, such as 0 0 12 ? * MON-FRI *."
        )


def _check_start_date(value: Any) -> None:
    if not isinstance(value, str):
        return
    expected = "The start_date must be midnight in UTC, such as 2025-01-01T00:00:00Z"
    try:
        moment = parse_time(value).astimezone(timezone.utc)
    except InvalidArgument:
        raise InvalidArgument(f"{expected}; it is {excerpt(value)}.") from None
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise InvalidArgument(f"{expected}; it is {excerpt(value)}.")
