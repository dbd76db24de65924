"""Let 100 tasks wait for extractions, either deferred or as sensors that poke, with and without Redis.

Time runs 20 times as fast as real time. The benchmark starts `redis-server`, which must be installed.
"""

from __future__ import annotations

import json
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.exceptions import RedisError
from rich.table import Table

from airflow_provider_stitch.emulator import JobPlan, StitchEmulator
from airflow_provider_stitch.replication.budget.hosts_limiter import HostsRequestBudget
from benchmarks.results import Result
from benchmarks.subprocesses import run_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

WAIT = Path(__file__).parent / "workers" / "wait.py"
SPEED = 20.0
SENSORS, PROCESSES = 100, 8
POKE_INTERVAL = 20.0  #: seconds of Stitch's time
SHORTEST, LONGEST = 600.0, 1800.0  #: shortest and longest duration of a job, in seconds of Stitch's time
TIMEOUT = 7200.0  #: seconds of Stitch's time
MAX_DELAY_RATIO = 2.0  #: maximum mean delay of sensors with Redis, relative to deferred tasks
MAX_REQUESTS = 30


@dataclass(frozen=True)
class Case:
    name: str
    processes: int
    deferred: bool = False
    redis: bool = False


@dataclass(frozen=True)
class Measurement:
    """The delays from the end of each extraction until its task detected the end, in Stitch's seconds."""

    case: Case
    mean_delay: float
    max_delay: float
    requests: int
    busiest_window: int  #: highest number of rate-limited requests in any 10 minutes


CASES = (
    Case("deferred, in one process", 1, deferred=True),
    Case("sensors, without Redis", PROCESSES),
    Case("sensors on several hosts, with Redis", PROCESSES, redis=True),
)


def run(console: Console) -> Result:
    """Run the benchmark, print a table, and return the figures and the missed targets."""
    measurements = []
    for case in CASES:
        with console.status(f"Waiting for {SENSORS} extractions: {case.name}"):
            measurements.append(_measure(case))
    console.print(_table(measurements))
    deferred, _, shared = measurements
    misses = [
        f"{each.case.name}: {each.busiest_window} status requests in 10 minutes"
        for each in measurements
        if each.busiest_window > MAX_REQUESTS
    ]
    if shared.mean_delay > MAX_DELAY_RATIO * deferred.mean_delay:
        misses.append(
            f"{shared.case.name}: the mean delay is {shared.mean_delay:.0f} s, but only "
            f"{deferred.mean_delay:.0f} s for deferred tasks"
        )
    return Result(misses, {"several_hosts": [asdict(each) for each in measurements]})


def _measure(case: Case) -> Measurement:
    rng = random.Random(1)
    with (
        tempfile.TemporaryDirectory(prefix="stitch-") as folder,
        StitchEmulator(speed=SPEED) as stitch,
        _redis(case) as port,
    ):
        if port:
            _wait_for_first_use(stitch, port, Path(folder))
        homes = [Path(folder) / name for name in _homes(case)]
        with ThreadPoolExecutor(case.processes) as pool:
            processes = [
                pool.submit(_run_process, case, number, _environment(case, stitch, port, home))
                for number, home in enumerate(homes)
            ]
            while not all((home / f"ready_{number}").exists() for number, home in enumerate(homes)):
                time.sleep(0.05)
            tasks = [_start_job(stitch, number, rng) for number in range(SENSORS)]
            started, virtual_start = time.time(), stitch.now()
            groups = [tasks[number :: case.processes] for number in range(case.processes)]
            for number, home in enumerate(homes):
                (home / "new").write_text(json.dumps(groups[number]))
                (home / "new").rename(home / f"tasks_{number}")
            ended = [process.result() for process in processes]
        ended_at = {
            task["job_name"]: at
            for group, times in zip(groups, ended, strict=True)
            for task, at in zip(group, times, strict=True)
        }
        jobs = [job for task in tasks for job in stitch.jobs(task["source_id"])]
        delays = [
            (ended_at[job.job_name] - started) * SPEED - (job.completion_time - virtual_start).total_seconds()
            for job in jobs
            if job.completion_time is not None
        ]
        return Measurement(
            case,
            statistics.mean(delays),
            max(delays),
            len(stitch.limited_requests),
            stitch.busiest_window(),
        )


def _start_job(stitch: StitchEmulator, number: int, rng: random.Random) -> dict[str, Any]:
    name = f"source_{number:03}"
    seconds = rng.uniform(SHORTEST, LONGEST)
    source_id = stitch.add_source(name, streams={"rows": 1}, job=JobPlan(tap_seconds=seconds))
    job = stitch.start_job(source_id)
    return {"source_id": source_id, "source_name": name, "job_name": job.job_name}


def _homes(case: Case) -> list[str]:
    """Return the name of each process's Airflow home. With Redis, each process simulates a separate host."""
    return [f"host_{number if case.redis else 0}" for number in range(case.processes)]


def _environment(case: Case, stitch: StitchEmulator, port: int, home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    connection = json.loads(stitch.connection_json())
    environment = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    if case.redis:
        connection["extra"]["redis_conn_id"] = "redis"
        redis = {"conn_type": "redis", "host": "127.0.0.1", "port": port}
        environment["AIRFLOW_CONN_REDIS"] = json.dumps(redis)
    return {**environment, "AIRFLOW_CONN_STITCH_DEFAULT": json.dumps(connection)}


def _run_process(case: Case, number: int, environment: dict[str, str]) -> list[float]:
    options = {
        "ready": f"{environment['AIRFLOW_HOME']}/ready_{number}",
        "tasks": f"{environment['AIRFLOW_HOME']}/tasks_{number}",
        "deferred": case.deferred,
        "home": environment["AIRFLOW_HOME"],
        "poke_interval": POKE_INTERVAL / SPEED,
        "timeout": TIMEOUT / SPEED,
    }
    ended: list[float] = run_worker(WAIT, options, **environment)["ended"]
    return ended


@contextmanager
def _redis(case: Case) -> Iterator[int]:
    """Run a Redis server if the case needs one, and yield its port."""
    if not case.redis:
        yield 0
        return
    if shutil.which("redis-server") is None:
        raise SystemExit("Redis is not installed. Install it (Debian package: `redis-server`).")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while not _responds(port):
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _responds(port: int) -> bool:
    try:
        return bool(Redis(port=port).ping())
    except RedisError:
        return False


def _wait_for_first_use(stitch: StitchEmulator, port: int, folder: Path) -> None:
    """Wait for 11 minutes of Stitch's time after the first use of Redis, because no request is allowed."""
    limit = round(MAX_REQUESTS * SPEED)
    (folder / "first").mkdir()
    budget = HostsRequestBudget(limit, folder / "first", (stitch.url, stitch.client_id))
    budget.set_redis("stitch_default", Redis(port=port))
    while wait := budget.window().available_in[0]:
        time.sleep(wait)


def _table(measurements: list[Measurement]) -> Table:
    table = Table(title=f"{SENSORS} tasks wait for extractions", title_justify="left")
    table.add_column("tasks")
    for title in ("processes", "mean delay", "longest delay", "requests", "most requests in 10 minutes"):
        table.add_column(title, justify="right")
    for each in measurements:
        table.add_row(
            each.case.name,
            str(each.case.processes),
            f"{each.mean_delay:.0f} s",
            f"{each.max_delay:.0f} s",
            str(each.requests),
            str(each.busiest_window),
        )
    return table
