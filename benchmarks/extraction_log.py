"""How fast an extraction log is read, and in how much memory: the memory must not grow with the log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from airflow_provider_stitch.connect._log_streams import MAX_STREAMS
from airflow_provider_stitch.emulator import JobPlan, LogPlan, StitchEmulator
from benchmarks.children import run_child
from benchmarks.results import Result

if TYPE_CHECKING:
    from rich.console import Console

MB = 1_000_000
SMALL, MEDIUM, LARGE = 2 * MB, 20 * MB, 200 * MB
MOST_GROWTH = 4 * MB  #: from the smallest log to the largest of the same form
MOST_MEMORY = 64 * MB  #: for any log, whatever is in it


@dataclass(frozen=True)
class Case:
    """A log to read."""

    name: str
    form: str | None  #: what `child_read_log.py` makes; None: a local Stitch serves it
    size: int  #: bytes
    streams: int  #: that must be found in it


@dataclass(frozen=True)
class Reading:
    """What reading a log took."""

    case: Case
    seconds: float
    cpu_seconds: float
    memory: int  #: bytes
    succeeded: bool | None  #: the log's verdict
    streams: int


USUAL = "usual lines, made in memory"
SERVED = "usual lines, from a local Stitch over HTTP"
CASES = (
    *(Case(USUAL, "usual", size, streams=1) for size in (SMALL, MEDIUM, LARGE)),
    Case("one line without an end", "one line", LARGE, streams=0),
    Case("a new stream in every line", "new streams", LARGE, streams=MAX_STREAMS),
    *(Case(SERVED, None, size, streams=2) for size in (SMALL, LARGE)),
)


def run(console: Console) -> Result:
    """Measure, print a table, and return what was found, with the targets that were missed."""
    with console.status("Reading extraction logs"):
        readings = [_read(case) for case in CASES]
    console.print(_table(readings))
    console.print(
        "Memory is what the process took at most, beyond what it had with everything imported. Over HTTP the "
        "local Stitch writes the log while it is read, which takes longer than the reading.",
        style="dim",
        highlight=False,
    )
    misses = [*_growth(USUAL, readings), *_growth(SERVED, readings), *_faults(readings)]
    return Result(misses, {"readings": [asdict(reading) for reading in readings]})


def _read(case: Case) -> Reading:
    found = _read_served(case.size) if case.form is None else _in_child(form=case.form, size=case.size)
    return Reading(case, **found)


def _read_served(size: int) -> dict[str, Any]:
    with StitchEmulator() as stitch:
        source = stitch.add_source("shop", streams={"orders": 5000, "customers": 40})
        # The plan counts its lines' text alone, which is a bit less than 69% of a line.
        job = stitch.complete_job(source, JobPlan(log=LogPlan(padding_bytes=size * 69 // 100)))
        return _in_child(
            url=stitch.url, token=stitch.access_token, client_id=stitch.client_id, job_name=job.job_name
        )


def _in_child(**task: Any) -> dict[str, Any]:
    return run_child("child_read_log.py", task)


def _table(readings: list[Reading]) -> Table:
    table = Table(title="Reading an extraction log", title_justify="left")
    table.add_column("Log")
    for heading in ("Size", "Time", "CPU", "MB per CPU second", "Memory"):
        table.add_column(heading, justify="right")
    for each in readings:
        table.add_row(
            each.case.name,
            f"{each.case.size / MB:.0f} MB",
            f"{each.seconds:.2f} s",
            f"{each.cpu_seconds:.2f} s",
            f"{each.case.size / MB / each.cpu_seconds:.0f}",
            f"{each.memory / MB:.1f} MB",
        )
    return table


def _growth(name: str, readings: list[Reading]) -> list[str]:
    memory = {each.case.size: each.memory for each in readings if each.case.name == name}
    growth = memory[max(memory)] - memory[min(memory)]
    if growth <= MOST_GROWTH:
        return []
    return [f"{name}: memory grows by {growth / MB:.1f} MB with the log; at most {MOST_GROWTH / MB:.0f} MB"]


def _faults(readings: list[Reading]) -> list[str]:
    faults = []
    for each in readings:
        name = f"{each.case.name}, {each.case.size / MB:.0f} MB"
        if each.memory > MOST_MEMORY:
            faults.append(
                f"{name}: took {each.memory / MB:.1f} MB of memory; at most {MOST_MEMORY / MB:.0f} MB"
            )
        if not each.succeeded or each.streams != each.case.streams:
            faults.append(f"{name}: misread, verdict {each.succeeded}, {each.streams} streams")
    return faults
