"""Fuzzing entry points for `connect`, which Hypothesis (test_fuzzing.py) and Atheris (`make fuzz`) call.

Each entry point accepts any bytes. An entry point fails only if `connect` raises an exception that is not a
StitchError.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from typing import Any
from unittest import mock
from urllib.parse import quote

import requests
import urllib3
from requests.adapters import HTTPAdapter

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.endpoints.validation import validate_hook_url, validate_source_properties
from airflow_provider_stitch.connect.errors import StitchError
from airflow_provider_stitch.connect.extraction_log import parse_extraction_log
from airflow_provider_stitch.connect.objects import JobName, parse_time
from airflow_provider_stitch.connect.objects.secret_text import SecretText
from airflow_provider_stitch.connect.partner import StitchPartner
from airflow_provider_stitch.connect.transport import log_download
from airflow_provider_stitch.connect.transport import request as request_module
from airflow_provider_stitch.connect.transport.log_download import resolve_location
from airflow_provider_stitch.connect.transport.response import parse_date, parse_retry_after
from airflow_provider_stitch.connect.transport.session import Session
from airflow_provider_stitch.connect.transport.urls import normalize_base_url, validate_path, validate_token

from .test_endpoint_errors import ERRORS
from .test_endpoints import CALLS

TOKEN = "ac_4be1d5f0secretsecret"
PARTNER_SECRET = "hush/hush+and~more"
MAX_MESSAGE_LENGTH = 5000  #: characters

STATUSES = (200, 400, 401, 404, 408, 418, 429, 500, 502, 302, 304, 204, 100, 403)
HEADERS = (
    b"",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br, deflate\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Location: https://logs.example/x?x-amz-security-token=hush\r\n",
    b"Retry-After: Mon, 17 Aug 2026 06:41:12 GMT\r\n",
    b"Content-Type: text/html\r\n",
    b"Date: yesterday\r\n",
)


def _account(call: Callable[[Any], Any]) -> Callable[[], Any]:
    def send() -> Any:
        with StitchClient(TOKEN, base_url="https://stitch.example", client_id=104857) as client:
            return call(client)

    return send


def _partner(call: Callable[[Any], Any]) -> Callable[[], Any]:
    def send() -> Any:
        with StitchPartner("acme", PARTNER_SECRET, base_url="https://stitch.example") as partner:
            return call(partner)

    return send


METHODS: list[Callable[[], Any]] = [
    *[_account(call[1]) for call in CALLS],
    _account(lambda c: StitchClient.client_id.fget(c.with_retries(0))),  # type: ignore[attr-defined]
    _account(lambda c: c.all_extractions()),
    _account(lambda c: c.all_loads()),
    _partner(
        lambda p: p.create_account(
            company="Acme", email="a@acme.example", first_name="Ann", last_name="Ames", region="us-east-1"
        )
    ),
    _partner(lambda p: p.exchange_code("code")),
]


def response(data: bytes) -> None:
    """Pass the given bytes to a client method as the body of a response."""
    if len(data) < 3:
        return
    head = f"HTTP/1.1 {STATUSES[data[1] % len(STATUSES)]} X\r\n".encode() + HEADERS[data[2] % len(HEADERS)]
    _call(data[0], head + b"\r\n" + data[3:])


def whole_response(data: bytes) -> None:
    """Pass the given bytes to a client method as a whole response."""
    if data:
        _call(data[0], data[1:])


def log(data: bytes) -> None:
    """Parse an extraction log in chunks. The first byte of the input determines the size of the chunks."""
    size = 1 + (data[0] if data else 0)
    _use(parse_extraction_log(data[at : at + size] for at in range(1, len(data), size)))


def text(data: bytes) -> None:
    """Parse a text as a time, a date, a job name, a URL, a cron expression and a token."""
    value = data.decode("utf-8", errors="surrogateescape")
    for parse in (parse_date, lambda each: parse_retry_after(each, None)):
        parse(value)
    for read in (
        parse_time,
        JobName.parse,
        normalize_base_url,
        validate_path,
        validate_token,
        validate_hook_url,
        lambda each: resolve_location("https://logs.example/a", each),
        lambda each: validate_source_properties({"cron_expression": each, "start_date": each}),
        lambda each: validate_source_properties({"start_date": each}),
    ):
        _run(lambda read=read: read(value))


ENTRY_POINTS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (response, whole_response, log, text)
}


def _call(number: int, raw: bytes) -> None:
    with _canned(raw):
        _run(METHODS[number % len(METHODS)])


def _run(read: Callable[[], Any]) -> None:
    try:
        _use(read())
    except StitchError as error:
        _check(error)


def _check(error: StitchError) -> None:
    """Check that the error message can be encoded, is short, and contains no secret."""
    message = str(error)
    message.encode()
    assert len(message) < MAX_MESSAGE_LENGTH
    for secret in (TOKEN, PARTNER_SECRET):
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert form not in message


def _use(value: Any) -> None:
    """Read all attributes and properties of the object that a method returned."""
    repr(value)
    if isinstance(value, (list, tuple)):
        for each in value[:20]:
            _use(each)
    elif isinstance(value, SecretText):
        value.reveal()
    elif is_dataclass(value):
        for name in dir(type(value)):
            if isinstance(getattr(type(value), name), property):
                _use(getattr(value, name))
        for field in fields(value):
            _use(getattr(value, field.name))


# --- Canned responses -----------------------------------------------------------------------------------


class _Socket:
    """A fake socket with only the methods that `http.client` uses."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._raw))  # type: ignore[arg-type]


