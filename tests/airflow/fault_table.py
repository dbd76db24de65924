"""What becomes of a task when a request goes wrong: found by trying, and written to docs/faults.md.

`make fault-table` writes the page anew. A real operator replicates a source of the emulator over real HTTP,
and time passes only while somebody waits.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

import tests.conftest  # noqa: F401 - it gives Airflow a home of its own before anything imports Airflow
from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import StitchError
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator
from airflow_provider_stitch.emulator.faults import HTML
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.polling.caller import AccountSession
from tests.replication.conftest import EmulatedClock

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
COMMAND = "make fault-table"

TIMEOUT = 600  #: seconds that the task may wait
FOR_EVER = 300  #: more tries than pauses of a minute leave room for

QUICK = JobPlan(discovery_seconds=2, tap_seconds=4, target_seconds=2, prepare_seconds=2, load_seconds=2)
ROWS = {"commits": 120, "issues": 0, "pulls": 7}


@dataclass(frozen=True)
class Step:
    """A request that the task makes."""

    name: str
    request: str  #: a regular expression of method, path and query
    first: int = 1  #: the fault strikes it from so many such requests on
    is_done: bool = False  #: Stitch does what is asked, and only its answer goes wrong
    host: Any = "api"


STEPS = (
    Step("list of sources", r"GET /v4/sources$"),
    Step("list of destinations", r"GET /v4/destinations$"),
    Step("streams, before the start", r"GET /v4/sources/\d+/streams$"),
    Step("start that Stitch has not seen", r"POST /v4/sources/\d+/sync$"),
    Step("start that Stitch has carried out", r"POST /v4/sources/\d+/sync$", is_done=True),
    Step("source", r"GET /v4/sources/\d+$"),
    Step("streams, during the wait", r"GET /v4/sources/\d+/streams$", first=2),
    Step("extractions", r"GET /v4/\d+/extractions\?page=1$"),
    Step("link to the extraction log", r"GET /v4/\d+/extractions/[^?]+$"),
    Step("extraction log", r"GET /[\d.]+\.sync\.[^?]+\?", host="log"),
    Step("loads", r"GET /v4/\d+/loads\?page=1$", first=2),
)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a request.

    :param answer: from the request's URL, what the emulator is to `fail` with; or else
    :param strike: answers in Stitch's place on a bare socket.
    """

    name: str
    answer: Callable[[str], dict[str, Any]] | None = None
    strike: Callable[[socket.socket, StitchEmulator], None] | None = None
    is_silent: bool = False  #: nothing will come, so that nobody needs to wait for it in earnest
    drips: bool = False  #: a second passes whenever the client looks whether it takes too long
    precludes_work: bool = False  #: it says that Stitch has not done what was asked


def _status(status: int, **options: Any) -> Callable[[str], dict[str, Any]]:
    return lambda _: {"status": status, **options}


