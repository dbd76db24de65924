"""Test the file in which the processes on a host share a request budget."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.replication.budget import store as budget_store
from airflow_provider_stitch.replication.budget.accounts import account_budget
from airflow_provider_stitch.replication.budget.limiter import STORE_RETRY_INTERVAL, SharedRequestBudget
from airflow_provider_stitch.replication.budget.store import BudgetStore
from airflow_provider_stitch.replication.budget.window import WINDOW
from tests.replication.budget.shared_budgets import SPAWN, rows, send, start_process
from tests.support import budget_worker
from tests.support.budget_worker import ACCOUNT, Time


def max_in_a_window(times: list[float]) -> int:
    return max(sum(first <= time < first + WINDOW for time in times) for first in times)


# --- The shared count ---------------------------------------------------------------------------------------


def test_concurrent_processes_never_exceed_the_limit(tmp_path):
    clock, results = SPAWN.Value("d", 0.0), SPAWN.Queue()
    processes = [start_process(budget_worker.hammer, tmp_path, 7, 40, clock, results) for _ in range(4)]
    reports = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()

    counted = [time for times, _ in reports for time in times]
    assert [warning for _, warnings in reports for warning in warnings] == []
    assert len(counted) == 160
    assert max_in_a_window(counted) == 7


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 300), st.integers(0, 60), st.booleans()),
        min_size=1,
        max_size=30,
    ),
)
def test_stitch_never_counts_more_requests_than_the_limit(limit, requests):
    """Each tuple in `requests` contains a process, the pause before its request, a duration and a flag.

    If the flag is set, Stitch counts the request when the request starts, and otherwise when it ends.
    """
    time = Time()
    with tempfile.TemporaryDirectory() as folder:
        budgets = [SharedRequestBudget(limit, Path(folder), ACCOUNT, monotonic=time) for _ in range(3)]
        counted: list[float] = []
        for process, pause, duration, counts_at_start in requests:
            time.now += pause
            while wait := budgets[process].acquire():
                assert wait == budgets[process].window().available_in[0]
                time.now += wait
            counted.append(time.now + (0 if counts_at_start else duration))
            time.now += duration
            budgets[process].release()

    assert max_in_a_window(counted) <= limit


def test_each_process_applies_its_own_limit_to_the_shared_count(tmp_path):
    time = Time()
    high, low = (SharedRequestBudget(limit, tmp_path, ACCOUNT, monotonic=time) for limit in (5, 2))
    assert [send(high) for _ in range(3)] == [0, 0, 0]

    assert send(low) == WINDOW
    assert send(high) == 0


def test_request_in_flight_counts_for_a_window_after_its_response(tmp_path):
    time = Time()
    one, two = (SharedRequestBudget(3, tmp_path, ACCOUNT, monotonic=time) for _ in range(2))
    one.acquire()
    time.now = 100

    assert two.window().available_in == (0, 0, WINDOW)
    one.release()
    time.now = 150
    assert two.window().available_in == (0, 0, WINDOW - 50)


def test_block_applies_to_all_processes(tmp_path):
    time = Time()
    one, two = (SharedRequestBudget(3, tmp_path, ACCOUNT, monotonic=time) for _ in range(2))
    one.block(90)
    one.block(30)  # a later, shorter block does not replace a longer block

    assert two.window().available_in == (90, 90, 90)
    assert two.acquire() == 90
    time.now = 90
    assert two.acquire() == 0
    assert rows(tmp_path, "blocks") == []


def test_each_account_has_its_own_count(tmp_path):
    time = Time()
    one, two = (SharedRequestBudget(1, tmp_path, (ACCOUNT[0], number), monotonic=time) for number in (1, 2))
    one.block(90)
    assert send(two) == 0
    time.now = 90
    assert send(one) == 0


def test_response_is_recorded_for_its_account(tmp_path):
    one, two = (SharedRequestBudget(2, tmp_path, (ACCOUNT[0], number), monotonic=Time()) for number in (1, 2))
    one.acquire()
    two.acquire()
    two.release()

    assert [(account[-1], responded_at) for account, *_, responded_at in rows(tmp_path)] == [
        ("1", None),
        ("2", 0),
    ]


def test_account_budget_with_a_folder_is_shared_through_a_file(tmp_path):
    budget = account_budget(ACCOUNT, 30, tmp_path)

    assert account_budget(ACCOUNT, 20, tmp_path) is budget
    assert budget.limit == 20
    assert account_budget(ACCOUNT, 30, tmp_path / "other") is not budget
    assert account_budget(ACCOUNT, 30) is not budget
    assert send(budget) == 0
    assert len(rows(tmp_path)) == 1


# --- Clocks -------------------------------------------------------------------------------------------------


def test_times_of_another_clock_in_the_future_are_ignored(tmp_path):
    earlier = Time()
    earlier.now = 1_000_000
    before = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=earlier)
    before.acquire()
    send(before)
    before.block(90)

    after = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())
    assert after.window().available_in == (0, 0)
    assert after.acquire() == 0
    assert len(rows(tmp_path)) == 1
    assert rows(tmp_path, "blocks") == []


def test_each_boot_and_host_has_its_own_file(tmp_path, monkeypatch):
    path = BudgetStore(tmp_path, ACCOUNT).path
    assert BudgetStore(tmp_path, ACCOUNT).path == path

    monkeypatch.setattr(budget_store, "_clock_id", lambda: "another boot")
    assert BudgetStore(tmp_path, ACCOUNT).path != path
    assert BudgetStore(tmp_path, ACCOUNT).path.parent == tmp_path


def test_files_of_earlier_boots_are_deleted_after_a_day(tmp_path):
    old, recent, foreign = (
        tmp_path / f"{prefix}{name}.sqlite"
        for prefix, name in (
            (budget_store._file_prefix(), "old"),
            (budget_store._file_prefix(), "recent"),
            ("my-", "old"),
        )
    )
    for path in (old, recent, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (time.time() - 90_000,) * 2)

    send(SharedRequestBudget(2, tmp_path, ACCOUNT))

    assert not old.exists()
    assert recent.exists()
    assert foreign.exists()


# --- The file -----------------------------------------------------------------------------------------------


def test_only_the_owner_may_read_the_file(tmp_path):
    umask = os.umask(0)
    try:
        send(SharedRequestBudget(2, tmp_path, ACCOUNT))
    finally:
        os.umask(umask)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_expired_requests_are_deleted(tmp_path):
    time = Time()
    budget = SharedRequestBudget(30, tmp_path, ACCOUNT, monotonic=time)
    for _ in range(300):
        time.now += 30
        assert send(budget) == 0

    assert len(rows(tmp_path)) <= 30
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50_000


def test_own_requests_still_count_after_the_file_is_deleted(tmp_path, caplog):
    budget = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())
    assert budget.acquire() == 0
    for path in tmp_path.iterdir():
        path.unlink()

    assert send(budget) == 0
    assert budget.window().available_in == (WINDOW, WINDOW)
    assert send(budget) == WINDOW
    assert len(rows(tmp_path)) == 1
    assert caplog.messages == []


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"This is not a database. " * 500, id="not a database"),
        pytest.param(lambda content: content[:100] + b"\xff" * (len(content) - 100), id="overwritten"),
        pytest.param(lambda content: content[:5000], id="truncated"),
    ],
)
def test_damaged_file_is_replaced_with_one_warning(tmp_path, caplog, damage):
    time = Time()
    budget = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=time)
    assert send(budget) == 0
    path = BudgetStore(tmp_path, ACCOUNT).path
    path.write_bytes(damage(path.read_bytes()))

    assert send(budget) == 0
    assert send(budget) == WINDOW  # this process still counts its own request
    assert len(rows(tmp_path)) == 1
    (message,) = caplog.messages
    assert "is damaged" in message
    assert str(path) in message


def no_folder(folder: Path) -> Path:
    return folder / "missing"


def folder_is_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file"


def file_is_a_folder(folder: Path) -> Path:
    BudgetStore(folder, ACCOUNT).path.mkdir()
    return folder


@pytest.mark.parametrize("arrange", [no_folder, folder_is_a_file, file_is_a_folder])
def test_process_counts_alone_and_warns_once_without_a_file(tmp_path, caplog, arrange):
    time = Time()
    budget = SharedRequestBudget(2, arrange(tmp_path), ACCOUNT, monotonic=time)

    assert budget.window().available_in == (0, 0)
    assert send(budget) == 0
    time.now = STORE_RETRY_INTERVAL  # the process tries to use the budget file again, but fails
    assert send(budget) == 0
    assert budget.window().share == 2
    assert send(budget) == WINDOW - STORE_RETRY_INTERVAL
    budget.block(2 * WINDOW)
    assert send(budget) == 2 * WINDOW
    (message,) = caplog.messages
    assert "account 104857" in message
    assert "requests_per_10_minutes" in message


@pytest.mark.parametrize("work", [budget_worker.acquire_without_space, budget_worker.acquire_without_rights])
def test_full_disk_or_read_only_folder_fails_no_task(work):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        results = SPAWN.Queue()
        process = start_process(work, folder, results)
        waits, warnings = results.get(timeout=60)
        process.join()

    assert waits == [0, 0, WINDOW]
    assert len(warnings) == 1
    assert "Cannot use the budget file" in warnings[0]


def test_locked_file_is_not_tried_again_for_a_minute(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(budget_store, "LOCK_TIMEOUT", 0.05)
    time = Time()
    budget = SharedRequestBudget(3, tmp_path, ACCOUNT, monotonic=time)
    assert send(budget) == 0
    with closing(sqlite3.connect(BudgetStore(tmp_path, ACCOUNT).path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert send(budget) == 0
        assert "is locked" in caplog.messages[0]
        db.execute("COMMIT")

        assert send(budget) == 0
        assert len(rows(tmp_path)) == 1  # the process has not written to the budget file again
        time.now = WINDOW
        assert send(budget) == 0
        assert rows(tmp_path)[-1][2] == WINDOW  # the file contains the new request
        assert len(caplog.messages) == 1

        db.execute("BEGIN EXCLUSIVE")
        assert send(budget) == 0
        assert len(caplog.messages) == 2  # the process warns again, because the file was usable in between
