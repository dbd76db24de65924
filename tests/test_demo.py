"""Test the parts of the demo.

The tests in tests/system run the complete demo.
"""

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

from demo.dag_run import DagRun
from demo.tables import phases_table, streams_table
from local_airflow.processes import stop
from local_airflow.rest import AirflowApi
from local_airflow.task_log import TaskLog, readable_end
from local_airflow.waiting import Deadline, Interrupted, LocalAirflowFailed, NotAvailableYet

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_mock import MockerFixture
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


def render(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return " ".join(text.replace("│", " ").replace("┃", " ").split())


def test_phases_table_shows_the_duration_of_each_phase() -> None:
    text = render(phases_table(REPLICATED))

    assert "structure sync and extraction 06:00:00 UTC 06:02:30 UTC 150 s" in text
    assert "preparation and loading 06:02:30 UTC 06:03:25 UTC 55 s" in text


def test_streams_table_shows_rows_and_load_times() -> None:
    text = render(streams_table(REPLICATED))

    assert "commits 412 06:02:05 UTC 125 s" in text
    assert "issues not counted 06:03:25 UTC 205 s" in text


def test_tables_show_a_job_without_new_rows() -> None:
    replicated = {**REPLICATED, "loaded_at": None, "streams": {}}

    assert "0 streams" in render(streams_table(replicated))
    assert "150 s" in render(phases_table(replicated))


def test_task_log_returns_new_lines_of_this_provider_only(tmp_path: Path) -> None:
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


def test_readable_end_contains_the_exception(tmp_path: Path) -> None:
    raised = {"error_detail": [{"exc_type": "ExtractionFailed", "exc_value": "Bad credentials"}]}
    (tmp_path / "attempt=1.log").write_text(
        record("1", "::group::Pre Execute", "task")
        + record("2", "Task failed", "task", level="error", **raised)
    )

    assert readable_end(tmp_path, 5) == ["ERROR: Task failed", "ExtractionFailed: Bad credentials"]


def test_failure_without_a_task_log_shows_the_logs_of_the_components(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    api = mocker.create_autospec(AirflowApi, instance=True)
    api.state_of_run.return_value = "failed"
    api.states_of_tasks.return_value = {"replicate": "failed", "transform": "upstream_failed"}
    deadline = Deadline(60.0)
    deadline.collect_log_ends = lambda: ["scheduler: the last line"]
    run = DagRun(api, deadline, "stitch_demo", tmp_path)
    run.wait(lambda: None)

    with pytest.raises(LocalAirflowFailed, match="task replicate failed without a log") as failure:
        run.raise_if_failed()
    assert failure.value.log_end == ["scheduler: the last line"]


def record(timestamp: str, event: str, logger: str, **further: Any) -> str:
    return (
        json.dumps({"timestamp": timestamp, "event": event, "logger": logger, "level": "info", **further})
        + "\n"
    )


def test_wait_fails_at_the_deadline() -> None:
    deadline = Deadline(0.0)
    deadline.collect_log_ends = lambda: ["the last line"]

    with pytest.raises(LocalAirflowFailed, match="waiting for rain") as failure:
        deadline.wait_until(lambda: False, "rain")
    assert failure.value.log_end == ["the last line"]


def test_wait_fails_when_a_process_has_exited() -> None:
    deadline = Deadline(60.0)

    def died() -> None:
        raise LocalAirflowFailed("scheduler has ended")

    deadline.check_health = died
    with pytest.raises(LocalAirflowFailed, match="scheduler has ended"):
        deadline.wait_until(lambda: False, "rain")


def test_wait_retries_when_airflow_is_not_available() -> None:
    attempts = 0

    def respond_at_second_attempt() -> bool:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise NotAvailableYet("database is locked")
        return True

    Deadline(60.0).wait_until(respond_at_second_attempt, "a response")
    assert attempts == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_interrupts_only_the_wait(number: int) -> None:
    deadline = Deadline(60.0)
    with deadline.deferring_signals():
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as interrupted:
            deadline.wait_until(lambda: False, "rain")
    assert interrupted.value.signal == number


# A session leader that ignores SIGTERM. Like a task in Airflow, its child process is in another process
# group.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setpgid(0, 0); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_stop_kills_a_session_that_ignores_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_airflow.processes.STOP_TIMEOUT", 0.5)
    leader = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    child = int(leader.stdout.readline())

    stop([leader])
    leader.stdout.close()

    assert leader.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 120
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
