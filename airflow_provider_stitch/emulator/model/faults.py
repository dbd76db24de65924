"""Faults, which a test arranges to make requests fail."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The page that a gateway returns when its upstream server fails.
HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"

Host = Literal["api", "log"]


@dataclass
class Fault:
    """A failure of the next matching requests. See ``StitchEmulator.fail`` for the fields."""

    method: str | None
    path_regex: str | None
    times: int | None  #: number of further requests that fail, or None for all matching requests
    host: Host
    after_effect: bool
    status: int | None
    body: Any
    headers: Mapping[str, str] | None
    delay: float
    cut: bool | Literal["mid-body"]
    garbage: bool | str | bytes
    drip: float | None
    hits: int = field(default=0)

    def __post_init__(self) -> None:
        self._path = None if self.path_regex is None else re.compile(self.path_regex)
        # By default, the status is 500, unless the fault only delays or cuts the response.
        unspecified = not (self.garbage or self.cut or self.delay or self.drip is not None)
        if self.status is None and (unspecified or self.body is not None or self.headers):
            self.status = 200 if self.garbage else 500

    def cancel(self) -> None:
        """End this fault."""
        self.times = 0

    def matches(self, host: Host, method: str, path: str) -> bool:
        """Return whether the fault applies to a request.

        :param path: the path with the query. The fault applies if ``path_regex`` matches any part of the path
            and query.
        """
        return (
            self.times != 0
            and host == self.host
            and (self.method is None or self.method.upper() == method)
            and (self._path is None or self._path.search(path) is not None)
        )

    @property
    def replaces_response(self) -> bool:
        """Return whether the fault replaces Stitch's response."""
        return self.status is not None or bool(self.garbage)

    @property
    def prevents_processing(self) -> bool:
        """Return whether the fault prevents Stitch from processing the request.

        This property does not consider ``after_effect``, with which Stitch always processes the request.
        """
        return self.replaces_response or self.cut is True

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body of the response that the fault sends."""
        headers = {
            "content-type": "text/html" if self.garbage is True else "application/json",
            **{name.lower(): v for name, v in (self.headers or {}).items()},
        }
        if self.garbage:
            content = HTML_PAGE if self.garbage is True else self.garbage
            content = content.encode() if isinstance(content, str) else content
            return self.status or 200, headers, content
        if isinstance(self.body, bytes):
            return self.status or 500, headers, self.body
        if isinstance(self.body, str):
            return self.status or 500, headers, self.body.encode()
        return self.status or 500, headers, b"" if self.body is None else json.dumps(self.body).encode()


class Faults:
    """All faults, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """End all faults."""
        with self._lock:
            for fault in self._faults:
                fault.cancel()
            self._faults.clear()

    def take(self, host: Host, method: str, path: str) -> Fault | None:
        """Return the first fault that applies to a request, and record the failed request."""
        with self._lock:
            fault = next((f for f in self._faults if f.matches(host, method, path)), None)
            if fault is not None:
                fault.hits += 1
                if fault.times is not None:
                    fault.times -= 1
            return fault
