"""The text of an extraction log, line by line, from the timeline of its job.

Three programs write to one log: the runner (``main``), the tap and the target. A line has four fields. The
exit line comes from ``main`` at level INFO, also on failure; a terminated extraction has none.
Source: Stitch documentation, "Interpreting your extraction logs", and the open-source programs.
"""

from __future__ import annotations

import heapq
from datetime import timezone
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator import log_of_target as target
from airflow_provider_stitch.emulator.jobs import SIGTERM
from airflow_provider_stitch.emulator.log_lines import Line
from airflow_provider_stitch.emulator.log_of_tap import state_before, state_updates, tap_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_stitch.emulator.jobs import Outcome, Timeline

_CHUNK = 64 * 1024
_TAP_RELEASE = "3.1.2"
_CRASH = """\
Traceback (most recent call last):
  File "/usr/local/bin/stitch-orchestrator", line 11, in <module>
    sys.exit(main())
requests.exceptions.HTTPError: 502 Server Error: Bad Gateway for url: https://menagerie.example/state
"""
_PADDING = 'DEBUG HTTP request to "limits" endpoint took 0.211s, returned status code 200'


def log_chunks(timeline: Timeline, now: datetime | None = None) -> Iterator[bytes]:
    """The log in pieces of some 64 kB. With ``now``, only what a running job has written by then."""
    gathered: list[str] = []
    size = 0
    for line in log_lines(timeline, now):
        gathered.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield "".join(gathered).encode()
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered).encode()


def log_lines(timeline: Timeline, now: datetime | None = None) -> Iterator[str]:
    """The log's lines with their line ends; the last may be cut, if the plan says so."""
    left = timeline.log.cut_after_lines
    for text in _all_lines(timeline, timeline.ends_at if now is None else min(now, timeline.ends_at)):
        if left == 0:
            yield text[: len(text) // 2]
            return
        yield text
        left = None if left is None else left - 1


def _all_lines(timeline: Timeline, until: datetime) -> Iterator[str]:
    batches = list(target.batch_lines(timeline))
    body = heapq.merge(
        sorted(
            (
                *_start(timeline, batches),
                *tap_lines(timeline),
                *batches,
                *state_updates(timeline),
            ),
            key=_at,
        ),
        _padding(timeline),
        key=_at,
    )
    for line in body:
        if line.at <= until:
            yield _format(line)
    if until < timeline.ends_at:
        return
    for extra in timeline.log.extra_lines:
        yield extra + "\n"
    if timeline.terminated:
        return
    if timeline.log.runner_crashes:
        yield _format(_tear_down(timeline))
        yield _CRASH
        return
    for line in _end(timeline):
        yield _format(line)


def _at(line: Line) -> datetime:
    return line.at


def _format(line: Line) -> str:
    at = line.at.astimezone(timezone.utc).isoformat(" ", "milliseconds")
    return f"{at[:19]},{at[20:23]}Z {line.location:>6} - {line.text}\n"


def _start(timeline: Timeline, batches: list[Line]) -> Iterator[Line]:
    """The lines until tap and target are under way. The target is before the first of its batches."""
    tap, (name, release) = timeline.tap_name, target.program(timeline)
    at = timeline.begins_at
    yield Line(at, "main", f"INFO Running {tap} version {_TAP_RELEASE} and {name} version {release}")
    if timeline.has_discovery:
        command = f"tap-env/bin/{tap} --config /tmp/tap_discover_config.json --discover"
        yield Line(at, "main", f"INFO Starting tap in discovery mode: {command}")
    if timeline.tap is None:
        return
    at = min((timeline.tap_begins_at, *(line.at for line in batches)))
    if timeline.has_discovery:
        yield Line(at, "main", "INFO Tap exited with status 0")
    producer = (
        "INFO [smart-services] building smart service producer: topic( com.stitchdata.{} ), use_ssl( true )"
    )
    yield Line(at, "main", producer.format("extractionJobStarted"))
    yield Line(at, "main", producer.format("streamRecordCount"))
    yield Line(at, "main", f"INFO Current state: {state_before(timeline)}")
    command = f"tap-env/bin/{tap} --config /tmp/tap_config.json --catalog /tmp/properties.json"
    yield Line(at, "main", f"INFO Starting tap: {command} --state /tmp/tap_state.json")
    command = f"target-env/bin/{name} --config /tmp/target_config.json"
    yield Line(at, "main", f"INFO Starting target: {command}")
    first = target.first_line(timeline)
    if first is not None:
        yield Line(at, "target", first)


def _padding(timeline: Timeline) -> Iterator[Line]:
    """Lines without meaning, spread over the time of the tap."""
    count = -(-timeline.log.padding_bytes // len(_PADDING)) if timeline.tap else 0
    if not count:
        return
    step = (timeline.ends_at - timeline.tap_begins_at) / (count + 1)
    at = timeline.tap_begins_at
    for _ in range(count):
        at += step
        yield Line(at, "tap", _PADDING)


def _end(timeline: Timeline) -> Iterator[Line]:
    at, tap = timeline.ends_at, timeline.tap or timeline.discovery
    target_failed = timeline.target is not None and timeline.target.exit_status != 0
    if tap is not None and tap.exit_status and not (target_failed and tap.exit_status == SIGTERM):
        yield from _error(tap, "tap", at)
        yield Line(at, "main", f"INFO Tap exited abnormally with status {tap.exit_status}")
    elif timeline.target is not None and not target_failed:
        for text in target.last_lines(timeline):
            yield Line(at, "target", text)
        yield Line(at, "main", "INFO Target exited normally with status 0")
    if timeline.target is not None and target_failed:
        yield from target.refusal_lines(timeline, timeline.target.description or "", at)
        yield from _error(timeline.target, "target", at)
        status = timeline.target.exit_status
        yield Line(at, "main", f"ERROR Target exited abnormally with status {status}. Terminating tap.")
    yield _tear_down(timeline)
    if timeline.log.exit_line:
        yield Line(at, "main", f"INFO Exit status is: {_exit_status(timeline)}")


def _tear_down(timeline: Timeline) -> Line:
    return Line(timeline.ends_at, "main", "INFO No tunnel subprocess to tear down")


def _error(outcome: Outcome, location: str, at: datetime) -> Iterator[Line]:
    """The message of a phase that failed. A process that a signal killed leaves none."""
    if outcome.description is None:
        return
    first, *rest = outcome.description.split("\n")
    yield Line(at, location, f"CRITICAL {first}")
    for continuation in rest:
        yield Line(at, location, continuation)


def _exit_status(timeline: Timeline) -> str:
    phases = (("Discovery", timeline.discovery), ("Tap", timeline.tap), ("Target", timeline.target))
    return " ".join(_clause(phase, outcome) for phase, outcome in phases if outcome is not None)


def _clause(phase: str, outcome: Outcome) -> str:
    if outcome.exit_status == 0:
        return f"{phase} succeeded."
    if outcome.description is None:
        return f"{phase} failed with code {outcome.exit_status}."
    message = outcome.description.replace("\n", "\\n")  # two characters, as in the documented samples
    return f'{phase} failed with code {outcome.exit_status} and error message: "{message}".'
