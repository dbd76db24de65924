"""Destinations, in the fourth and the third version, and their types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import destinations, report_cards, values
from airflow_provider_stitch.emulator.catalogue import DESTINATION_TYPES
from airflow_provider_stitch.emulator.refusal import Refusal, not_found
from airflow_provider_stitch.emulator.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.routes.schemas import (
    BOOLEAN,
    FULL_TEXT,
    INTEGER,
    NULL,
    OBJECT,
    TEXT,
    array,
    choice,
    one_of,
    record,
    ref,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.destinations import Destination

_GROUP = "Destinations and destination types"
_V3_TYPES = ("redshift", "postgres", "snowflake")


def list_destination_types(call: Call) -> Any:
    """All types, in one bare array."""
    return [report_cards.destination_type_body(name, call.account.quirks) for name in DESTINATION_TYPES]


def get_destination_type(call: Call) -> Any:
    """One type. What an unknown one answers is not documented beyond the general 404."""
    name = call.params["destination_type"]
    if name not in DESTINATION_TYPES:
        raise not_found()
    return report_cards.destination_type_body(name, call.account.quirks)


def list_destinations(call: Call) -> Any:
    """All destinations, or that of a source, or with an id."""
    account, query = call.account, call.parameters()
    if set(query) - {"source_id", "destination_id"}:
        raise Refusal(400, "GET may only include the params: source_id and/or destination_id")
    shown = account.live_destinations()
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
    """A new destination. A connection check begins, and sources that have none are mapped to it."""
    refusal = Refusal(
        400,
        "POST body may only include a type, a name, a description, map of properties, "
        "and boolean for unmapped sources",
    )
    body = call.json(refusal)
    if not isinstance(body, dict) or set(body) - set(_V4_CREATION["properties"]):
        raise refusal
    texts = [body.get("type"), body.get("name", ""), body.get("description", "")]
    ignore = body.get("ignore_unmapped_sources", False)
    if not all(isinstance(text, str) for text in texts) or body["type"] not in DESTINATION_TYPES:
        raise refusal
    if not isinstance(body.get("properties"), dict) or not isinstance(ignore, bool):
        raise refusal
    _check_properties(call, body["type"], body["properties"], refusal)
    created = destinations.create(
        call.account,
        call.now,
        destination_type=body["type"],
        properties=body["properties"],
        name=body.get("name"),
        description=body.get("description", ""),
        takes_unmapped=not ignore,
    )
    return created.body(after_change=True)


def update_destination(call: Call) -> Any:
    """Changed properties. A connection check begins. What else may be in the body is not documented."""
    destination = _live(call, Refusal(400, "invalid connection id"))
    refusal = Refusal(400, "PUT body may only include a map of properties")  # not documented
    body = call.json(refusal)
    if isinstance(body, dict) and "type" in body:
        raise _fixed_type()
    if not isinstance(body, dict) or set(body) != {"properties"} or not isinstance(body["properties"], dict):
        raise refusal
    _check_properties(call, destination.type, body["properties"], refusal, found=destination.properties)
    destinations.update(call.account, destination, body["properties"], call.now)
    return destination.body(after_change=True)


def delete_destination(call: Call) -> Any:
    """Delete, with its hooks. Stitch pauses the sources that were mapped to it."""
    number, account = call.number("destination_id"), call.account
    message = f"Unable to locate dest ({number}) for client ({account.client_id}) to delete"
    destinations.delete(account, _live(call, Refusal(400, message)), call.now)
    return {}


def last_connection_check(call: Call) -> Any:
    """The last check of a destination. No page of the reference shows one: here it is as a source's."""
    destination = _live(call, not_found())
    check = destination.checks.last
    if check is None:
        raise not_found()
    return check.body(call.now, call.account.quirks.failed_check_exit_status)


# The third version


def list_v3(call: Call) -> Any:
    """An array of length 0 or 1: of several destinations, the first."""
    return [d.v3_body(call.now) for d in call.account.live_destinations()[:1]]


def create_v3(call: Call) -> Any:
    """As in the fourth version, with other words."""
    body = _v3_body(call)
    created = destinations.create(
        call.account, call.now, destination_type=body["type"], properties=body["connection"]
    )
    return created.v3_body(call.now)


def update_v3(call: Call) -> Any:
    """The type must be given, and cannot change."""
    destination = _live(call, Refusal(400, "invalid connection id"))
    body = _v3_body(call)
    if body["type"] != destination.type:
        raise _fixed_type()
    destinations.update(call.account, destination, body["connection"], call.now)
    return destination.v3_body(call.now)


def _v3_body(call: Call) -> dict[str, Any]:
    refusal = Refusal(
        400,
        "body must be a map with type = redshift, postgres, or snowflake. required-keys = type, connection",
    )
    body = call.json(refusal)
    if not isinstance(body, dict) or set(body) != {"type", "connection"}:
        raise refusal
    if body["type"] not in _V3_TYPES or not isinstance(body["connection"], dict):
        raise refusal
    _check_properties(call, body["type"], body["connection"], refusal)
    return body


def _live(call: Call, unknown: Refusal) -> Destination:
    """The destination of the path. A deleted one counts as unknown."""
    destination = call.account.destinations.get(call.number("destination_id"))
    if destination is None or destination.deleted_at is not None:
        raise unknown
    return destination


def _fixed_type() -> Refusal:
    return Refusal(400, "this API endpoint does not support modifying destination type")


def _check_properties(
    call: Call,
    destination_type: str,
    given: dict[str, Any],
    refusal: Refusal,
    *,
    found: dict[str, Any] | None = None,
) -> None:
    """Refuse values that do not match the report card. What Stitch answers to them is not documented."""
    quirks = call.account.quirks
    if values.bad_names(given, DESTINATION_TYPES[destination_type], quirks):
        raise refusal
    if values.changed_immutables(given, found or {}, quirks):
        raise refusal


_PROPERTIES = {
    "type": "object",
    "additionalProperties": one_of(FULL_TEXT, BOOLEAN, INTEGER, OBJECT, array({}), NULL),
}
_V4_CREATION = record(
    {"type": choice(*DESTINATION_TYPES), "properties": _PROPERTIES},
    {"name": TEXT, "description": TEXT, "ignore_unmapped_sources": BOOLEAN},
)
_V3_CHANGE = record({"type": choice(*_V3_TYPES), "connection": _PROPERTIES})
_REFUSED = {400: ref("PlainError")}

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
        refusals=_REFUSED,
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
        refusals=_REFUSED,
    ),
    Endpoint(
        "PUT",
        "/v4/destinations/{destination_id}",
        update_destination,
        _GROUP,
        "Update a destination",
        ref("Destination"),
        body=record({"properties": _PROPERTIES}),
        refusals=_REFUSED,
    ),
    Endpoint(
        "DELETE",
        "/v4/destinations/{destination_id}",
        delete_destination,
        _GROUP,
        "Delete a destination",
        record({}),
        refusals=_REFUSED,
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
        refusals=_REFUSED,
    ),
    Endpoint(
        "PUT",
        "/v3/destinations/{destination_id}",
        update_v3,
        _GROUP,
        "Update a destination (v3)",
        ref("DestinationV3"),
        body=_V3_CHANGE,
        refusals=_REFUSED,
    ),
)
