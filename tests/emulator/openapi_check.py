"""A function that validates responses against the emulator's OpenAPI description."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from airflow_provider_stitch.emulator.server.openapi import describe
from airflow_provider_stitch.emulator.server.routes.table import ENDPOINTS, match

if TYPE_CHECKING:
    import requests

DOCUMENT = describe(ENDPOINTS)


def check_response(method: str, path: str, response: requests.Response) -> None:
    """Raise AssertionError or ValidationError if a response does not match the OpenAPI description."""
    matched = match(method, path.partition("?")[0])
    if matched is None:
        assert response.status_code in (401, 404)
        return
    operation = DOCUMENT["paths"][matched.endpoint.path][method.lower()]
    assert str(response.status_code) in operation["responses"], response.status_code
    content = operation["responses"][str(response.status_code)].get("content", {})
    media = response.headers.get("Content-Type", "").partition(";")[0]
    if response.content:
        assert media in content, media
        _validator(matched.endpoint.path, method.lower(), str(response.status_code), media).validate(
            response.json() if media == "application/json" else response.text
        )
    else:
        assert not content or response.status_code == 404


@cache
def _validator(path: str, method: str, status: str, media: str) -> Any:
    schema = DOCUMENT["paths"][path][method]["responses"][status]["content"][media]["schema"]
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})
