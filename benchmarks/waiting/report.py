"""The tables and the targets of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

from benchmarks.waiting.measurement import Measurement, Stall

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REQUESTS = 30  #: Stitch's limit on requests in any 10 minutes
MAX_STALL = 0.050  #: seconds
MAX_MEMORY = 10_000  #: maximum bytes per waiting task, in addition to the memory of an idle trigger


@dataclass(frozen=True)
class JobEndings:
    """The requests and delays while the jobs of all tasks end. Times are in seconds of Stitch's time."""

    minutes: float  #: minutes of Stitch's time in which requests were counted
    limited_requests: int
    busiest_window: int  #: highest number of rate-limited requests in any 10 minutes
    spread_seconds: float = 0.0  #: time from the end of the first job to the end of the last job
    missing: int = 0  #: number of tasks without an event
    failed: int = 0  #: number of tasks with an event that contains an error
    errors: list[str] = field(default_factory=list)  #: messages of the first errors
    stall: Stall = field(default_factory=Stall)  #: longest stall while the jobs end
    delays: list[float] = field(default_factory=list)  #: time from the end of each job until its task resumes


@dataclass(frozen=True)
class IdleBaselines:
    """The measurements of idle triggers."""

    airflow: Measurement  #: measured with the same number of idle triggers as sensors
    requests: Measurement  #: measured with fewer triggers, which import the `requests` library


@dataclass(frozen=True)
class Findings:
    """The measurements of this provider."""

    many: Measurement
    endings: JobEndings
    idle: IdleBaselines
    few: Measurement


class Line(NamedTuple):
    """A row of the table. If the row has no target, `is_met` is None."""

    name: str
    value: str
    target: str = ""
    is_met: bool | None = None


def many_table(findings: Findings) -> Table:
    """Return the table with the figures of this provider's sensors and the targets."""
    title = f"{findings.many.count} Stitch sensors wait in one triggerer"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("Measured", "Target", ""):
        table.add_column(heading, justify="right")
    for line in _all_lines(findings):
        status = "" if line.is_met is None else "met" if line.is_met else "[bold red]missed[/]"
        table.add_row(line.name, line.value, line.target, status)
    return table


def _all_lines(findings: Findings) -> list[Line]:
    many = findings.many
    return [
        _requests_line(findings.endings),
        *_stall_lines(findings),
        *_memory_lines(findings),
        *_ending_lines(findings.endings),
        Line("Time until all triggers run", f"{many.startup_seconds:.0f} s"),
        Line("CPU of the triggerer while the tasks wait", f"{many.cpu * 100:.0f}%"),
    ]


def _requests_line(endings: JobEndings) -> Line:
    return Line(
        f"Rate-limited requests in any 10 of {endings.minutes:.0f} minutes",
        str(endings.busiest_window),
        f"at most {MAX_REQUESTS}",
        endings.busiest_window <= MAX_REQUESTS,
    )


def _stall_lines(findings: Findings) -> Iterator[Line]:
    many, few = findings.many, findings.few
    stall = many.steady_stall.own_seconds
    yield Line(
        "Event loop blocked while the tasks wait",
        _milliseconds(stall),
        f"at most {_milliseconds(MAX_STALL)}",
        stall <= MAX_STALL,
    )
    yield from _collection_lines(findings)
    yield Line("Event loop blocked while the tasks start", _milliseconds(many.startup_stall.own_seconds))
    yield Line(
        f"Event loop blocked while {few.count} jobs end at once",
        _milliseconds(few.ending_stall.own_seconds) if few.ending_stall else "",
    )
    yield Line(
        "  while all jobs end, with accelerated clocks", _milliseconds(findings.endings.stall.own_seconds)
    )


def _collection_lines(findings: Findings) -> Iterator[Line]:
    ours, idle = findings.many.collections, findings.idle.airflow.collections
    yield Line("  longest garbage collection since their start", _milliseconds(ours.longest))
    yield Line("    of idle triggers", _milliseconds(idle.longest))
    yield Line("  duration of a full garbage collection", _milliseconds(ours.full_seconds))
    yield Line("    of idle triggers", _milliseconds(idle.full_seconds))
    yield Line("  full garbage collections since their start", str(ours.full))
    yield Line("    of idle triggers", str(idle.full))
    yield Line("  objects in cyclic garbage, per task", f"{ours.objects / findings.many.count:.1f}")
    yield Line("    of idle triggers", f"{idle.objects / findings.idle.airflow.count:.1f}")


def _memory_lines(findings: Findings) -> Iterator[Line]:
    many, idle = findings.many, findings.idle
    own_memory = many.memory_per_task - idle.airflow.memory_per_task
    yield Line(
        "Memory per waiting task, minus the memory of an idle trigger",
        _kilobytes(own_memory),
        f"at most {_kilobytes(MAX_MEMORY)}",
        own_memory <= MAX_MEMORY,
    )
    yield Line("  of the waiting task", _kilobytes(many.memory_per_task))
    yield Line("  of the idle trigger", _kilobytes(idle.airflow.memory_per_task))
    yield Line("Fixed memory, for any number of tasks", _megabytes(many.fixed_memory))
    requests_memory = idle.requests.fixed_memory - idle.airflow.fixed_memory
    yield Line("  memory of `requests` and its imports", _megabytes(requests_memory))
    yield Line(f"All memory, divided by {many.count} tasks", _kilobytes(many.memory / many.count))
    yield Line(
        "  of idle triggers with `requests` imported",
        _kilobytes((idle.airflow.memory + requests_memory) / idle.airflow.count),
    )


def _ending_lines(endings: JobEndings) -> Iterator[Line]:
    delays = sorted(endings.delays)
    unsuccessful = endings.missing + endings.failed
    yield Line("Tasks without an event, or with an error", str(unsuccessful), "0", unsuccessful == 0)
    yield Line(
        "Delay from the end of a job until its task resumes, median", _seconds(delays[len(delays) // 2 :])
    )
    yield Line("  longest", _seconds(delays[-1:]))


def providers_table(providers: list[Measurement]) -> Table:
    """Return the table that compares the providers. The first row of the table contains this provider."""
    title = f"{providers[0].count} tasks of each provider wait"
    table = Table(title=title, title_justify="left")
    table.add_column("Provider")
    headings = (
        "Blocked",
        "during start",
        "Fixed memory",
        "per task",
        "ratio to ours",
        "Requests per minute",
        "CPU",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    ours = providers[0]
    for each in providers:
        table.add_row(
            each.name,
            _milliseconds(each.steady_stall.own_seconds),
            _milliseconds(each.startup_stall.own_seconds),
            _megabytes(each.fixed_memory),
            _kilobytes(each.memory_per_task),
            f"{each.memory_per_task / ours.memory_per_task:.1f}",
            f"{each.requests_per_minute:.0f}",
            f"{each.cpu * 100:.0f}%",
        )
    return table


def misses(findings: Findings) -> list[str]:
    """Return a message for each missed target, and a message for each of the first errors."""
    return [
        f"{findings.many.count} waiting sensors: {line.name}: {line.value}; {line.target}"
        for line in _all_lines(findings)
        if line.is_met is False
    ] + [f"One of the errors: {error}" for error in findings.endings.errors]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _seconds(values: list[float]) -> str:
    return f"{values[0]:.0f} s" if values else ""


def _kilobytes(size: float) -> str:
    return f"{size / 1000:.1f} kB"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"
