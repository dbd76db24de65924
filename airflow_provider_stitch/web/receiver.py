"""The ASGI application that receives Stitch's post-load webhooks:

`POST /stitch/hooks/<connection id>?token=<secret>`.

Stitch does not sign webhooks or send custom headers, so the URL contains a secret. The secret is a query
parameter named `token`, because Airflow masks this parameter in its access log. Airflow does not authenticate
requests to plugins, so this module checks the secret.

| status | meaning |
| --- | --- |
| 200 | the event is stored, or was stored by an earlier delivery, or no DAG uses the stream's asset |
| 400 | the body is not the payload of a post-load webhook |
| 404 | the connection has no webhook secret, or the token differs from it |
| 413 | the body is larger than 1 MB |
| 500 | an unexpected error; Stitch sends the webhook again |
| 503 | Airflow's database is unavailable; Stitch sends the webhook again |
"""

from __future__ import annotations

import hmac
import logging
from asyncio import to_thread
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from airflow_provider_stitch.web.asset_events import DatabaseUnavailableError, read_secret, store_event
from airflow_provider_stitch.web.payload import InvalidPayloadError, parse_payload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger(__name__)

MAX_BODY = 1_000_000  #: bytes

# An attacker could guess a shorter secret.
MIN_SECRET_LENGTH = 20

# Airflow's connection ids have at most MAX_ID_LENGTH characters. A longer secret than MAX_TOKEN_LENGTH is
# unlikely.
MAX_ID_LENGTH = 250
MAX_TOKEN_LENGTH = 1000


async def respond(scope: Message, receive: Receive, send: Send) -> None:
    """Respond to one request, as an ASGI application."""
    if scope["type"] != "http":
        return
    if scope["method"] != "POST":
        await _send(send, 405, "Send a POST request.", headers=[(b"allow", b"POST")])
        return
    try:
        status, text = await _receive(scope, receive)
    except DatabaseUnavailableError as error:
        log.warning("Could not store a webhook; Stitch will send it again: %s", error)
        status, text = 503, "Airflow's database is unavailable. Send the webhook again later."
    except Exception as error:  # noqa: BLE001 - Airflow would log the secret in a traceback
        log.warning("Could not store a webhook; Stitch will send it again: %s", type(error).__name__)
        status, text = 500, "Airflow could not process the webhook. Send it again later."
    await _send(send, status, text)


async def _receive(scope: Message, receive: Receive) -> tuple[int, str]:
    connection_id = _connection_id(scope)
    if not await to_thread(_is_authorized, connection_id, _token(scope)):
        return 404, "This hook does not exist."
    body = await _read_body(scope, receive)
    if body is None:
        return 413, f"The body is larger than {MAX_BODY} bytes."
    try:
        load = parse_payload(body)
    except InvalidPayloadError as error:
        log.warning("Stitch's webhook for the connection %r was rejected: %s", connection_id, error)
        return 400, str(error)
    return 200, await to_thread(store_event, connection_id, load)


def _is_authorized(connection_id: str, token: str) -> bool:
    """Return whether a token is the webhook secret of a connection.

    This function always reads the connection and always compares the digests. The response time therefore
    does not reveal whether the connection id or the token is wrong.
    """
    secret = read_secret(connection_id)
    is_long_enough = len(secret) >= MIN_SECRET_LENGTH
    if secret and not is_long_enough:
        log.warning(
            "The connection %r receives no webhooks: its webhook secret is shorter than %d characters",
            connection_id,
            MIN_SECRET_LENGTH,
        )
    # All digests have the same length, so the comparison does not reveal the length of the secret.
    is_equal = hmac.compare_digest(_digest(token), _digest(secret))
    return is_equal and is_long_enough


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()


def _connection_id(scope: Message) -> str:
    """Return the connection id in a path, or an empty string if the path contains no possible id."""
    path: str = scope["path"]
    path = path.removeprefix(scope.get("root_path", ""))
    name = unquote(path).strip("/")
    return name if name.isprintable() and "/" not in name and len(name) <= MAX_ID_LENGTH else ""


def _token(scope: Message) -> str:
    """Return the query parameter `token`, or an empty string unless the URL contains exactly one token."""
    try:
        query = scope["query_string"].decode("ascii")
        tokens = parse_qs(query, max_num_fields=10).get("token", [])
    except ValueError:  # the query is not ASCII or has too many fields
        return ""
    return tokens[0] if len(tokens) == 1 and len(tokens[0]) <= MAX_TOKEN_LENGTH else ""


async def _read_body(scope: Message, receive: Receive) -> bytes | None:
    """Return the body of a request, or None if the body is too large."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    if any(not value.isdigit() or int(value[:12]) > MAX_BODY for value in lengths):
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, status: int, text: str, *, headers: list[Any] | None = None) -> None:
    body = f"{text}\n".encode()
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
