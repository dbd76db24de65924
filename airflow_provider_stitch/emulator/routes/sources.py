"""Sources, their types, and the tokens with which rows are pushed to an Import API source."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import report_cards, updates
from airflow_provider_stitch.emulator.catalogue import SOURCE_TYPES, SourceType, source_type
from airflow_provider_stitch.emulator.clock import stamp
from airflow_provider_stitch.emulator.refusal import coded, not_found
from airflow_provider_stitch.emulator.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.routes.schemas import (
    BOOLEAN,
    FULL_TEXT,
    INTEGER,
    NULL,
    OBJECT,
    TEXT,
    TIME,
    array,
    nullable,
    one_of,
    record,
    ref,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.refusal import Refusal
    from airflow_provider_stitch.emulator.sources import Source

_GROUP = "Sources, source types, Import API tokens"
#: A source has at most so many active tokens.
_MOST_TOKENS = 2


def list_source_types(call: Call) -> Any:
    """All types whose properties are documented, and a few old ones."""
    return [_type_body(call, kind) for kind in SOURCE_TYPES.values()]


def get_source_type(call: Call) -> Any:
    """One type. What an unknown one answers is not documented beyond the general 404."""
    name = call.params["source_type"]
    account = call.account
    used = {source.type for source in account.sources.values()}
    if name not in SOURCE_TYPES and name not in used and name not in account.new_sources:
        raise not_found()
    return _type_body(call, source_type(name))


def _type_body(call: Call, kind: SourceType) -> dict[str, Any]:
    access = not kind.bare and kind.name not in call.account.allowed.refused_types
    return report_cards.source_type_body(kind, call.account.quirks, access=access)


def list_sources(call: Call) -> Any:
    """All sources: active, paused and deleted, in one bare array."""
    return [source.body(call.now) for source in call.account.sources.values()]


def get_source(call: Call) -> Any:
    """One source. For an unknown id nothing is listed but the general 404."""
    return call.source(not_found()).body(call.now)


def create_source(call: Call) -> Any:
    """A new source. Its connection check starts as soon as it has all that is needed for that."""
    return updates.create_source(call.account, call.json(updates.invalid_post_body()), call.now)


def update_source(call: Call) -> Any:
    """Update, pause or unpause, and run a connection check."""
    source = _live(call)
    return updates.update_source(call.account, source, call.json(updates.invalid_put_body()), call.now)


def delete_source(call: Call) -> Any:
    """Delete softly. Deleting twice is no error."""
    source = call.source(_unknown(call))
    call.account.delete_source(source, call.now)
    return source.body(call.now)


# Import API tokens


def create_import_token(call: Call) -> Any:
    """A new token, shown this once. No error is documented: the codes and texts are like those of sources."""
    source = _live(call)
    if source.type != "import_api":
        raise coded("InvalidType", f"source type ({source.type}) has no Import API tokens")
    if len(source.import_tokens) >= _MOST_TOKENS:
        raise coded("TooManyTokens", f"a source can have at most {_MOST_TOKENS} active tokens")
    number = call.account.ids.take("import_token")
    source.import_tokens[number] = call.now
    return {"id": number, "access_token": secrets.token_hex(32)}


def list_import_tokens(call: Call) -> Any:
    """The active tokens: their ids, and since August 2021 their age. Never the tokens themselves."""
    tokens = call.source(not_found()).import_tokens
    if call.account.quirks.import_tokens == "ids":
        return list(tokens)
    return [{"token_id": number, "created_at": stamp(created_at)} for number, created_at in tokens.items()]


def delete_import_token(call: Call) -> Any:
    """Revoke a token. What an unknown one answers is not documented beyond the general 404."""
    source = _live(call)
    if source.import_tokens.pop(call.number("token_id"), None) is None:
        raise not_found()
    return source.body(call.now)


def _live(call: Call) -> Source:
    """The source of the path. Whether a deleted one can be changed is not documented; here it is unknown."""
    source = call.source(_unknown(call))
    if source.deleted_at is not None:
        raise _unknown(call)
    return source


def _unknown(call: Call) -> Refusal:
    return coded("InvalidId", f"source not found ({call.source_id()})")


_PROPERTIES = {
    "type": "object",
    "additionalProperties": one_of(FULL_TEXT, BOOLEAN, INTEGER, OBJECT, array({}), NULL),
}
_REFUSED = {400: ref("CodedError")}

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
        body=record(
            {"display_name": FULL_TEXT, "type": FULL_TEXT},
            {"properties": _PROPERTIES, "destination_id": INTEGER, "name": TEXT},
        ),
        refusals=_REFUSED,
    ),
    Endpoint(
        "PUT",
        "/v4/sources/{source_id}",
        update_source,
        _GROUP,
        "Update, pause or unpause a source",
        ref("Source"),
        body=record(
            {},
            {
                "display_name": FULL_TEXT,
                "properties": _PROPERTIES,
                "paused_at": nullable(TEXT),
                "destination_id": INTEGER,
            },
        ),
        refusals=_REFUSED,
    ),
    Endpoint(
        "DELETE",
        "/v4/sources/{source_id}",
        delete_source,
        _GROUP,
        "Delete a source",
        ref("Source"),
        refusals=_REFUSED,
    ),
    Endpoint(
        "POST",
        "/v4/sources/{source_id}/tokens",
        create_import_token,
        _GROUP,
        "Create an Import API token",
        ref("ImportToken"),
        refusals=_REFUSED,
    ),
    Endpoint(
        "GET",
        "/v4/sources/{source_id}/tokens",
        list_import_tokens,
        _GROUP,
        "Active Import API tokens",
        one_of(array(record({"token_id": INTEGER, "created_at": TIME})), array(INTEGER)),
    ),
    Endpoint(
        "DELETE",
        "/v4/sources/{source_id}/tokens/{token_id}",
        delete_import_token,
        _GROUP,
        "Revoke an Import API token",
        ref("Source"),
        refusals=_REFUSED,
    ),
)
