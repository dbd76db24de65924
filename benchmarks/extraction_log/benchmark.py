"""Read extraction logs of several kinds and sizes, each in a new process."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from airflow_provider_stitch.connect.log_parser.streams import MAX_STREAMS
from airflow_provider_stitch.emulator import JobPlan, LogPlan, StitchEmulator
from benchmarks.results import Result
from benchmarks.subprocesses import run_worker

if TYPE_CHECKING:
    from rich.console import Console

READ_LOG = Path(__file__).parent / "workers" / "read_log.py"
MB = 1_000_000
SMALL, MEDIUM, LARGE = 2 * MB, 20 * MB, 200 * MB
MAX_GROWTH = 4 * MB  #: maximum difference in memory between the smallest and the largest log of a kind
MAX_MEMORY = 64 * MB  #: maximum memory needed to read a log


@dataclass(frozen=True)
class Case:
    """An extraction log to read."""

    name: str
    form: str | None  #: kind of log for `read_log.py` to generate; None for a log from a local Stitch
    size: int  #: bytes
    streams: int  #: number of streams that the parser must find


@dataclass(frozen=True)
class Reading:
    """The time and memory that were needed to read a log, and the result of the parser."""

    case: Case
    seconds: float
    cpu_seconds: float
    memory: int  #: bytes
    succeeded: bool | None  #: whether the parser reports that the job succeeded
    streams: int


AVRO = "Avro target, generated in memory"
TARGET_STITCH = "target-stitch with counters, generated in memory"
SERVED = "target-stitch, from a local Stitch over HTTP"
CASES = (
    *(Case(AVRO, "avro", size, streams=1) for size in (SMALL, MEDIUM, LARGE)),
    *(Case(TARGET_STITCH, "target-stitch", size, streams=4) for size in (SMALL, MEDIUM, LARGE)),
    Case("one line without an end", "one line", LARGE, streams=0),
    Case("a new stream in every line", "new streams", LARGE, streams=MAX_STREAMS),
    *(Case(SERVED, None, size, streams=2) for size in (SMALL, LARGE)),
)


def run(console: Console) -> Result:
    """Run the benchmark, print a table, and return the figures and the missed targets."""
    with console.status("Reading extraction logs"):
        readings = [_read(case) for case in CASES]
    console.print(_table(readings))
    console.print(
        "Memory is the peak of the process, minus its memory after all imports. Over HTTP, the local Stitch "
        "generates the log while it is read, which takes longer than reading it.",
        style="dim",
        highlight=False,
    )
    growth = [miss for kind in (AVRO, TARGET_STITCH, SERVED) for miss in _growth_misses(kind, readings)]
    return Result(
        [*growth, *_reading_misses(readings)], {"readings": [asdict(reading) for reading in readings]}
    )


def _read(case: Case) -> Reading:
    if case.form is None:
        return Reading(case, **_read_served(case.size))
    return Reading(case, **run_worker(READ_LOG, {"form": case.form, "size": case.size}))


def _read_served(size: int) -> dict[str, Any]:
    with StitchEmulator() as stitch:
        source = stitch.add_source("shop", streams={"orders": 5000, "customers": 40})
        # `padding_bytes` does not include the prefixes of the lines. The text after the prefixes is about 69
        # % of a log.
        job = stitch.complete_job(source, JobPlan(log=LogPlan(padding_bytes=size * 69 // 100)))
        task = {"url": stitch.url, "token": stitch.access_token, "client_id": stitch.client_id}
        return run_worker(READ_LOG, {**task, "job_name": job.job_name})


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


def _growth_misses(name: str, readings: list[Reading]) -> list[str]:
    memory = {each.case.size: each.memory for each in readings if each.case.name == name}
    growth = memory[max(memory)] - memory[min(memory)]
    if growth <= MAX_GROWTH:
        return []
    return [f"{name}: memory grows by {growth / MB:.1f} MB with the log; at most {MAX_GROWTH / MB:.0f} MB"]


def _reading_misses(readings: list[Reading]) -> list[str]:
    misses = []
    for each in readings:
        name = f"{each.case.name}, {each.case.size / MB:.0f} MB"
        if each.memory > MAX_MEMORY:
            misses.append(
                f"{name}: takes {each.memory / MB:.1f} MB of memory; at most {MAX_MEMORY / MB:.0f} MB"
            )
        if not each.succeeded or each.streams != each.case.streams:
            misses.append(
                f"{name}: expected success and {each.case.streams} streams; "
                f"the parser returned {each.succeeded} and {each.streams} streams"
            )
    return misses
