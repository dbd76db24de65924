"""The faults in the table of failure modes, which affect requests to Stitch."""

from __future__ import annotations

import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.faults import HTML_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.emulator import StitchEmulator


@dataclass(frozen=True)
class Fault:
    """A way in which a request fails. If neither `answer` nor `strike` is given, the connection is refused.

    :param answer: a function that returns options for the emulator's `fail` method, based on the URL of a
        request.
    :param strike: a function that responds to the request on a plain socket, instead of the emulator.
    """

    name: str
    answer: Callable[[str], dict[str, Any]] | None = None
    strike: Callable[[socket.socket, StitchEmulator], None] | None = None
    is_silent: bool = False  #: whether no response arrives, so that no real time must pass
    drips: bool = False  #: whether a second passes each time the client reads a chunk of the body
    precludes_work: bool = False  #: whether the fault shows that the request had no effect


def _status(status: int, **options: Any) -> Callable[[str], dict[str, Any]]:
    return lambda _: {"status": status, **options}


def _reset(connection: socket.socket, _: StitchEmulator) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[{"id": 310442, "name": "gi')
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _hang(connection: socket.socket, stitch: StitchEmulator) -> None:
    stitch.advance(30)
    while connection.recv(4096):  # the loop ends when the client disconnects
        continue


def _drip(connection: socket.socket, _: StitchEmulator) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:  # the loop ends with an error when the client disconnects
        connection.sendall(b" ")
        time.sleep(0.0003)  # pause, so that the client receives approximately one byte at a time


ELSEWHERE = "http://127.0.0.1:{port}/elsewhere"  #: URL of a host that must never receive the token

FAULTS = (
    Fault("Connection refused", precludes_work=True),
    Fault("Connection reset in the body", strike=_reset),
    Fault("No response within `request_timeout`", strike=_hang, is_silent=True),
    Fault("One byte per second", strike=_drip, drips=True),
    Fault(
        "429 with `Retry-After: 120`", _status(429, headers={"Retry-After": "120"}), precludes_work=True
    ),
    Fault("429 without `Retry-After`", _status(429), precludes_work=True),
    Fault("500", _status(500)),
    Fault(
        "502 with a gateway's HTML page",
        _status(502, body=HTML_PAGE, headers={"Content-Type": "text/html"}),
    ),
    Fault("503", _status(503)),
    Fault("401", _status(401), precludes_work=True),
    Fault(
        "403 with a firewall's HTML page",
        _status(403, body=HTML_PAGE, headers={"Content-Type": "text/html"}),
        precludes_work=True,
    ),
    Fault("400 with an empty body", _status(400), precludes_work=True),
    Fault("Truncated JSON", _status(200, body=b'[{"id": 310442, "name": "gi')),
    Fault("JSON of another type", _status(200, body=json.dumps("github").encode())),
    Fault("200 with an empty body", _status(200, body=b"")),
    Fault("Body that is not gzip despite its header", _status(
        200, body=b"this is none", headers={"Content-Encoding": "gzip"}
    )),
    Fault("Redirect to itself", lambda url: {"status": 302, "headers": {"Location": url}}),
    Fault("Redirect to another host", lambda _: {"status": 302, "headers": {"Location": ELSEWHERE}}),
    Fault("Unrelated body of 10 MB", _status(200, body=b'{"data": "' + b"x" * 10_000_000 + b'"}')),
)  # fmt: skip
