"""Arranged failures: what goes wrong, with which request, and how often."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

#: An answer as gateways give it when what is behind them is not well.
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"

Host = Literal["api", "log"]


@dataclass
class Fault:
    """One arranged failure. Made by ``StitchEmulator.fail``, where its arguments are explained."""

    method: str | None
    path: re.Pattern[str] | None
    times: int | None  #: how often it still strikes; None: always
    host: Host
    after_effect: bool
    status: int | None
    body: Any
    headers: Mapping[str, str]
    delay: float
    cut: bool | Literal["mid-body"]
    garbage: bool | bytes
    drip: float | None
    hits: int = field(default=0)

    def settle_status(self) -> None:
        """A fault that says nothing of what is to happen is a 500, as is one with a body or headers only."""
        silent = not (self.garbage or self.cut or self.delay or self.drip is not None)
        if self.status is None and (silent or self.body is not None or self.headers):
            self.status = 200 if self.garbage else 500

    def cancel(self) -> None:
        """It strikes no more."""
        self.times = 0

    def matches(self, host: Host, method: str, path: str) -> bool:
        """Whether it is meant for this request. The expression may match anywhere in path and query."""
        return (
            self.times != 0
            and host == self.host
            and (self.method is None or self.method == method)
            and (self.path is None or self.path.search(path) is not None)
        )

    @property
    def replaces_answer(self) -> bool:
        """Whether the answer is another than Stitch's own."""
        return self.status is not None or bool(self.garbage)

    @property
    def prevents_work(self) -> bool:
        """Whether Stitch never gets to do what was asked, unless the fault comes after the effect."""
        return self.replaces_answer or self.cut is True

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The answer in place of Stitch's own: status, headers, body."""
        headers = {
            "content-type": "text/html" if self.garbage is True else "application/json",
            **{name.lower(): v for name, v in self.headers.items()},
        }
        if self.garbage:
            content = HTML if self.garbage is True else self.garbage
            return self.status or 200, headers, content
        if isinstance(self.body, bytes):
            return self.status or 500, headers, self.body
        if isinstance(self.body, str):
            return self.status or 500, headers, self.body.encode()
        return self.status or 500, headers, b"" if self.body is None else json.dumps(self.body).encode()


class Faults:
    """The failures that are arranged, in the order in which they were."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            for fault in self._faults:
                fault.cancel()
            self._faults.clear()

    def take(self, host: Host, method: str, path: str) -> Fault | None:
        """The first fault that is meant for this request; it has then struck once more."""
        with self._lock:
            fault = next((f for f in self._faults if f.matches(host, method, path)), None)
            if fault is not None:
                fault.hits += 1
                if fault.times is not None:
                    fault.times -= 1
            return fault
