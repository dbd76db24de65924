"""Functions that validate property values against report cards and convert the values for storage.

See "Connection property object" and the error "properties do not match schema" in the Stitch Connect API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_stitch.emulator.model.connections.connector_types import Property
    from airflow_provider_stitch.emulator.model.quirks import Quirks

#: Pattern that matches the names of secret properties. If the name of an undocumented property matches this
#: pattern, the value of the property is not returned.
_SECRET = re.compile("pass|token|secret|key|credential|private", re.IGNORECASE)
_ADDRESSES = ("ipv4", "ipv6", "hostname")


def shown_schema(prop: Property, *, integers: bool) -> dict[str, Any] | None:
    """Return the `json_schema` of a property in a report card.

    The documentation calls some properties integers, but its sample report cards show strings of digits.
    """
    if prop.schema == {"type": "integer"} and not integers:
        return {"type": "string", "pattern": "^\\d+$"}
    return prop.schema


def bad_names(given: Mapping[str, Any], properties: Iterable[Property], quirks: Quirks) -> list[str]:
    """Return the sorted names of the properties whose values do not match their schemas."""
    known = {prop.name: prop for prop in properties}
    return sorted(name for name, value in given.items() if not _is_good(value, known.get(name), quirks))


def _is_good(value: Any, prop: Property | None, quirks: Quirks) -> bool:
    if prop is None and quirks.refuse_unknown_properties:
        return False
    schema = None if prop is None else shown_schema(prop, integers=quirks.integer_properties)
    if schema is None or value is None:
        return value is None or isinstance(value, list) or (isinstance(value, str) and value != "")
    return matches(value, schema, quirks)


def matches(value: Any, schema: Mapping[str, Any], quirks: Quirks) -> bool:
    """Return whether a value matches a schema. An empty string never matches."""
    if "anyOf" in schema:
        return any(matches(value, option, quirks) for option in schema["anyOf"])
    kind = schema["type"]
    if kind == "boolean":
        return isinstance(value, bool) or (not quirks.strict_booleans and value in ("true", "false"))
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in ("array", "object"):
        return isinstance(value, list if kind == "array" else dict)
    return isinstance(value, str) and _is_good_string(value, schema)


def _is_good_string(value: str, schema: Mapping[str, Any]) -> bool:
    if not value or not re.search(schema.get("pattern", ""), value):
        return False
    if schema.get("format") == "date-time":
        try:
            parse_time(value)
        except ValueError:
            return False
    # In sample report cards, the properties for host names have the format "uri", although a host name is not
    # a URI. Therefore, this check accepts every value without spaces and slashes.
    return schema.get("format") not in _ADDRESSES or re.search(r"[\s/]", value) is None


def stored(value: Any) -> Any:
    """Return a property value in the form that Stitch stores. Numbers and booleans become strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def split(
    given: Mapping[str, Any], properties: Iterable[Property], *, by_stitch: bool = False
) -> tuple[dict[str, Any], set[str]]:
    """Return the property values that Stitch shows, and the names of the credentials.

    The values of credentials are not stored. Read-only properties are ignored unless Stitch itself sets them.

    :param by_stitch: whether Stitch itself sets the properties.
    """
    known = {prop.name: prop for prop in properties}
    shown: dict[str, Any] = {}
    secret: set[str] = set()
    for name, value in given.items():
        prop = known.get(name)
        if prop.credential if prop is not None else _SECRET.search(name):
            secret.add(name)
        elif by_stitch or prop is None or prop.kind != "read_only":
            shown[name] = stored(value)
    return shown, secret


def changed_immutables(given: Mapping[str, Any], found: Mapping[str, Any], quirks: Quirks) -> list[str]:
    """Return the names of immutable properties that already have a different value."""
    return sorted(
        name
        for name, value in given.items()
        if name in quirks.immutable_properties and name in found and found[name] != stored(value)
    )


def defaults(properties: Iterable[Property], given: Collection[str]) -> dict[str, str]:
    """Return the default values of all omitted properties."""
    return {
        prop.name: prop.default for prop in properties if prop.default is not None and prop.name not in given
    }


def examples(properties: Iterable[Property], given: Collection[str]) -> dict[str, Any]:
    """Return example values for all omitted properties that are required."""
    missing = [prop for prop in properties if prop.needs_input and prop.name not in given]
    return {prop.name: "example" if prop.default is None else prop.default for prop in missing}
