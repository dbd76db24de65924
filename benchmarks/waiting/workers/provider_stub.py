"""Serve stubs for the APIs of Airbyte, dbt Cloud and Fivetran in a separate process.

The jobs in these APIs never finish.

The stub serves HTTP and HTTPS, waits for a fixed time before each response, and counts all requests.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import threading
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RESPONSES: dict[str, Any] = {
    # Airbyte: POST .../applications/token, GET .../jobs/<id>
    "token": {"access_token": "benchmark", "token_type": "Bearer", "expires_in": 86_400},
    "jobs": {
        "jobId": 1,
        "status": "running",
        "jobType": "sync",
        "startTime": "2026-01-01T00:00:00Z",
        "connectionId": "benchmark",
    },
    # dbt Cloud: GET /api/v2/accounts/<id>/runs/<id>/
    "runs": {"data": {"id": 1, "status": 3}, "status": {"code": 200, "is_success": True}},
    # Fivetran: GET /v1/connections/<id>
    "v1": {
        "code": "Success",
        "data": {
            "id": "benchmark",
            "service": "github",
            "schema": "github",
            "paused": False,
            "schedule_type": "auto",
            "succeeded_at": "2026-01-01T00:00:00.000000Z",
            "failed_at": None,
            "status": {"setup_state": "connected", "sync_state": "syncing", "update_state": "on_schedule"},
        },
    },
}

delay = 0.0
count = 0


def response_body(path: str) -> bytes:
    """Return the response for a path. A part of the path determines the response."""
    parts = path.strip("/").split("/")
    body = next((body for part, body in RESPONSES.items() if part in parts), None)
    if body is None:
        raise ValueError(f"The stub has no response for {path}.")
    return json.dumps(body).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Respond to the requests of one client until the client closes the connection."""
    global count  # noqa: PLW0603 - this process runs a single stub
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            await reader.readexactly(int(headers.get("content-length", 0)))
            count += 1
            await asyncio.sleep(delay)
            body = response_body(lines[0].split(" ")[1])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has closed this connection
    finally:
        writer.close()


def create_certificate(file: Path) -> ssl.SSLContext:
    """Write a new key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def set_up(delay: float, certificate: str) -> dict[str, Any]:
    """Start the stub in a thread, and return its ports for HTTP and HTTPS.

    :param delay: seconds before each response.
    :param certificate: the path of a file. The stub writes its certificate for HTTPS to the file.
    """
    globals()["delay"] = delay
    context = create_certificate(Path(certificate))
    loop = asyncio.new_event_loop()

    async def listen() -> list[int]:
        servers = [
            await asyncio.start_server(serve, "127.0.0.1", 0, ssl=each, backlog=1024)
            for each in (None, context)
        ]
        return [server.sockets[0].getsockname()[1] for server in servers]

    threading.Thread(target=loop.run_forever, daemon=True).start()
    http, https = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    return {"http": http, "https": https}


def statistics() -> dict[str, Any]:
    """Return the number of requests that the stub has received."""
    return {"requests": count}


FUNCTIONS = {function.__name__: function for function in (set_up, statistics)}
for line in sys.stdin:
    call = json.loads(line)
    sys.stdout.write(json.dumps(FUNCTIONS[call.pop("function")](**call)) + "\n")
    sys.stdout.flush()
