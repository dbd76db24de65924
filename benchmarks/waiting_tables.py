"""The tables of the benchmark of waiting, and which of its targets are missed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.cost_of_waiting import Stall

if TYPE_CHECKING:
    from benchmarks.cost_of_waiting import Measured

MOST_REQUESTS = 30  #: in any 10 minutes. Source: Stitch Connect API, "Rate limits"
MOST_STALL = 0.050  #: seconds
MOST_MEMORY = 20_000  #: bytes for a waiting task


@dataclass
class Limit:
    """How Stitch's limit was kept, and when the tasks learned of the ends. Times are Stitch's seconds."""

    minutes: float  #: of Stitch's time that the count covers
    limited: int
    busiest_window: int
    jobs_ended_in: float = 0.0  #: from the first end to the last
    missing: int = 0  #: tasks without an outcome
    stall: Stall = field(default_factory=Stall)  #: the longest while jobs end
    failed: int = 0  #: tasks whose outcome is an error
    errors: list[str] = field(default_factory=list)  #: the first few of these
    learned_after: list[float] = field(default_factory=list)  #: of each job, from its end


@dataclass(frozen=True)
class Alone:
    """What as many triggers cost that do nothing."""

    airflow: Measured
    requests: Measured  #: with `requests` imported


def table_of_many(many: Measured, alone: Alone, limit: Limit, few: Measured) -> Table:
    """Return what was found of many waiting sensors of ours, and of a few of them, beside the targets."""
    table = Table(title=f"{many.count} Stitch sensors wait in one triggerer", title_justify="left")
    table.add_column("")
    for heading in ("Measured", "Target", ""):
        table.add_column(heading, justify="right")
    for name, found, target, met in _lines(many, alone, limit, few):
        table.add_row(name, found, target, "" if met is None else "met" if met else "[bold red]missed[/]")
    return table


def _lines(
    many: Measured, alone: Alone, limit: Limit, few: Measured
) -> list[tuple[str, str, str, bool | None]]:
    """Return of all that is told a name, what was found, the target, and whether it is met."""
    learned = sorted(limit.learned_after)
    lost = limit.missing + limit.failed
    limited, stall, memory = limit.busiest_window, many.stall.own, many.memory_of_task
    return [
        (
            f"Limited requests in any 10 of {limit.minutes:.0f} minutes",
            str(limited),
            f"at most {MOST_REQUESTS}",
            limited <= MOST_REQUESTS,
        ),
        (
            "Event loop blocked while they wait",
            _milliseconds(stall),
            f"at most {_milliseconds(MOST_STALL)}",
            stall <= MOST_STALL,
        ),
        ("  longest garbage collection of Python's", _milliseconds(many.collecting), "", None),
        ("Event loop blocked while they are being started", _milliseconds(many.stall_starting.own), "", None),
        (
            f"Event loop blocked while {few.count} jobs end at once",
            _milliseconds(few.stall_ending.own) if few.stall_ending else "",
            "",
            None,
        ),
        ("  while all jobs end, many times as fast", _milliseconds(limit.stall.own), "", None),
        (
            "Memory of a waiting task",
            _kilobytes(memory),
            f"at most {_kilobytes(MOST_MEMORY)}",
            memory <= MOST_MEMORY,
        ),
        ("  of a task whose trigger does nothing", _kilobytes(alone.airflow.memory_of_task), "", None),
        ("Memory taken once, however many wait", _megabytes(many.memory_once), "", None),
        ("  by `requests` and what it imports", _megabytes(_of_requests(alone)), "", None),
        (f"All that memory for each of {many.count}", _kilobytes(many.memory / many.count), "", None),
        (
            "  if its trigger does nothing, with `requests` imported",
            _kilobytes(alone.requests.memory / alone.requests.count),
            "",
            None,
        ),
        ("Tasks without an outcome, or with an error", str(lost), "0", lost == 0),
        (
            "From a job's end to its task's resumption, median",
            _seconds(learned[len(learned) // 2 :]),
            "",
            None,
        ),
        ("  longest", _seconds(learned[-1:]), "", None),
        ("Until all triggers ran", f"{many.starting:.0f} s", "", None),
        ("CPU of the triggerer while they wait", f"{many.cpu * 100:.0f}%", "", None),
    ]


def table_of_few(few: list[Measured]) -> Table:
    """Return what was found of each provider, ours first."""
    title = f"{few[0].count} tasks of each provider wait"
    table = Table(title=title, title_justify="left")
    table.add_column("Provider")
    headings = (
        "Blocked",
        "while started",
        "Memory: once",
        "each task",
        "of ours",
        "Requests a minute",
        "CPU",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    ours = few[0]
    for each in few:
        table.add_row(
            each.name,
            _milliseconds(each.stall.own),
            _milliseconds(each.stall_starting.own),
            _megabytes(each.memory_once),
            _kilobytes(each.memory_of_task),
            f"{each.memory_of_task / ours.memory_of_task:.1f}",
            f"{each.requests_a_minute:.0f}",
            f"{each.cpu * 100:.0f}%",
        )
    return table


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _seconds(several: list[float]) -> str:
    return f"{several[0]:.0f} s" if several else ""


def _kilobytes(size: float) -> str:
    return f"{size / 1000:.1f} kB"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def _of_requests(alone: Alone) -> float:
    return alone.requests.memory_once - alone.airflow.memory_once


def misses(many: Measured, alone: Alone, limit: Limit, few: Measured) -> list[str]:
    """Return the targets that were missed, in words."""
    return [
        f"{many.count} waiting sensors: {name}: {found}; {target}"
        for name, found, target, met in _lines(many, alone, limit, few)
        if met is False
    ] + [f"An error of these: {error}" for error in limit.errors]
