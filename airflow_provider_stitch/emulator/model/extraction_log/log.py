"""The text of an extraction log, generated from the timeline of the job.

Three programs write to the log: the runner (``main``), the tap and the target. Each log line has four fields.
The exit line always has the location ``main`` and the level INFO, even after a failure. The log of a
terminated extraction has no exit line. The format is from "Interpreting your extraction logs" in the Stitch
documentation, and from the open-source programs.
"""

from __future__ import annotations

import heapq
from datetime import timezone
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.model.extraction_log import target_lines as target
from airflow_provider_stitch.emulator.model.extraction_log.lines import Line
from airflow_provider_stitch.emulator.model.extraction_log.tap_lines import (
    state_before,
    state_updates,
    tap_lines,
)
from airflow_provider_stitch.emulator.model.jobs.timeline import SIGTERM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.jobs.timeline import PhaseResult, Timeline

_CHUNK_SIZE = 64 * 1024
_TAP_RELEASE = "3.1.2"
_CRASH = """\
Traceback (most recent call last):
  File "/usr/local/bin/stitch-orchestrator", line 11, in <module>
    sys.exit(main())
requests.exceptions.HTTPError: 502 Server Error: Bad Gateway for url: https://menagerie.example/state
"""
_PADDING = 'DEBUG HTTP request to "limits" endpoint took 0.211s, returned status code 200'


def log_chunks(timeline: Timeline, now: datetime | None = None) -> Iterator[bytes]:
    """Yield the extraction log in chunks of about 64 kB.

    :param now: the current time. Log lines after this time are not included. If None, all lines are
        included.
    """
    lines: list[str] = []
    size = 0
    for line in log_lines(timeline, now):
        lines.append(line)
        size += len(line)
        if size >= _CHUNK_SIZE:
            yield "".join(lines).encode()
            lines, size = [], 0
    if lines:
        yield "".join(lines).encode()


def log_lines(timeline: Timeline, now: datetime | None = None) -> Iterator[str]:
    """Yield the lines with line breaks. If the plan cuts the log, the last line is incomplete."""
    remaining = timeline.log.cut_after_lines
    for text in _all_lines(timeline, timeline.ends_at if now is None else min(now, timeline.ends_at)):
        if remaining == 0:
            yield text[: len(text) // 2]
            return
        yield text
        remaining = None if remaining is None else remaining - 1


def _all_lines(timeline: Timeline, until: datetime) -> Iterator[str]:
    batches = list(target.batch_lines(timeline))
    body = heapq.merge(
        sorted(
            (
                *_start_lines(timeline, batches),
                *tap_lines(timeline),
                *batches,
                *state_updates(timeline),
            ),
            key=_at,
        ),
        _padding_lines(timeline),
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
        yield _format(_tear_down_line(timeline))
        yield _CRASH
        return
    for line in _end_lines(timeline):
        yield _format(line)


def _at(line: Line) -> datetime:
    return line.at


def _format(line: Line) -> str:
    at = line.at.astimezone(timezone.utc).isoformat(" ", "milliseconds")
    return f"{at[:19]},{at[20:23]}Z {line.location:>6} - {line.text}\n"


def _start_lines(timeline: Timeline, batches: list[Line]) -> Iterator[Line]:
    """Yield the log lines up to the start of the target, which precedes the first batch."""
    tap, (name, release) = timeline.tap_name, target.program(timeline)
    at = timeline.starts_at
    yield Line(at, "main", f"INFO Running {tap} version {_TAP_RELEASE} and {name} version {release}")
    if timeline.has_discovery:
        command = f"tap-env/bin/{tap} --config /tmp/tap_discover_config.json --discover"
        yield Line(at, "main", f"INFO Starting tap in discovery mode: {command}")
    if timeline.tap is None:
        return
    at = min((timeline.tap_starts_at, *(line.at for line in batches)))
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


def _padding_lines(timeline: Timeline) -> Iterator[Line]:
    """Yield irrelevant lines, evenly spaced from the start of the tap to the end of the job."""
    count = -(-timeline.log.padding_bytes // len(_PADDING)) if timeline.tap else 0
    if not count:
        return
    step = (timeline.ends_at - timeline.tap_starts_at) / (count + 1)
    at = timeline.tap_starts_at
    for _ in range(count):
        at += step
        yield Line(at, "tap", _PADDING)


def _end_lines(timeline: Timeline) -> Iterator[Line]:
    at, tap = timeline.ends_at, timeline.tap or timeline.discovery
    target_failed = timeline.target is not None and timeline.target.exit_status != 0
    if tap is not None and tap.exit_status and not (target_failed and tap.exit_status == SIGTERM):
        yield from _error_lines(tap, "tap", at)
        yield Line(at, "main", f"INFO Tap exited abnormally with status {tap.exit_status}")
    elif timeline.target is not None and not target_failed:
        for text in target.last_lines(timeline):
            yield Line(at, "target", text)
        yield Line(at, "main", "INFO Target exited normally with status 0")
    if timeline.target is not None and target_failed:
        yield from target.refusal_lines(timeline, timeline.target.description or "", at)
        yield from _error_lines(timeline.target, "target", at)
        status = timeline.target.exit_status
        yield Line(at, "main", f"ERROR Target exited abnormally with status {status}. Terminating tap.")
    yield _tear_down_line(timeline)
    if timeline.log.exit_line:
        yield Line(at, "main", f"INFO Exit status is: {_exit_status(timeline)}")


def _tear_down_line(timeline: Timeline) -> Line:
    return Line(timeline.ends_at, "main", "INFO No tunnel subprocess to tear down")


def _error_lines(result: PhaseResult, location: str, at: datetime) -> Iterator[Line]:
    """Yield the error message of a failed phase. A process that is killed by a signal logs no message."""
    if result.description is None:
        return
    first, *rest = result.description.split("\n")
    yield Line(at, location, f"CRITICAL {first}")
    for continuation in rest:
        yield Line(at, location, continuation)


def _exit_status(timeline: Timeline) -> str:
    phases = (("Discovery", timeline.discovery), ("Tap", timeline.tap), ("Target", timeline.target))
    return " ".join(_phase_status(phase, result) for phase, result in phases if result is not None)


def _phase_status(phase: str, result: PhaseResult) -> str:
    if result.exit_status == 0:
        return f"{phase} succeeded."
    if result.description is None:
        return f"{phase} failed with code {result.exit_status}."
    message = result.description.replace("\n", "\\n")  # the documented samples contain a backslash and an n
    return f'{phase} failed with code {result.exit_status} and error message: "{message}".'
