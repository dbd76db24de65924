"""Endpoints for destinations (API v4 and v3) and destination types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model import destination_updates
from airflow_provider_stitch.emulator.model.api_errors import ApiError, not_found
from airflow_provider_stitch.emulator.model.connections import property_values, report_cards
from airflow_provider_stitch.emulator.model.connections.connector_types import DESTINATION_TYPES
from airflow_provider_stitch.emulator.server.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.server.routes.schemas import (
    BOOLEAN,
    INTEGER,
    NON_EMPTY_TEXT,
    NULL,
    OBJECT,
    TEXT,
    array,
    choice,
    closed_object,
    one_of,
    ref,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.model.connections.destinations import Destination

_GROUP = "Destinations and destination types"
_V3_TYPES = ("redshift", "postgres", "snowflake")


def list_destination_types(call: Call) -> Any:
    """List all destination types."""
    return [_type_body(call, name) for name in DESTINATION_TYPES]


def get_destination_type(call: Call) -> Any:
    """Return one destination type. For an unknown type, Stitch documents only the general 404 error."""
    name = call.params["destination_type"]
    if name not in DESTINATION_TYPES:
        raise not_found()
    return _type_body(call, name)


def _type_body(call: Call, name: str) -> dict[str, Any]:
    access = name not in call.account.pricing_plan.excluded_destination_types
    return report_cards.destination_type_body(name, call.account.quirks, access=access)


def list_destinations(call: Call) -> Any:
    """List the destinations. The query can contain a source id or a destination id to filter the list."""
    account, query = call.account, call.parameters()
    if set(query) - {"source_id", "destination_id"}:
        raise ApiError(400, "GET may only include the params: source_id and/or destination_id")
    shown = account.active_destinations()
    if account.quirks.list_deleted_destinations:
        shown = list(account.destinations.values())
    if "destination_id" in query:
        shown = [d for d in shown if str(d.id) in query["destination_id"]]
    if "source_id" in query:
        sources = (s for s in account.sources.values() if str(s.id) in query["source_id"])
        mapped = {source.destination_id for source in sources}
        shown = [d for d in shown if d.id in mapped]
    return [d.body() for d in shown]


def create_destination(call: Call) -> Any:
    """Create a destination, and start a connection check if all required properties are given.

    Sources without a destination load into the new destination unless ``ignore_unmapped_sources`` is true.
    """
    invalid = ApiError(
        400,
        "POST body may only include a type, a name, a description, map of properties, "
        "and boolean for unmapped sources",
    )
    body = call.json(invalid)
    if not isinstance(body, dict) or set(body) - set(_V4_CREATION["properties"]):
        raise invalid
    strings = [body.get("type"), body.get("name", ""), body.get("description", "")]
    ignore = body.get("ignore_unmapped_sources", False)
    if not all(isinstance(value, str) for value in strings) or body["type"] not in DESTINATION_TYPES:
        raise invalid
    if not isinstance(body.get("properties"), dict) or not isinstance(ignore, bool):
        raise invalid
    _check_properties(call, body["type"], body["properties"], invalid)
    created = destination_updates.create_destination(
        call.account,
        call.now,
        destination_type=body["type"],
        properties=body["properties"],
        name=body.get("name"),
        description=body.get("description", ""),
        map_unmapped_sources=not ignore,
    )
    return created.body(after_change=True)


def update_destination(call: Call) -> Any:
    """Update the properties of a destination, and start a connection check if no required one is missing.

    Stitch does not document the error for keys other than ``properties``.
    """
    destination = _active(call, ApiError(400, "invalid connection id"))
    invalid = ApiError(400, "PUT body may only include a map of properties")  # not documented by Stitch
    body = call.json(invalid)
    if isinstance(body, dict) and "type" in body:
        raise _fixed_type()
    if not isinstance(body, dict) or set(body) != {"properties"} or not isinstance(body["properties"], dict):
        raise invalid
    _check_properties(call, destination.type, body["properties"], invalid, current=destination.properties)
    destination_updates.update_destination(call.account, destination, body["properties"], call.now)
    return destination.body(after_change=True)


def delete_destination(call: Call) -> Any:
    """Mark a destination as deleted, delete its hooks, and pause the sources that load into it."""
    number, account = call.number("destination_id"), call.account
    message = f"Unable to locate dest ({number}) for client ({account.client_id}) to delete"
    destination_updates.delete_destination(account, _active(call, ApiError(400, message)), call.now)
    return {}


def last_connection_check(call: Call) -> Any:
    """Return the last connection check of a destination, in the same format as for a source.

    Stitch does not document the response.
    """
    destination = _active(call, not_found())
    check = destination.checks.last
    if check is None:
        raise not_found()
    return check.body(call.now, call.account.quirks.failed_check_exit_status)


# API v3


def list_v3(call: Call) -> Any:
    """Return an array with the first destination, or an empty array if the account has no destination."""
    return [d.v3_body(call.now) for d in call.account.active_destinations()[:1]]


def create_v3(call: Call) -> Any:
    """Create a destination as in API v4. The keys in the body differ, and only three types are allowed."""
    body = _v3_body(call)
    created = destination_updates.create_destination(
        call.account, call.now, destination_type=body["type"], properties=body["connection"]
    )
    return created.v3_body(call.now)


def update_v3(call: Call) -> Any:
    """Update a destination. The request must contain the destination's type, which cannot be changed."""
    destination = _active(call, ApiError(400, "invalid connection id"))
    body = _v3_body(call)
    if body["type"] != destination.type:
        raise _fixed_type()
    destination_updates.update_destination(call.account, destination, body["connection"], call.now)
    return destination.v3_body(call.now)


