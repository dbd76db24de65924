"""The OpenAPI 3.1 description of the emulator's API. Stitch itself does not publish an OpenAPI description.

The description is generated from the table of endpoints, so it contains all endpoints of the emulator.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.server.routes.endpoint import FORM
from airflow_provider_stitch.emulator.server.routes.schemas import COMPONENTS, INTEGER, TEXT, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_stitch.emulator.server.routes.endpoint import Endpoint

#: The path of the OpenAPI description. Stitch's API does not have this path.
PATH = "/openapi.json"
_JSON = "application/json"
#: Names of the path parameters that are strings. All other path parameters are numeric ids.
_TEXT_PARAMETERS = {"destination_type", "source_type", "job_name"}


def describe(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stitch emulator",
            "version": "1",
            "description": "The Stitch Connect API as airflow-provider-stitch emulates it. "
            "This description is the emulator's own. Stitch does not publish a description.",
        },
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {"accessToken": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"accessToken": []}],
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__module__.rpartition(".")[2] + "_" + endpoint.handler.__name__,
        "summary": endpoint.summary,
        "description": endpoint.handler.__doc__ or "",
        "tags": [endpoint.group],
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(endpoint)],
        "responses": _responses(endpoint),
    }
    if endpoint.body is not None:
        media = FORM if endpoint.has_form_body else _JSON
        operation["requestBody"] = {"required": True, "content": {media: {"schema": endpoint.body}}}
    if not endpoint.needs_token:
        operation["security"] = []
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": TEXT if name in _TEXT_PARAMETERS else INTEGER,
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in endpoint.query.items()]


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if endpoint.redirects:
        location = {"Location": {"required": True, "schema": TEXT}}
        responses["302"] = {"description": "Found at another URL", "headers": location}
    else:
        responses["200"] = _response("Success", endpoint.response)
    if endpoint.needs_token:
        responses["401"] = {"description": "No valid access token"}
    responses["404"] = {"description": "Unknown resource"}
    if endpoint.limited:
        responses["429"] = {"description": "Too many requests, if the rate limit is enforced"}
    for status, schema in endpoint.errors.items():
        responses[str(status)] = _response("Error", schema)
    return dict(sorted(responses.items()))


def _response(description: str, schema: Schema) -> dict[str, Any]:
    content: dict[str, Any] = {_JSON: {"schema": schema}}
    if "PlainError" in str(schema):
        content["text/plain"] = {"schema": TEXT}  # see Quirks.string_errors
    return {"description": description, "content": content}
