"""Test a shared request budget while its processes are forked or killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

from airflow_provider_stitch.replication.budget import accounts
from airflow_provider_stitch.replication.budget.accounts import account_budget
from airflow_provider_stitch.replication.budget.limiter import (
    SharedRequestBudget,
)
from airflow_provider_stitch.replication.budget.store import MAX_IN_FLIGHT_SECONDS, BudgetStore
from airflow_provider_stitch.replication.budget.window import WINDOW
from tests.replication.budget.shared_budgets import SPAWN, rows, send, start_process
from tests.support import budget_worker
from tests.support.budget_worker import ACCOUNT, Time


def in_a_fork(work: Any) -> int:
    """Run a function in a forked process, the way Airflow 2 runs a task, and return the exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)  # ends the child process even if a lock is never released
            code = int(work())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_forked_process_has_its_own_budget(tmp_path):
    budget = account_budget(ACCOUNT, 10, tmp_path)
    assert budget.acquire() == 0  # this request is in flight when the process forks

    def child() -> int:
        own = account_budget(ACCOUNT, 10, tmp_path)
        for _ in range(6):
            assert own.acquire() == 0
            own.release()
        assert own is not budget
        assert own.window().share == 9
        return 7

    assert in_a_fork(child) == 7
    # Each process may use half of the 10 requests, although the child process has left only 4 requests.
    assert budget.window().share == 5
    assert [responded_at is None for *_, responded_at in rows(tmp_path)] == [True] + [False] * 6


def test_response_is_recorded_for_its_process(tmp_path):
    budget = SharedRequestBudget(5, tmp_path, ACCOUNT)
    # The child process ends before the response arrives.
    assert in_a_fork(lambda: SharedRequestBudget(5, tmp_path, ACCOUNT).acquire() + 7) == 7
    budget.acquire()
    budget.release()

    assert [responded_at is None for *_, responded_at in rows(tmp_path)] == [True, False]


def test_expired_requests_of_others_do_not_lower_the_share(tmp_path):
    time = Time()
    budget = SharedRequestBudget(4, tmp_path, ACCOUNT, monotonic=time)
    in_a_fork(lambda: send(SharedRequestBudget(4, tmp_path, ACCOUNT, monotonic=time)))
    assert budget.window().share == 3
    time.now = WINDOW
    assert budget.window().share == 4


def test_lock_that_is_held_during_a_fork_does_not_block_the_child(tmp_path):
    with accounts._budgets_lock:
        assert in_a_fork(lambda: account_budget(ACCOUNT, 10, tmp_path).acquire() + 7) == 7


def test_request_of_a_killed_process_expires(tmp_path):
    acquired = SPAWN.Queue()
    process = start_process(budget_worker.acquire_and_hang, tmp_path, 1, acquired)
    assert acquired.get(timeout=60) == 0
    process.kill()
    process.join()

    time = Time()
    budget = SharedRequestBudget(1, tmp_path, ACCOUNT, monotonic=time)
    assert budget.acquire() == WINDOW
    time.now = MAX_IN_FLIGHT_SECONDS + 1
    assert budget.acquire() == WINDOW - 1
    time.now = MAX_IN_FLIGHT_SECONDS + WINDOW
    assert budget.acquire() == 0
    assert len(rows(tmp_path)) == 1


def test_transaction_of_a_killed_process_is_rolled_back(tmp_path, caplog):
    budget = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())
    assert send(budget) == 0
    started = SPAWN.Queue()
    process = start_process(budget_worker.hang_in_a_transaction, tmp_path, started)
    assert started.get(timeout=60)
    process.kill()
    process.join()
    assert BudgetStore(tmp_path, ACCOUNT).path.stat().st_size > 100_000

    assert send(SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())) == 0
    assert len(rows(tmp_path)) == 2
    assert BudgetStore(tmp_path, ACCOUNT).path.stat().st_size < 50_000
    assert caplog.messages == []


def test_file_is_intact_after_processes_are_killed(tmp_path, caplog):
    done = SPAWN.RawArray("i", 4)
    processes = [start_process(budget_worker.acquire_forever, tmp_path, done, number) for number in range(4)]
    for number, process in enumerate(processes, 1):
        deadline = time.monotonic() + 60
        while sum(done) < 40 * number and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        process.join()

    assert sum(done) >= 160
    with closing(sqlite3.connect(BudgetStore(tmp_path, ACCOUNT).path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    SharedRequestBudget(30, tmp_path, ACCOUNT, monotonic=Time()).acquire()
    assert caplog.messages == []
