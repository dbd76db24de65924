"""Try each fault with each request of a task, and write docs/reference/failure-modes.md.

`make fault-table` runs this module. A real operator replicates a source of the emulator over real HTTP, in
virtual time. Virtual time passes only while the task waits.
"""

from __future__ import annotations

import re
import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

import tests.conftest  # noqa: F401 - this import sets a temporary AIRFLOW_HOME before Airflow is imported
from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import StitchError
from airflow_provider_stitch.connect.transport import request as transport_request
from airflow_provider_stitch.connect.transport.session import read_chunk
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.budget.limiter import RequestBudget
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.session import AccountSession
from tests.replication.conftest import EmulatedClock
from tools.faults import FAULTS, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "failure-modes.md"
COMMAND = "make fault-table"

TIMEOUT = 600  #: timeout of the task, in seconds
MAX_ATTEMPTS = 300  #: a number of attempts that the timeout does not permit if each pause lasts a minute

QUICK = JobPlan(discovery_seconds=2, tap_seconds=4, target_seconds=2, prepare_seconds=2, load_seconds=2)
ROWS = {"commits": 120, "issues": 0, "pulls": 7}


@dataclass(frozen=True)
class Step:
    """A request that the task sends."""

    name: str
    request: str  #: regular expression that matches the method, path and query of the request
    first: int = 1  #: number of the first matching request that fails
    is_done: bool = False  #: whether Stitch processes the request, so that only the response is lost
    host: Any = "api"


STEPS = (
    Step("list of sources", r"GET /v4/sources$"),
    Step("list of destinations", r"GET /v4/destinations$"),
    Step("streams before the start", r"GET /v4/sources/\d+/streams$"),
    Step("start request that had no effect", r"POST /v4/sources/\d+/sync$"),
    Step("start request that took effect", r"POST /v4/sources/\d+/sync$", is_done=True),
    Step("details of the source", r"GET /v4/sources/\d+$"),
    Step("streams during the wait", r"GET /v4/sources/\d+/streams$", first=2),
    Step("extractions", r"GET /v4/\d+/extractions\?page=1$"),
    Step("link to the extraction log", r"GET /v4/\d+/extractions/[^?]+$"),
    Step("extraction log", r"GET /[\d.]+\.sync\.[^?]+\?", host="log"),
    Step("loads", r"GET /v4/\d+/loads\?page=1$", first=2),
)


@dataclass(frozen=True)
class Cell:
    """The outcome of a task."""

    kind: str | None  #: class name of the error, or None if the task succeeded
    message: str
    tries: int  #: number of attempts to send the request that failed
    seconds: float  #: duration of the task in seconds
    jobs: int  #: number of jobs that Stitch started for this task

    @property
    def outcome(self) -> str:
        if self.kind is None:
            return "succeeds"
        if self.seconds > TIMEOUT * 3 / 4:  # the task had no time left for another pause
            when = "at the timeout"
        else:
            when = "at once" if self.tries == 1 else "after 5 tries"
        return f"`{self.kind}` {when}"