def _reset(connection: socket.socket, _: StitchEmulator) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[{"id": 310442, "name": "gi')
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _hang(connection: socket.socket, stitch: StitchEmulator) -> None:
    stitch.advance(30)
    while connection.recv(4096):  # until the client has gone
        continue


def _drip(connection: socket.socket, _: StitchEmulator) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:  # until the client has gone
        connection.sendall(b" ")
        time.sleep(0.0003)  # so that they come one by one, more or less


ELSEWHERE = "http://127.0.0.1:{port}/elsewhere"  #: a host that must never see the token

FAULTS = (
    Fault("Connection refused", precludes_work=True),
    Fault("Connection reset within the body", strike=_reset),
    Fault("No answer within `request_timeout`", strike=_hang, is_silent=True),
    Fault("A byte a second", strike=_drip, drips=True),
    Fault(
        "429 with `Retry-After: 120`", _status(429, headers={"Retry-After": "120"}), precludes_work=True
    ),
    Fault("429 without `Retry-After`", _status(429), precludes_work=True),
    Fault("500", _status(500)),
    Fault("502 with a gateway's HTML page", _status(502, body=HTML, headers={"Content-Type": "text/html"})),
    Fault("503", _status(503)),
    Fault("401", _status(401), precludes_work=True),
    Fault(
        "403 with a firewall's HTML page",
        _status(403, body=HTML, headers={"Content-Type": "text/html"}),
        precludes_work=True,
    ),
    Fault("400 with an empty body", _status(400), precludes_work=True),
    Fault("JSON that is cut off", _status(200, body=b'[{"id": 310442, "name": "gi')),
    Fault("JSON of another type", _status(200, body=json.dumps("github").encode())),
    Fault("200 with an empty body", _status(200, body=b"")),
    Fault("A body that is not the gzip it is said to be", _status(
        200, body=b"this is none", headers={"Content-Encoding": "gzip"}
    )),
    Fault("A redirect to itself", lambda url: {"status": 302, "headers": {"Location": url}}),
    Fault("A redirect to another host", lambda _: {"status": 302, "headers": {"Location": ELSEWHERE}}),
    Fault("10 MB of another body", _status(200, body=b'{"data": "' + b"x" * 10_000_000 + b'"}')),
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What became of the task."""

    kind: str | None  #: the error's class; None: it has succeeded
    message: str
    tries: int  #: of the request, that the fault struck
    seconds: float  #: from the task's begin to its end
    jobs: int  #: that Stitch has started for it

    @property
    def outcome(self) -> str:
        if self.kind is None:
            return "goes on"
        if self.seconds > TIMEOUT * 3 / 4:  # there was no time left for another pause
            when = "at the timeout"
        else:
            when = "at once" if self.tries == 1 else "after 5 tries"
        return f"`{self.kind}` {when}"


class Bench:
    """A Stitch, a socket that answers in its place, and a host that must not be told any secret."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.told_elsewhere = b""
        self._ports: dict[str, int] = {}

    @contextmanager
    def set_up(self) -> Iterator[Bench]:
        with ExitStack() as stack:
            self.stitch = stack.enter_context(StitchEmulator(speed=1e-6))
            self.clock = EmulatedClock(self.stitch)
            strike = self.fault.strike or (lambda *_: None)
            self._ports["raw"] = stack.enter_context(_listening(lambda each, _: strike(each, self.stitch)))
            self._ports["elsewhere"] = stack.enter_context(_listening(self._answer_elsewhere))
            with socket.create_server(("127.0.0.1", 0)) as closed:
                self._ports["refused"] = closed.getsockname()[1]
            for module in ("tasks", "operators.run"):
                stack.enter_context(mock.patch(f"airflow_provider_stitch.{module}.time", self.clock))
            yield self

    def _answer_elsewhere(self, connection: socket.socket, asked: bytes) -> None:
        self.told_elsewhere += asked
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def try_out(self, step: Step, *, lasts: bool) -> Cell:
        """Run a task whose request goes wrong once, or always."""
        account = self.stitch.add_account()
        source = account.add_source("github", streams=ROWS)
        account.plan_jobs(source, QUICK)
        began, line = self.clock.time(), Line(self, step, lasts=lasts)
        with (
            StitchClient(account.access_token, base_url=self.stitch.url, monotonic=self._monotonic) as client,
            mock.patch.object(HTTPAdapter, "send", line.send),
        ):
            kind, message = _run(client, self.clock)
        assert account.access_token not in message
        assert account.access_token.encode() not in self.told_elsewhere
        assert line.struck
        told = _in_general_terms(message, self.stitch, account.client_id, source)
        return Cell(kind, told, line.struck, self.clock.time() - began, len(account.jobs(source)))

    def _monotonic(self) -> float:
        if self.fault.drips:
            self.stitch.advance(1)
        return self.clock.time()

    def strikes(self, url: str, step: Step, method: str) -> int | None:
        """Arrange the fault for the coming request. Return the port to which it goes, if not to Stitch's."""
        if self.fault.answer is None:
            return self._ports["raw" if self.fault.strike else "refused"]
        options = self.fault.answer(url)
        headers = {
            name: value.format(port=self._ports["elsewhere"])
            for name, value in options.get("headers", {}).items()
        }
        parts = urlsplit(url)
        target = re.escape(f"{parts.path}?{parts.query}" if parts.query else parts.path)
        options = {**options, "headers": headers, "after_effect": step.is_done, "host": step.host}
        self.stitch.fail(method, f"^{target}$", **options)
        return None


@dataclass
class Line:
    """The way to Stitch, on which a request goes wrong."""

    bench: Bench
    step: Step
    lasts: bool
    seen: int = 0
    struck: int = 0
    original: Any = field(default=HTTPAdapter.send)

    @property
    def send(self) -> Callable[..., Any]:
        """What stands in for `HTTPAdapter.send`."""

        def send(adapter: HTTPAdapter, request: Any, **options: Any) -> Any:
            if not self._strikes(request):
                return self.original(adapter, request, **options)
            port = self.bench.strikes(request.url, self.step, request.method)
            if port is None:
                return self.original(adapter, request, **options)
            if self.step.is_done:
                self.original(adapter, request, **options).close()
            request.url = urlsplit(request.url)._replace(netloc=f"127.0.0.1:{port}").geturl()
            if self.bench.fault.is_silent:
                options["timeout"] = (30, 0.01)
            return self.original(adapter, request, **options)

        return send

    def _strikes(self, request: Any) -> bool:
        parts = urlsplit(request.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if not re.match(self.step.request, f"{request.method} {target}"):
            return False
        self.seen += 1
        if self.seen < self.step.first or (self.struck and not self.lasts):
            return False
        self.struck += 1
        if self.struck > FOR_EVER:
            raise KeyboardInterrupt("The task goes on for ever.")
        return True


class _TaskInstance:
    start_date = None
    max_tries = 0

    def xcom_push(self, **_: Any) -> None:
        pass


def _run(client: StitchClient, clock: EmulatedClock) -> tuple[str | None, str]:
    """Run the task; return the kind and the text of its error."""
    budget = RequestBudget(30, monotonic=clock.time)

    class InVirtualTime(StitchRunReplicationJobOperator):
        def reader(self, deadline: float | None) -> AccountSession:
            return AccountSession(
                client, deadline=deadline, clock=clock, budget=budget, warn=self.log.warning
            )

    task = InVirtualTime(
        task_id="replicate", source="github", streams=["commits", "pulls"], timeout=TIMEOUT, retries=0
    )
    task.hook.client = client
    try:
        result = task.execute({"ti": _TaskInstance()})  # type: ignore[typeddict-item]
    except StitchError as error:
        return type(error).__name__, str(error)
    assert result["loaded_at"] is not None
    assert set(result["streams"]) == {"commits", "pulls"}
    return None, ""


@contextmanager
def _listening(converse: Callable[[socket.socket, bytes], None]) -> Iterator[int]:
    """Answer each connection on a port by what is given, with the request as its argument."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    converse(connection, connection.recv(65536))
                except OSError:
                    return  # the client has gone

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _in_general_terms(message: str, stitch: StitchEmulator, client_id: int, source: int) -> str:
    """Replace what is another in each run."""
    text = re.sub(rf"{client_id}\.{source}\.sync\.[0-9a-f-]+", "JOB", message)
    for ours, general in {
        stitch.url: "https://api.stitchdata.com",
        "log at 127.0.0.1": "log at HOST",
        "'127.0.0.1'": "'HOST'",
        "(IncompleteRead)": "(Connection reset by peer)",  # as a slow reader sees it
        str(client_id): "104857",
        str(source): "310442",
    }.items():
        text = text.replace(ours, general)
    return text


# --- The page -------------------------------------------------------------------------------------------

Row = tuple[Step, Cell, Cell]


def rows_of(fault: Fault) -> list[Row]:
    """Try a fault with each request: passing, and lasting."""
    with Bench(fault).set_up() as bench:
        return [
            (step, bench.try_out(step, lasts=False), bench.try_out(step, lasts=True))
            for step in STEPS
            if not (step.is_done and fault.precludes_work)
        ]


def section_of(fault: Fault, rows: list[Row]) -> str:
    """Return what the page says of a fault: requests with the same outcome on a line, then the messages."""
    messages: dict[str, int] = {}
    groups: dict[tuple[str, str], list[str]] = {}
    for step, passing, lasting in rows:
        groups.setdefault((_shown(passing, messages), _shown(lasting, messages)), []).append(step.name)
    lines = ["| request | the fault passes | the fault stays |", "| --- | --- | --- |"]
    for (once, always), names in groups.items():
        lines.append(f"| {'; '.join(names)} | {once} | {always} |")
    said = [f"{number}. {_as_code(message)}" for message, number in messages.items()]
    return "\n".join([f"## {fault.name}", "", *lines, "", *said, ""])


def _shown(cell: Cell, messages: dict[str, int]) -> str:
    if cell.kind is None:
        return cell.outcome
    told = re.sub(r"(GET|POST) https:[^ :]*", "REQUEST", cell.message.replace("\n", " "))
    told = re.sub("x{9,}", "x...", told)
    return f"{cell.outcome} ({messages.setdefault(told, len(messages) + 1)})"


def _as_code(message: str) -> str:
    return f"`` {message} ``" if "`" in message else f"`{message}`"


def sections_in(page: str) -> dict[str, str]:
    """Return the sections of the page by the names of their faults."""
    return {part.partition("\n")[0]: f"## {part}" for part in re.split(r"(?m)^## ", page)[1:]}


def main() -> None:
    head = PAGE.read_text().partition("\n## ")[0].rstrip()
    made = [section_of(fault, rows_of(fault)).rstrip() for fault in FAULTS]
    PAGE.write_text("\n\n".join([head, *made]) + "\n")


if __name__ == "__main__":
    main()