class _Canned(HTTPAdapter):
    """Returns the same bytes for each request. The bytes are parsed as if they came from a server."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = raw

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        response = http.client.HTTPResponse(_Socket(self._raw), method=request.method)  # type: ignore[arg-type]
        try:
            response.begin()
        except (http.client.HTTPException, OSError) as error:  # like urllib3
            connection_error = urllib3.exceptions.ProtocolError("Connection aborted.", error)
            raise requests.ConnectionError(connection_error, request=request) from error
        headers = urllib3.HTTPHeaderDict(response.msg.items())
        return self.build_response(
            request,
            urllib3.HTTPResponse(
                body=response,
                headers=headers,
                status=response.status,
                version=response.version,
                reason=response.reason,
                preload_content=False,
                decode_content=False,
                original_response=response,
                request_method=request.method,
            ),
        )


@contextmanager
def _canned(raw: bytes) -> Iterator[None]:
    class CannedSession(Session):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            for scheme in ("https://", "http://"):
                self.mount(scheme, _Canned(raw))

    with (
        mock.patch.object(request_module, "Session", CannedSession),
        mock.patch.object(log_download, "Session", CannedSession),
    ):
        yield


# --- Seeds ----------------------------------------------------------------------------------------------


def seeds(name: str) -> list[bytes]:
    """Return valid inputs for an entry point."""
    return [*_SEEDS[name]()]


def _bodies() -> Iterator[tuple[int, int, bytes]]:
    """Yield tuples of a method index, a status index and a documented response body."""
    for number, call in enumerate(CALLS):
        yield number, 0, _bytes(call[4])
    for number, error in enumerate(ERRORS):
        with suppress(ValueError):
            yield number % len(METHODS), STATUSES.index(error[2]), _bytes(error[3])
    page = {"data": [], "page": 1, "total": 101, "links": {"next": "/v4/104857/loads?page=2"}}
    for method in (len(CALLS), len(CALLS) + 1, len(CALLS) + 2):
        yield method, 0, _bytes(page)
    yield len(CALLS) + 3, 0, b'{"access_token": "at_9f8e7d6c5b4a", "stitch_account_id": 104857}'
    yield len(CALLS) + 4, 2, f'{{"error": "{TOKEN}"}}'.encode()


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _responses() -> Iterator[bytes]:
    for method, status, body in _bodies():
        yield bytes([method, status, 0]) + body


def _whole_responses() -> Iterator[bytes]:
    for method, status, body in _bodies():
        head = f"HTTP/1.1 {STATUSES[status]} OK\r\nContent-Length: {len(body)}\r\n"
        yield bytes([method]) + f"{head}Date: Mon, 17 Aug 2026 06:40:12 GMT\r\n\r\n".encode() + body
    yield b"\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    gzipped = base64.b64decode("H4sIAAAAAAAC/4uOBQApu0wNAgAAAA==")
    yield b"\0HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped


def _logs() -> Iterator[bytes]:
    yield (
        b'\x20\xef\xbb\xbf2026-08-17 06:00:12,250Z tap - INFO replicated 250 records from "orders" endpoint\n'
        b"2026-08-17 06:00:15.250 target - INFO flush-pipeline - send-stream-record-count-impl orders\n"
        b"2026-08-17T06:00:15.250Z tap - CRITICAL [Errno 5] lost\n"
        b"2026-08-17 06:02:32,250Z   main - INFO Exit status is: Discovery succeeded. "
        b'Tap failed with code -15 and error message: "a ". Target b". '
        b'Target failed with code 1 and error message: "disk full".\n'
    )
    yield b"\x01   main - INFO Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."


def _texts() -> Iterator[bytes]:
    yield from (
        b"2026-08-17T06:00:02.123456789+05:30",
        b"Mon, 17 Aug 2026 06:41:12 GMT",
        b"104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d",
        b"https://api.stitchdata.com:443/stitch",
        b"http://[::1]:8080/",
        b"0 0 12 ? * MON-FRI *",
        b"/v4/sources/%2e%2e/x",
        b"\xed\xa0\x80",
        b"1e309",
        b"2\x1e",
    )


_SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "response": _responses,
    "whole_response": _whole_responses,
    "log": _logs,
    "text": _texts,
}