class Trial:
    """An emulator, a socket that can respond instead of it, and a host that must not receive any secret."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.sent_elsewhere = b""
        self._ports: dict[str, int] = {}

    @contextmanager
    def set_up(self) -> Iterator[Trial]:
        with ExitStack() as stack:
            self.stitch = stack.enter_context(StitchEmulator(speed=1e-6))
            self.clock = EmulatedClock(self.stitch)
            strike = self.fault.strike or (lambda *_: None)
            self._ports["raw"] = stack.enter_context(_listening(lambda each, _: strike(each, self.stitch)))
            self._ports["elsewhere"] = stack.enter_context(_listening(self._answer_elsewhere))
            with socket.create_server(("127.0.0.1", 0)) as closed:
                self._ports["refused"] = closed.getsockname()[1]
            if self.fault.drips:
                stack.enter_context(
                    mock.patch.object(transport_request, "read_chunk", self._read_chunk_slowly)
                )
            for module in ("common.deadline", "operators.run_job"):
                stack.enter_context(mock.patch(f"airflow_provider_stitch.{module}.time", self.clock))
            yield self

    def _answer_elsewhere(self, connection: socket.socket, request: bytes) -> None:
        self.sent_elsewhere += request
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def try_out(self, step: Step, *, lasts: bool) -> Cell:
        """Run a task, and make one of its requests fail.

        :param lasts: whether the request always fails. If False, the request fails once.
        """
        account = self.stitch.add_account()
        source = account.add_source("github", streams=ROWS)
        account.plan_jobs(source, QUICK)
        started_at, transport = self.clock.time(), FaultyTransport(self, step, lasts=lasts)
        with (
            StitchClient(account.access_token, base_url=self.stitch.url, monotonic=self.clock.time) as client,
            mock.patch.object(HTTPAdapter, "send", transport.send),
        ):
            kind, message = _run(client, self.clock)
        assert account.access_token not in message
        assert account.access_token.encode() not in self.sent_elsewhere
        assert transport.struck
        text = _in_general_terms(message, self.stitch, account.client_id, source)
        return Cell(kind, text, transport.struck, self.clock.time() - started_at, len(account.jobs(source)))

    def _read_chunk_slowly(self, response: requests.Response) -> bytes:
        self.stitch.advance(1)
        return read_chunk(response)

    def strikes(self, url: str, step: Step, method: str) -> int | None:
        """Prepare the fault for the next request.

        Return the port to which the request must be sent, or None if the emulator must receive the request.
        """
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
class FaultyTransport:
    """A transport for requests to Stitch, which makes one kind of request fail."""

    trial: Trial
    step: Step
    lasts: bool
    seen: int = 0
    struck: int = 0
    original: Any = field(default=HTTPAdapter.send)

    @property
    def send(self) -> Callable[..., Any]:
        """The function that replaces `HTTPAdapter.send` during the task."""

        def send(adapter: HTTPAdapter, request: Any, **options: Any) -> Any:
            if not self._strikes(request):
                return self.original(adapter, request, **options)
            port = self.trial.strikes(request.url, self.step, request.method)
            if port is None:
                return self.original(adapter, request, **options)
            if self.step.is_done:
                self.original(adapter, request, **options).close()
            request.url = urlsplit(request.url)._replace(netloc=f"127.0.0.1:{port}").geturl()
            if self.trial.fault.is_silent:
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
        if self.struck > MAX_ATTEMPTS:
            raise KeyboardInterrupt("The task does not end.")
        return True


class _TaskInstance:
    start_date = None
    max_tries = 0

    def xcom_push(self, **_: Any) -> None:
        pass


def _run(client: StitchClient, clock: EmulatedClock) -> tuple[str | None, str]:
    """Run the task, and return the class name and the message of its error."""
    budget = RequestBudget(30, monotonic=clock.time)

    class InVirtualTime(StitchRunReplicationJobOperator):
        def session(self, deadline: float | None, time_limit: str = "timeout") -> AccountSession:
            return AccountSession(
                StitchCaller(client, clock=clock, budget=budget),
                deadline=deadline,
                time_limit=time_limit,
                on_warning=self.log.warning,
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
    """Listen on a free port, and call `converse` with each connection and its first request."""
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
                    return  # the client has disconnected

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _in_general_terms(message: str, stitch: StitchEmulator, client_id: int, source: int) -> str:
    """Replace the values that differ between runs of this module."""
    text = re.sub(rf"{client_id}\.{source}\.sync\.[0-9a-f-]+", "JOB", message)
    for ours, general in {
        stitch.url: "https://api.stitchdata.com",
        "log at 127.0.0.1": "log at HOST",
        "'127.0.0.1'": "'HOST'",
        # A slow client reports the same failure with a different message.
        "(IncompleteRead)": "(Connection reset by peer)",
        str(client_id): "104857",
        str(source): "310442",
    }.items():
        text = text.replace(ours, general)
    return text


# --- The page -------------------------------------------------------------------------------------------

Row = tuple[Step, Cell, Cell]


def rows_of(fault: Fault) -> list[Row]:
    """Try a fault with each request, first with a fault that occurs once, and then with a permanent fault."""
    with Trial(fault).set_up() as trial:
        return [
            (step, trial.try_out(step, lasts=False), trial.try_out(step, lasts=True))
            for step in STEPS
            if not (step.is_done and fault.precludes_work)
        ]


def section_of(fault: Fault, rows: list[Row]) -> str:
    """Return the page's section about a fault.

    The table in the section has one row for each outcome, with the requests that lead to this outcome. The
    error messages follow the table.
    """
    messages: dict[str, int] = {}
    groups: dict[tuple[str, str], list[str]] = {}
    for step, passing, lasting in rows:
        groups.setdefault((_shown(passing, messages), _shown(lasting, messages)), []).append(step.name)
    lines = ["| request | the fault occurs once | the fault is permanent |", "| --- | --- | --- |"]
    for (once, always), names in groups.items():
        lines.append(f"| {'; '.join(names)} | {once} | {always} |")
    footnotes = [f"{number}. {_as_code(message)}" for message, number in messages.items()]
    return "\n".join([f"## {fault.name}", "", *lines, "", *footnotes, ""])


def _shown(cell: Cell, messages: dict[str, int]) -> str:
    if cell.kind is None:
        return cell.outcome
    text = re.sub(r"(GET|POST) https:[^ :]*", "REQUEST", cell.message.replace("\n", " "))
    text = re.sub("x{9,}", "x...", text)
    return f"{cell.outcome} ({messages.setdefault(text, len(messages) + 1)})"


def _as_code(message: str) -> str:
    return f"`` {message} ``" if "`" in message else f"`{message}`"


def sections_in(page: str) -> dict[str, str]:
    """Return the sections of the page, by name of the fault."""
    return {part.partition("\n")[0]: f"## {part}" for part in re.split(r"(?m)^## ", page)[1:]}


def main() -> None:
    head = PAGE.read_text().partition("\n## ")[0].rstrip()
    made = [section_of(fault, rows_of(fault)).rstrip() for fault in FAULTS]
    PAGE.write_text("\n\n".join([head, *made]) + "\n")


if __name__ == "__main__":
    main()
