"""Measure many waiting triggers of this provider, and then fewer waiting triggers of each provider."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import Result
from benchmarks.subprocesses import WorkerProcess
from benchmarks.triggerer.airflow_home import AirflowHome
from benchmarks.waiting.competing_triggers import (
    POLL_INTERVAL,
    airflow_connections,
    competing_subjects,
    idle_trigger,
    stitch_trigger,
)
from benchmarks.waiting.measurement import Measurement, Stall, Subject, longest_stall, measure
from benchmarks.waiting.report import Findings, IdleBaselines, JobEndings, many_table, misses, providers_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from benchmarks.triggerer.process import Triggerer

WORKERS = Path(__file__).parent / "workers"

MANY = 1000  #: number of this provider's triggers

# One of every ONE_LOADING_IN triggers waits for loading, and all others wait for extraction. Few triggers
# wait for loading, because each such wait needs a rate-limited request for a log.
ONE_LOADING_IN = 50

# Speed of the clocks, relative to real time. The clocks of the triggerer have this speed once all sensors are
# waiting, and the clock of the local Stitch always has this speed.
SPEED = 15.0
ENDS_SPREAD = 400.0  #: seconds of Stitch's time from the end of the first job to the end of the last job
MAX_ENDING_DELAY = 900.0  #: maximum seconds of Stitch's time from the end of the last job to the last event
STEADY_SECONDS_OF_MANY = 30.0
STEADY_SECONDS_OF_IDLE = 10.0

FEW = 200  #: number of triggers when each provider is measured, one provider after the other
STEADY_SECONDS_OF_FEW = POLL_INTERVAL  #: in this time, each trigger of the other providers polls exactly once
MIN_JOB_SECONDS = 30.0
ENDING_TIMEOUT = 300.0  #: maximum seconds from the start of the jobs until all tasks have finished
RESPONSE_DELAY = 0.05  #: seconds that the servers wait before each response

NOTE = (
    "Blocked: the longest time during which the triggerer's event loop could not run. It does not include "
    "the time while other processes used all cores, or the time of Python's garbage collections, which visit "
    "all objects that Airflow has loaded. Memory: the memory of the process minus its memory without waiting "
    "tasks, after a garbage collection. The memory per task is measured with the last nine tenths of the "
    f"tasks, when modules, threads and connections already exist. While {MANY} tasks wait, the clocks run "
    f"{SPEED:g} times as fast as real time. One in {ONE_LOADING_IN} tasks waits for loading, and all other "
    "tasks wait for extraction."
)


@dataclass(frozen=True)
class Servers:
    """The local servers, with the data that clients need to connect to the servers."""

    fast_stitch: WorkerProcess
    fast_account: dict[str, Any]
    stitch: WorkerProcess
    account: dict[str, Any]
    stub: WorkerProcess
    ports: dict[str, int]
    certificate: Path


def run(console: Console) -> Result:
    """Run the benchmark, print tables, and return the figures and the missed targets."""
    with (
        tempfile.TemporaryDirectory(prefix="stitch-", ignore_cleanup_errors=True) as name,
        console.status("Creating Airflow's database") as status,
        ExitStack() as stack,
    ):
        home = AirflowHome(Path(name) / "airflow")
        home.create_database()
        stack.enter_context(home.database)
        servers = _start_servers(stack, Path(name))
        connections = airflow_connections(servers.fast_account, servers.account, servers.ports)
        home.database.call("set_up", connections=connections)
        findings, providers = _measure_all(status, home, servers)
    console.print(many_table(findings))
    console.print(providers_table(providers))
    console.print(NOTE, style="dim", highlight=False)
    figures = asdict(findings)
    figures["providers"] = [{**asdict(each), "blocked": each.steady_stall.own_seconds} for each in providers]
    return Result(misses(findings), figures)


def _start_servers(stack: ExitStack, folder: Path) -> Servers:
    def start(script: str, name: str) -> WorkerProcess:
        return stack.enter_context(WorkerProcess(WORKERS / script, folder / f"{name}.out"))

    fast_stitch, stitch = (start("local_stitch.py", name) for name in ("fast_stitch", "stitch"))
    stub = start("provider_stub.py", "provider_stub")
    certificate = folder / "certificate.pem"
    return Servers(
        fast_stitch=fast_stitch,
        fast_account=fast_stitch.call("set_up", count=MANY, speed=SPEED, delay=0.0),
        stitch=stitch,
        account=stitch.call("set_up", count=FEW, speed=1.0, delay=RESPONSE_DELAY),
        stub=stub,
        ports=stub.call("set_up", delay=RESPONSE_DELAY, certificate=str(certificate)),
        certificate=certificate,
    )


def _measure_all(status: Status, home: AirflowHome, servers: Servers) -> tuple[Findings, list[Measurement]]:
    status.update(f"{MANY} Stitch sensors are waiting")
    many, endings = _measure_many(home, servers.fast_stitch, servers.fast_account)
    status.update("Idle triggers are waiting")
    idle = IdleBaselines(_measure_idle(home, "Idle", MANY), _measure_idle(home, "IdleWithRequests", FEW))
    status.update(f"{FEW} tasks are waiting: Stitch")
    few = _measure_few(home, _stitch_subject(servers), servers.stitch)
    providers = [few]
    for subject in competing_subjects(FEW, servers.stub, servers.ports, servers.certificate):
        status.update(f"{FEW} tasks are waiting: {subject.name}")
        providers.append(_measure_few(home, subject))
    providers.append(replace(idle.airflow, name=f"Airflow alone: {MANY:,} idle triggers"))
    return Findings(many, endings, idle, few), providers


# --- Many triggers --------------------------------------------------------------------------------------


def _measure_many(
    home: AirflowHome, stitch: WorkerProcess, account: dict[str, Any]
) -> tuple[Measurement, JobEndings]:
    half = MANY // 2
    # Triggers that wait for a job name need running jobs. The jobs end after the steady state has been
    # measured.
    durations = _spread_durations(half, first=SPEED * 120.0)
    jobs = stitch.call("start_jobs", first=0, durations=durations)["jobs"]
    started_at = datetime.fromisoformat(account["now"])
    triggers = [
        stitch_trigger(
            "stitch_fast",
            account,
            number,
            jobs[number] if number < half else started_at,
            loading=number % ONE_LOADING_IN == 0,
        )
        for number in range(MANY)
    ]
    subject = Subject("Stitch", triggers, lambda: _request_count(stitch))
    with home.triggerer("many") as triggerer:
        measurement = measure(triggerer, subject, STEADY_SECONDS_OF_MANY, SPEED)
        second_start = stitch.call("statistics")["now"]
        second_durations = _spread_durations(MANY - half, first=60.0)
        stitch.call("start_jobs", first=half, durations=second_durations)
        ends = [started_at.timestamp() + each for each in durations]
        ends += [second_start + each for each in second_durations]
        return measurement, _wait_for_endings(triggerer, stitch, ends, started_at.timestamp())


def _spread_durations(count: int, first: float) -> list[float]:
    """Return the durations of jobs that end one after the other, at regular intervals."""
    return [first + ENDS_SPREAD * number / count for number in range(count)]


def _wait_for_endings(
    triggerer: Triggerer, stitch: WorkerProcess, ends: list[float], started_at: float
) -> JobEndings:
    """Wait until all tasks have finished or the timeout has passed.

    :param ends: the times when the jobs end, in Stitch's time (epoch).
    :param started_at: the time from which rate-limited requests are counted, in Stitch's time (epoch).
    """
    waiting_since, statistics = time.time(), stitch.call("statistics")
    timeout = (max(ends) - statistics["now"] + MAX_ENDING_DELAY) / SPEED
    deadline = time.monotonic() + timeout
    while triggerer.count_deferred() and time.monotonic() < deadline:
        time.sleep(1.0)
    events, statistics = triggerer.events(), stitch.call("statistics")
    errors = [each["event"]["error"]["message"] for each in events if each["event"]["error"]]
    finished_at = [statistics["now"] + (each["at"] - statistics["at"]) * SPEED for each in events]
    return JobEndings(
        minutes=(statistics["now"] - started_at) / 60,
        limited_requests=statistics["limited"],
        busiest_window=statistics["busiest_window"],
        spread_seconds=max(ends) - min(ends),
        missing=MANY - len(events),
        failed=len(errors),
        errors=errors[:3],
        stall=longest_stall(triggerer.samples(), waiting_since, time.time()),
        # The task with index 0 runs the probe.
        delays=[at - ends[each["index"] - 1] for at, each in zip(finished_at, events, strict=True)],
    )


def _measure_idle(home: AirflowHome, class_name: str, count: int) -> Measurement:
    """Measure Airflow itself, with triggers of a class in `idle_triggers`."""
    subject = Subject(class_name, [idle_trigger(class_name)] * count, lambda: 0)
    with home.triggerer(class_name) as triggerer:
        return measure(triggerer, subject, STEADY_SECONDS_OF_IDLE)


# --- A few triggers of each provider --------------------------------------------------------------------


def _stitch_subject(servers: Servers) -> Subject:
    account = servers.account
    started_at = datetime.fromisoformat(account["now"])
    triggers = [stitch_trigger("stitch_slow", account, number, started_at) for number in range(FEW)]
    return Subject("Stitch", triggers, lambda: _request_count(servers.stitch))


def _request_count(stitch: WorkerProcess) -> int:
    return int(stitch.call("statistics")["requests"])


def _measure_few(home: AirflowHome, subject: Subject, stitch: WorkerProcess | None = None) -> Measurement:
    """Measure the waiting tasks of one provider.

    :param stitch: a local Stitch, in which all jobs end after the steady state. Pass None for other
        providers.
    """
    run_id = subject.name.partition(":")[0].replace(" ", "_")
    with home.triggerer(run_id, **subject.environment) as triggerer:
        measurement = measure(triggerer, subject, STEADY_SECONDS_OF_FEW)
        if triggerer.count_deferred() != FEW:
            events = triggerer.events()
            raise RuntimeError(f"{subject.name}: {len(events)} tasks stopped waiting: {events[:1]}")
        if stitch is not None:
            measurement.ending_stall = _measure_ending(triggerer, stitch)
        return measurement


def _measure_ending(triggerer: Triggerer, stitch: WorkerProcess) -> Stall:
    """End all jobs at once, in real time. Return the longest stall until all tasks have finished."""
    started_at = time.time()
    stitch.call("start_jobs", first=0, durations=[MIN_JOB_SECONDS] * FEW)
    triggerer.wait_until(
        lambda: triggerer.count_deferred() == 0, f"{FEW} tasks to finish", timeout_seconds=ENDING_TIMEOUT
    )
    return longest_stall(triggerer.samples(), started_at, time.time())
