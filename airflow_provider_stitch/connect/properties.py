"""Properties of sources and destinations: what to send, and whether it differs from what Stitch has.

Pure functions of a report card. Source: Stitch Connect API, "Connection property object".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects.times import parse_time

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects.report_cards import Property, ReportCard

_IMMUTABLE = "user_provided_immutable"


def to_schemas(report_card: ReportCard, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in the types that the report card asks for.

    Stitch expects most numbers and booleans as strings, and a few as such. Templates render strings, or, with
    `render_template_as_native_obj`, whatever the string looks like.

    :raises InvalidArgument: if a value should be an object or an array and is not JSON of one.
    """
    known = report_card.properties
    return {name: _to_schema(name, value, _types(known.get(name))) for name, value in given.items()}


def differing(report_card: ReportCard, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the names of the wanted properties that Stitch has with another value.

    Stitch does not return credentials, so they never differ.
    """
    known = report_card.properties
    return [
        name
        for name, value in wanted.items()
        if _is_returned(known.get(name), name in found) and not _is_same(value, found.get(name))
    ]


def refuse_change_of_immutable(label: str, report_card: ReportCard, changed: list[str]) -> None:
    """Refuse changes that Stitch does not allow.

    :param label: the source or destination for the message.
    :raises InvalidArgument: if a property can be set only once, and has been set.
    """
    fixed = [name for name in changed if is_fixed(report_card, name)]
    if fixed:
        raise InvalidArgument(
            f"These properties of {label} cannot be changed after they are set: {', '.join(fixed)}. Restore "
            "their values, or choose another name to create a new one. Nothing was changed."
        )


def is_fixed(report_card: ReportCard, name: str) -> bool:
    """Return whether a property has been set and cannot be changed."""
    known = report_card.properties.get(name)
    return known is not None and known.property_type == _IMMUTABLE and bool(known.provided)


# The type of a value.


def _types(known: Property | None) -> frozenset[str]:
    """Return the JSON types that the schema of a property allows; empty if Stitch does not say."""
    schema = known.json_schema if known else None
    if not isinstance(schema, Mapping):
        return frozenset()
    options = [schema, *(schema["anyOf"] if isinstance(schema.get("anyOf"), list) else [])]
    types: list[object] = []
    for option in options:
        named = option.get("type") if isinstance(option, Mapping) else None
        types += named if isinstance(named, list) else [named]
    return frozenset(name for name in types if isinstance(name, str))


def _to_schema(name: str, value: Any, types: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _from_string(name, value, types)
    if isinstance(value, bool):
        return value if "boolean" in types else _as_stored(value)
    if isinstance(value, int | float):
        return value if types & {"integer", "number"} else _as_stored(value)
    if isinstance(value, Mapping | list | tuple) and types == {"string"}:
        return json.dumps(value)  # what a template rendered from a string of JSON
    return value


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
        return value  # Stitch names the property in its error
    try:
        return float(value)
    except ValueError:
        return value


def _from_json(name: str, value: str, types: frozenset[str]) -> Any:
    kinds = {"object": Mapping, "array": list}
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    if any(isinstance(parsed, kinds[kind]) for kind in types if kind in kinds):
        return parsed
    # The value is not shown, because it may be a credential.
    raise InvalidArgument(
        f"The property {name!r} must be JSON of type {' or '.join(sorted(types))}. Give it as a dict or "
        "list, or end its template with the filter tojson, such as "
        "{{ conn.bigquery.extra_dejson.key | tojson }}."
    ) from None


# Comparison.


def _is_returned(known: Property | None, found: bool) -> bool:  # noqa: FBT001 - the value is the question
    """Return whether Stitch returns the value of a property, so that it can be compared."""
    if known is None:
        return True
    if known.is_credential or known.property_type == "read_only":
        return False
    return found or not known.provided


def _is_same(wanted: Any, found: Any) -> bool:
    """Compare values as Stitch stores them. Times are the same if they are the same instant."""
    wanted, found = _as_stored(wanted), _as_stored(found)
    if wanted == found or not (isinstance(wanted, str) and isinstance(found, str)):
        return bool(wanted == found)
    try:
        return parse_time(wanted) == parse_time(found)
    except InvalidArgument:
        return False


def _as_stored(value: Any) -> Any:
    """Return a value as Stitch stores it: numbers and booleans as strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _as_stored(each) for name, each in value.items()}
    return [_as_stored(each) for each in value] if isinstance(value, list | tuple) else value