def _v3_body(call: Call) -> dict[str, Any]:
    invalid = ApiError(
        400,
        "body must be a map with type = redshift, postgres, or snowflake. required-keys = type, connection",
    )
    body = call.json(invalid)
    if not isinstance(body, dict) or set(body) != {"type", "connection"}:
        raise invalid
    if body["type"] not in _V3_TYPES or not isinstance(body["connection"], dict):
        raise invalid
    _check_properties(call, body["type"], body["connection"], invalid)
    return body


def _active(call: Call, unknown: ApiError) -> Destination:
    """Return the destination whose id is in the path.

    :param unknown: the error to raise if the destination does not exist or is deleted.
    """
    destination = call.account.destinations.get(call.number("destination_id"))
    if destination is None or destination.deleted_at is not None:
        raise unknown
    return destination


def _fixed_type() -> ApiError:
    return ApiError(400, "this API endpoint does not support modifying destination type")


def _check_properties(
    call: Call,
    destination_type: str,
    given: dict[str, Any],
    invalid: ApiError,
    *,
    current: dict[str, Any] | None = None,
) -> None:
    """Check property values against the report card.

    :param invalid: the error to raise if a value is invalid. Stitch does not document this error.
    :param current: the properties of an existing destination.
    """
    quirks = call.account.quirks
    if property_values.bad_names(given, DESTINATION_TYPES[destination_type], quirks):
        raise invalid
    if property_values.changed_immutables(given, current or {}, quirks):
        raise invalid


_PROPERTIES = {
    "type": "object",
    "additionalProperties": one_of(NON_EMPTY_TEXT, BOOLEAN, INTEGER, OBJECT, array({}), NULL),
}
_V4_CREATION = closed_object(
    {"type": choice(*DESTINATION_TYPES), "properties": _PROPERTIES},
    {"name": TEXT, "description": TEXT, "ignore_unmapped_sources": BOOLEAN},
)
_V3_CHANGE = closed_object({"type": choice(*_V3_TYPES), "connection": _PROPERTIES})
_ERRORS = {400: ref("PlainError")}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v4/destination-types",
        list_destination_types,
        _GROUP,
        "All destination types",
        array(ref("DestinationType")),
    ),
    Endpoint(
        "GET",
        "/v4/destination-types/{destination_type}",
        get_destination_type,
        _GROUP,
        "One destination type",
        ref("DestinationType"),
    ),
    Endpoint(
        "GET",
        "/v4/destinations",
        list_destinations,
        _GROUP,
        "Destinations of the account",
        array(ref("Destination")),
        errors=_ERRORS,
        query={"source_id": {}, "destination_id": {}},
    ),
    Endpoint(
        "POST",
        "/v4/destinations",
        create_destination,
        _GROUP,
        "Create a destination",
        ref("Destination"),
        body=_V4_CREATION,
        errors=_ERRORS,
    ),
    Endpoint(
        "PUT",
        "/v4/destinations/{destination_id}",
        update_destination,
        _GROUP,
        "Update a destination",
        ref("Destination"),
        body=closed_object({"properties": _PROPERTIES}),
        errors=_ERRORS,
    ),
    Endpoint(
        "DELETE",
        "/v4/destinations/{destination_id}",
        delete_destination,
        _GROUP,
        "Delete a destination",
        closed_object({}),
        errors=_ERRORS,
    ),
    Endpoint(
        "GET",
        "/v4/destinations/{destination_id}/last-connection-check",
        last_connection_check,
        _GROUP,
        "Last connection check of a destination",
        ref("ConnectionCheck"),
    ),
    Endpoint(
        "GET",
        "/v3/destinations",
        list_v3,
        _GROUP,
        "The destination (v3)",
        array(ref("DestinationV3"), maxItems=1),
    ),
    Endpoint(
        "POST",
        "/v3/destinations",
        create_v3,
        _GROUP,
        "Create a destination (v3)",
        ref("DestinationV3"),
        body=_V3_CHANGE,
        errors=_ERRORS,
    ),
    Endpoint(
        "PUT",
        "/v3/destinations/{destination_id}",
        update_v3,
        _GROUP,
        "Update a destination (v3)",
        ref("DestinationV3"),
        body=_V3_CHANGE,
        errors=_ERRORS,
    ),
)
