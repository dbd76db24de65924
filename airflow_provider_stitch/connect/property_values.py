"""Convert the properties of sources and destinations, and find the properties that changed.

All functions are pure. The report card of a type defines the types of its properties.

Source: Stitch Connect API, "Connection property object".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects.times import format_time, parse_time

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects.report_cards import Property, ReportCard

_IMMUTABLE = "user_provided_immutable"


def convert_to_schema(report_card: ReportCard, values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values to the types that the report card requires.

    Stitch requires strings for most numbers and booleans, but some properties require JSON numbers or
    booleans. A template renders to a string, or to a native Python object if the DAG sets
    `render_template_as_native_obj`. A rendered value may therefore have the wrong type.

    :raises InvalidArgument: if a value must be a JSON object or array but is not valid JSON of this type, or
        if a number is NaN or infinite.
    """
    known = report_card.properties
    return {name: _convert(name, value, _types(known.get(name))) for name, value in values.items()}


def changed_properties(
    report_card: ReportCard, wanted: Mapping[str, Any], current: Mapping[str, Any]
) -> list[str]:
    """Return the names of the wanted properties that currently have a different value.

    Credentials are never included, because Stitch does not return their values.
    """
    known = report_card.properties
    return [
        name
        for name, value in wanted.items()
        if _is_returned(known.get(name), name in current) and not _is_same(value, current.get(name))
    ]


def reject_immutable_changes(label: str, report_card: ReportCard, changed: list[str]) -> None:
    """Raise an error if one of the changed properties is immutable.

    :param label: the name of the source or destination, for the error message.
    :raises InvalidArgument: if a changed property is immutable and already has a value.
    """
    immutable = [name for name in changed if is_immutable(report_card, name)]
    if immutable:
        raise InvalidArgument(
            f"These properties of {label} cannot be changed once they are set: {', '.join(immutable)}. "
            "Restore the values of these properties, or use another name to create a new source or "
            "destination. Nothing was changed."
        )


def is_immutable(report_card: ReportCard, name: str) -> bool:
    """Return whether a property has a value that cannot be changed."""
    known = report_card.properties.get(name)
    return known is not None and known.property_type == _IMMUTABLE and bool(known.provided)


# Conversion.


def _types(known: Property | None) -> frozenset[str]:
    """Return the JSON types that a property's schema allows. The set is empty if there is no schema."""
    schema = known.json_schema if known else None
    if not isinstance(schema, Mapping):
        return frozenset()
    options = [schema, *(schema["anyOf"] if isinstance(schema.get("anyOf"), list) else [])]
    types: list[object] = []
    for option in options:
        declared = option.get("type") if isinstance(option, Mapping) else None
        types += declared if isinstance(declared, list) else [declared]
    return frozenset(name for name in types if isinstance(name, str))


def _convert(name: str, value: Any, types: frozenset[str]) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgument(f"The property {name!r} must be a finite number; it is {value}.")
    if isinstance(value, date):
        return _from_time(value)
    if isinstance(value, str):
        return _from_string(name, value, types)
    if isinstance(value, bool):
        return value if "boolean" in types else _as_stored(value)
    if isinstance(value, int | float):
        return value if types & {"integer", "number"} else _as_stored(value)
    if isinstance(value, Mapping | list | tuple) and types == {"string"}:
        return json.dumps(value)  # the template rendered a JSON string as a native object
    return value


def _from_time(value: date) -> str:
    """Format a date or datetime for Stitch.

    A datetime without a time zone is assumed to be in UTC. A date is converted to midnight UTC.
    """
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return format_time(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))


def _from_string(name: str, value: str, types: frozenset[str]) -> Any:
    if "string" in types or not types:
        return value
    if "boolean" in types and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if types & {"integer", "number"}:
        return _from_number(value, types)
    if types & {"object", "array"}:
        return _from_json(name, value, types)
    return value


def _from_number(value: str, types: frozenset[str]) -> Any:
    try:
        return int(value)
    except ValueError:
        pass
    if "number" not in types:
        return value  # Stitch rejects an invalid number with an error that contains the property's name
    try:
        return float(value)
    except ValueError:
        return value


def _from_json(name: str, value: str, types: frozenset[str]) -> Any:
    python_types = {"object": Mapping, "array": list}
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    if any(isinstance(parsed, python_types[name]) for name in types if name in python_types):
        return parsed
    # The message omits the value, because it may be a credential.
    raise InvalidArgument(
        f"The property {name!r} must be JSON of type {' or '.join(sorted(types))}. Use a dict or list, "
        "or end its template with the filter tojson, such as "
        "{{ conn.bigquery.extra_dejson.key | tojson }}."
    ) from None


# Comparison.


def _is_returned(known: Property | None, is_present: bool) -> bool:  # noqa: FBT001 - the value to test
    """Return whether Stitch returns the value of a property.

    A value that is not returned cannot be compared.
    """
    if known is None:
        return True
    if known.is_credential or known.property_type == "read_only":
        return False
    return is_present or not known.provided


def _is_same(wanted: Any, current: Any) -> bool:
    """Return whether two values are equal in Stitch's format or represent the same time."""
    wanted, current = _as_stored(wanted), _as_stored(current)
    if wanted == current or not (isinstance(wanted, str) and isinstance(current, str)):
        return bool(wanted == current)
    try:
        return parse_time(wanted) == parse_time(current)
    except InvalidArgument:
        return False


def _as_stored(value: Any) -> Any:
    """Convert a value to Stitch's format, in which numbers and booleans are strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _as_stored(each) for name, each in value.items()}
    return [_as_stored(each) for each in value] if isinstance(value, list | tuple) else value
