"""The parts of the demo that decide how it ends. The whole is in tests/system."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from rich.console import Console

from demo.tables import phases_table, streams_table
from local_airflow.processes import stop
from local_airflow.task_log import TaskLog, readable_end
from local_airflow.waiting import Deadline, Interrupted, LocalAirflowFailed, NotAvailableYet

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

REPLICATED: dict[str, Any] = {
    "job_name": "1.2.sync.x",
    "source_name": "github",
    "started_at": "2026-08-17T06:00:00Z",
    "extraction_completed_at": "2026-08-17T06:02:30Z",
    "loaded_at": "2026-08-17T06:03:25Z",
    "streams": {
        "commits": {"rows": 412, "loaded_at": "2026-08-17T06:02:05Z"},
        "issues": {"rows": None, "loaded_at": "2026-08-17T06:03:25Z"},
    },
}


def shown(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return " ".join(text.replace("│", " ").replace("┃", " ").split())


def test_the_table_of_phases_says_how_long_each_took() -> None:
    text = shown(phases_table(REPLICATED))

    assert "structure sync and extraction 06:00:00 UTC 06:02:30 UTC 150 s" in text
    assert "preparation and loading 06:02:30 UTC 06:03:25 UTC 55 s" in text


def test_the_table_of_streams_shows_rows_and_load_times() -> None:
    text = shown(streams_table(REPLICATED))

    assert "commits 412 06:02:05 UTC 125 s" in text
    assert "issues not counted 06:03:25 UTC 205 s" in text


def test_a_job_without_new_rows_can_be_shown() -> None:
    replicated = {**REPLICATED, "loaded_at": None, "streams": {}}

    assert "0 streams" in shown(streams_table(replicated))
    assert "150 s" in shown(phases_table(replicated))


def test_the_log_of_a_task_is_read_as_it_grows_and_only_lines_of_this_provider(tmp_path: Path) -> None:
    log, worker = TaskLog(tmp_path), tmp_path / "attempt=1.log"
    assert log.new_lines() == []

    started = record("1", "Started job", "airflow.task.operators.airflow_provider_stitch.operators.stitch")
    worker.write_text(started + record("2", "Pausing task", "task") + started[:10])
    assert log.new_lines() == ["Started job"]

    worker.write_text(
        started + record("2", "Pausing task", "task") + record("4", "Done", "airflow_provider_stitch")
    )
    (tmp_path / "attempt=1.log.trigger.1.log").write_text(record("3", "Loaded", "airflow_provider_stitch"))
    assert log.new_lines() == ["Loaded", "Done"]
    assert log.new_lines() == []


def test_the_end_of_a_failed_tasks_log_says_what_was_raised(tmp_path: Path) -> None:
    raised = {"error_detail": [{"exc_type": "ExtractionFailed", "exc_value": "Bad credentials"}]}
    (tmp_path / "attempt=1.log").write_text(
        record("1", "::group::Pre Execute", "task")
        + record("2", "Task failed", "task", level="error", **raised)
    )

    assert readable_end(tmp_path, 5) == ["ERROR: Task failed", "ExtractionFailed: Bad credentials"]


def record(timestamp: str, event: str, logger: str, **further: Any) -> str:
    return (
        json.dumps({"timestamp": timestamp, "event": event, "logger": logger, "level": "info", **further})
        + "\n"
    )


def test_waiting_is_given_up_when_its_time_is_over() -> None:
    deadline = Deadline(0.0)
    deadline.collect_log_ends = lambda: ["the last line"]

    with pytest.raises(LocalAirflowFailed, match="waiting for rain") as failure:
        deadline.wait_until(lambda: False, "rain")
    assert failure.value.log_end == ["the last line"]


def test_a_dead_process_ends_the_waiting() -> None:
    deadline = Deadline(60.0)

    def died() -> None:
        raise LocalAirflowFailed("scheduler has ended")

    deadline.check_health = died
    with pytest.raises(LocalAirflowFailed, match="scheduler has ended"):
        deadline.wait_until(lambda: False, "rain")


def test_a_wait_asks_again_when_airflow_can_not_answer() -> None:
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise NotAvailableYet("database is locked")
        return True

    Deadline(60.0).wait_until(look, "an answer")
    assert looks == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_waiting_and_nothing_else(number: int) -> None:
    deadline = Deadline(60.0)
    with deadline.deferring_signals():
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as interrupted:
            deadline.wait_until(lambda: False, "rain")
    assert interrupted.value.signal == number


# A leader that ignores SIGTERM, with a child in a process group of its own, as Airflow's tasks have.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setpgid(0, 0); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_nothing_is_left_of_a_process_that_does_not_want_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_airflow.processes.STOP_TIMEOUT", 0.5)
    leader = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    child = int(leader.stdout.readline())

    stop([leader])
    leader.stdout.close()

    assert leader.returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
