"""Endpoints for sources, source types and the tokens of Import API sources."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model import source_updates
from airflow_provider_stitch.emulator.model.api_errors import coded_error, not_found
from airflow_provider_stitch.emulator.model.connections import report_cards
from airflow_provider_stitch.emulator.model.connections.connector_types import (
    SOURCE_TYPES,
    SourceType,
    source_type,
)
from airflow_provider_stitch.emulator.model.times import format_time
from airflow_provider_stitch.emulator.server.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.server.routes.schemas import (
    BOOLEAN,
    INTEGER,
    NON_EMPTY_TEXT,
    NULL,
    OBJECT,
    TEXT,
    TIME,
    array,
    closed_object,
    nullable,
    one_of,
    ref,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.model.api_errors import ApiError
    from airflow_provider_stitch.emulator.model.connections.sources import Source

_GROUP = "Sources, source types, Import API tokens"
#: Maximum number of active tokens per source.
_MAX_TOKENS = 2


def list_source_types(call: Call) -> Any:
    """List all source types with documented properties, and a few types without documented properties."""
    return [_type_body(call, kind) for kind in SOURCE_TYPES.values()]


def get_source_type(call: Call) -> Any:
    """Return one source type. For an unknown type, Stitch documents only the general 404 error."""
    name = call.params["source_type"]
    account = call.account
    used = {source.type for source in account.sources.values()}
    if name not in SOURCE_TYPES and name not in used and name not in account.new_source_plans:
        raise not_found()
    return _type_body(call, source_type(name))


def _type_body(call: Call, kind: SourceType) -> dict[str, Any]:
    access = not kind.has_no_steps and kind.name not in call.account.pricing_plan.excluded_source_types
    return report_cards.source_type_body(kind, call.account.quirks, access=access)


def list_sources(call: Call) -> Any:
    """List all sources in one array, including paused and deleted sources."""
    return [source.body(call.now) for source in call.account.sources.values()]


def get_source(call: Call) -> Any:
    """Return one source. For an unknown id, Stitch documents only the general 404 error."""
    return call.source(not_found()).body(call.now)


def create_source(call: Call) -> Any:
    """Create a source. If all required properties are given, a connection check starts."""
    return source_updates.create_source(call.account, call.json(source_updates.invalid_post_body()), call.now)


def update_source(call: Call) -> Any:
    """Update, pause or unpause a source, and start a connection check if no required property is missing."""
    source = _active(call)
    return source_updates.update_source(
        call.account, source, call.json(source_updates.invalid_put_body()), call.now
    )


def delete_source(call: Call) -> Any:
    """Mark a source as deleted. If the source is already deleted, the request succeeds."""
    source = call.source(_unknown(call))
    call.account.delete_source(source, call.now)
    return source.body(call.now)


# Import API tokens


def create_import_token(call: Call) -> Any:
    """Create an Import API token.

    The token is returned only in this response. Stitch does not document the errors of this request.
    """
    source = _active(call)
    if source.type != "import_api":
        raise coded_error("InvalidType", f"source type ({source.type}) has no Import API tokens")
    if len(source.import_tokens) >= _MAX_TOKENS:
        raise coded_error("TooManyTokens", f"a source can have at most {_MAX_TOKENS} active tokens")
    number = call.account.ids.take("import_token")
    source.import_tokens[number] = call.now
    return {"id": number, "access_token": secrets.token_hex(32)}


def list_import_tokens(call: Call) -> Any:
    """List the active Import API tokens.

    Since August 2021, the list contains creation times in addition to ids.
    """
    tokens = call.source(not_found()).import_tokens
    if call.account.quirks.import_tokens == "ids":
        return list(tokens)
    return [
        {"token_id": number, "created_at": format_time(created_at)} for number, created_at in tokens.items()
    ]


def delete_import_token(call: Call) -> Any:
    """Revoke an Import API token. For an unknown token, Stitch documents only the general 404 error."""
    source = _active(call)
    if source.import_tokens.pop(call.number("token_id"), None) is None:
        raise not_found()
    return source.body(call.now)


def _active(call: Call) -> Source:
    """Return the source with the id from the path.

    A deleted source is treated as unknown. Stitch does not document what happens if a request changes a
    deleted source.
    """
    source = call.source(_unknown(call))
    if source.deleted_at is not None:
        raise _unknown(call)
    return source


def _unknown(call: Call) -> ApiError:
    return coded_error("InvalidId", f"source not found ({call.source_id()})")


_PROPERTIES = {
    "type": "object",
    "additionalProperties": one_of(NON_EMPTY_TEXT, BOOLEAN, INTEGER, OBJECT, array({}), NULL),
}
_ERRORS = {400: ref("CodedError")}

ENDPOINTS = (
    Endpoint(
        "GET", "/v4/source-types", list_source_types, _GROUP, "All source types", array(ref("SourceType"))
    ),
    Endpoint(
        "GET",
        "/v4/source-types/{source_type}",
        get_source_type,
        _GROUP,
        "One source type",
        ref("SourceType"),
    ),
    Endpoint("GET", "/v4/sources", list_sources, _GROUP, "All sources", array(ref("Source"))),
    Endpoint("GET", "/v4/sources/{source_id}", get_source, _GROUP, "One source", ref("Source")),
    Endpoint(
        "POST",
        "/v4/sources",
        create_source,
        _GROUP,
        "Create a source",
        ref("Source"),
        body=closed_object(
            {"display_name": NON_EMPTY_TEXT, "type": NON_EMPTY_TEXT},
            {"properties": _PROPERTIES, "destination_id": INTEGER, "name": TEXT},
        ),
        errors=_ERRORS,
    ),
    Endpoint(
        "PUT",
        "/v4/sources/{source_id}",
        update_source,
        _GROUP,
        "Update, pause or unpause a source",
        ref("Source"),
        body=closed_object(
            {},
            {
                "display_name": NON_EMPTY_TEXT,
                "properties": _PROPERTIES,
                "paused_at": nullable(TEXT),
                "destination_id": INTEGER,
            },
        ),
        errors=_ERRORS,
    ),
    Endpoint(
        "DELETE",
        "/v4/sources/{source_id}",
        delete_source,
        _GROUP,
        "Delete a source",
        ref("Source"),
        errors=_ERRORS,
    ),
    Endpoint(
        "POST",
        "/v4/sources/{source_id}/tokens",
        create_import_token,
        _GROUP,
        "Create an Import API token",
        ref("ImportToken"),
        errors=_ERRORS,
    ),
    Endpoint(
        "GET",
        "/v4/sources/{source_id}/tokens",
        list_import_tokens,
        _GROUP,
        "Active Import API tokens",
        one_of(array(closed_object({"token_id": INTEGER, "created_at": TIME})), array(INTEGER)),
    ),
    Endpoint(
        "DELETE",
        "/v4/sources/{source_id}/tokens/{token_id}",
        delete_import_token,
        _GROUP,
        "Revoke an Import API token",
        ref("Source"),
        errors=_ERRORS,
    ),
)
