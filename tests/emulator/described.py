"""Compares an answer of the emulator with the emulator's own description of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from airflow_provider_stitch.emulator.description import describe
from airflow_provider_stitch.emulator.routes import ENDPOINTS, match

if TYPE_CHECKING:
    import requests

DOCUMENT = describe(ENDPOINTS)


def check_described(method: str, path: str, answer: requests.Response) -> None:
    """AssertionError or ValidationError if the answer is not one that is described."""
    matched = match(method, path.partition("?")[0])
    if matched is None:
        assert answer.status_code in (401, 404)
        return
    operation = DOCUMENT["paths"][matched.endpoint.path][method.lower()]
    assert str(answer.status_code) in operation["responses"], answer.status_code
    content = operation["responses"][str(answer.status_code)].get("content", {})
    media = answer.headers.get("Content-Type", "").partition(";")[0]
    if answer.content:
        assert media in content, media
        _validator(matched.endpoint.path, method.lower(), str(answer.status_code), media).validate(
            answer.json() if media == "application/json" else answer.text
        )
    else:
        assert not content or answer.status_code == 404


@cache
def _validator(path: str, method: str, status: str, media: str) -> Any:
    schema = DOCUMENT["paths"][path][method]["responses"][status]["content"][media]["schema"]
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})
