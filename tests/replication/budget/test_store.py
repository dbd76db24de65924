"""The processes of one host count their requests together, and no trouble with their file fails a task."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.replication.budget import limiter as budget_module
from airflow_provider_stitch.replication.budget import store as budget_file
from airflow_provider_stitch.replication.budget.limiter import (
    STORE_RETRY_INTERVAL,
    WINDOW,
    SharedRequestBudget,
    account_budget,
)
from airflow_provider_stitch.replication.budget.store import MAX_IN_FLIGHT_SECONDS, BudgetStore
from tests.support import budget_worker as other
from tests.support.budget_worker import ACCOUNT, Time

SPAWN = multiprocessing.get_context("spawn")


def started(work: Any, *args: Any) -> Any:
    process = SPAWN.Process(target=work, args=args, daemon=True)
    process.start()
    return process


def ask(budget: SharedRequestBudget) -> float:
    """Send a request that is answered at once, if there is one left."""
    if not (wait := budget.acquire()):
        budget.release()
    return wait


def rows(folder: Path, table: str = "requests") -> list[Any]:
    with closing(sqlite3.connect(BudgetStore(folder, ACCOUNT).path)) as db:
        return db.execute(f"SELECT * FROM {table}").fetchall()


def most_in_a_window(moments: list[float]) -> int:
    return max(sum(first <= moment < first + WINDOW for moment in moments) for first in moments)


# --- One count ----------------------------------------------------------------------------------------------


def test_processes_that_hammer_at_once_never_exceed_the_limit(tmp_path):
    clock, results = SPAWN.Value("d", 0.0), SPAWN.Queue()
    processes = [started(other.hammer, tmp_path, 7, 40, clock, results) for _ in range(4)]
    told = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()

    counted = [moment for moments, _ in told for moment in moments]
    assert [warning for _, warnings in told for warning in warnings] == []
    assert len(counted) == 160
    assert most_in_a_window(counted) == 7


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 300), st.integers(0, 60), st.booleans()),
        min_size=1,
        max_size=30,
    ),
)
def test_stitch_never_counts_more_than_the_limit_in_any_window(limit, requests):
    """Each request: who sends it, a pause before it, the time its answer takes, and when Stitch counts it."""
    time = Time()
    with tempfile.TemporaryDirectory() as folder:
        budgets = [SharedRequestBudget(limit, Path(folder), ACCOUNT, monotonic=time) for _ in range(3)]
        counted: list[float] = []
        for who, pause, takes, at_once in requests:
            time.now += pause
            while wait := budgets[who].acquire():
                assert wait == budgets[who].window().available_in[0]
                time.now += wait
            counted.append(time.now + (0 if at_once else takes))
            time.now += takes
            budgets[who].release()

    assert most_in_a_window(counted) <= limit


def test_each_process_keeps_to_its_own_limit_over_the_common_count(tmp_path):
    time = Time()
    many, few = (SharedRequestBudget(limit, tmp_path, ACCOUNT, monotonic=time) for limit in (5, 2))
    assert [ask(many) for _ in range(3)] == [0, 0, 0]

    assert ask(few) == WINDOW
    assert ask(many) == 0


def test_a_request_under_way_frees_its_place_no_sooner_than_a_window_from_now(tmp_path):
    time = Time()
    one, two = (SharedRequestBudget(3, tmp_path, ACCOUNT, monotonic=time) for _ in range(2))
    one.acquire()
    time.now = 100

    assert two.window().available_in == (0, 0, WINDOW)
    one.release()
    time.now = 150
    assert two.window().available_in == (0, 0, WINDOW - 50)


def test_a_refusal_by_stitch_holds_all_processes_back(tmp_path):
    time = Time()
    one, two = (SharedRequestBudget(3, tmp_path, ACCOUNT, monotonic=time) for _ in range(2))
    one.block(90)
    one.block(30)  # does not shorten it

    assert two.window().available_in == (90, 90, 90)
    assert two.acquire() == 90
    time.now = 90
    assert two.acquire() == 0
    assert rows(tmp_path, "blocks") == []


def test_accounts_do_not_count_each_others_requests(tmp_path):
    time = Time()
    one, two = (SharedRequestBudget(1, tmp_path, (ACCOUNT[0], number), monotonic=time) for number in (1, 2))
    one.block(90)
    assert ask(two) == 0
    time.now = 90
    assert ask(one) == 0


def test_an_answer_is_noted_for_the_account_it_came_from(tmp_path):
    one, two = (SharedRequestBudget(2, tmp_path, (ACCOUNT[0], number), monotonic=Time()) for number in (1, 2))
    one.acquire()
    two.acquire()
    two.release()

    assert [(account[-1], answered) for account, *_, answered in rows(tmp_path)] == [("1", None), ("2", 0)]


def test_a_folder_gives_a_budget_that_other_processes_share(tmp_path):
    budget = account_budget(ACCOUNT, 30, tmp_path)

    assert account_budget(ACCOUNT, 20, tmp_path) is budget
    assert budget.limit == 20
    assert account_budget(ACCOUNT, 30, tmp_path / "other") is not budget
    assert account_budget(ACCOUNT, 30) is not budget
    assert ask(budget) == 0
    assert len(rows(tmp_path)) == 1


# --- Processes that fork and die ----------------------------------------------------------------------------


def in_a_fork(work: Any) -> int:
    """Run something in a fork of this process, as Airflow 2 runs a task; return the exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)  # a lock that is never released ends this process
            code = int(work())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_counts_as_a_process_of_its_own(tmp_path):
    budget = account_budget(ACCOUNT, 10, tmp_path)
    assert budget.acquire() == 0  # and is under way when the process forks

    def in_the_child() -> int:
        own = account_budget(ACCOUNT, 10, tmp_path)
        for _ in range(6):
            assert own.acquire() == 0
            own.release()
        assert own is not budget
        assert own.window().share == 9
        return 7

    assert in_a_fork(in_the_child) == 7
    assert budget.window().share == 5  # an equal part, since the other one has left only 4
    assert [answered is None for *_, answered in rows(tmp_path)] == [True] + [False] * 6


def test_an_answer_is_noted_for_the_process_that_it_came_to(tmp_path):
    budget = SharedRequestBudget(5, tmp_path, ACCOUNT)
    assert (
        in_a_fork(lambda: SharedRequestBudget(5, tmp_path, ACCOUNT).acquire() + 7) == 7
    )  # it ends before the answer
    budget.acquire()
    budget.release()

    assert [answered is None for *_, answered in rows(tmp_path)] == [True, False]


def test_what_others_sent_a_window_ago_does_not_lower_the_share(tmp_path):
    time = Time()
    budget = SharedRequestBudget(4, tmp_path, ACCOUNT, monotonic=time)
    in_a_fork(lambda: ask(SharedRequestBudget(4, tmp_path, ACCOUNT, monotonic=time)))
    assert budget.window().share == 3
    time.now = WINDOW
    assert budget.window().share == 4


def test_a_lock_that_was_held_at_the_fork_holds_nobody_up(tmp_path):
    with budget_module._budgets_lock:
        assert in_a_fork(lambda: account_budget(ACCOUNT, 10, tmp_path).acquire() + 7) == 7


def test_the_request_of_a_killed_process_stops_counting(tmp_path):
    taken = SPAWN.Queue()
    process = started(other.take_and_hang, tmp_path, 1, taken)
    assert taken.get(timeout=60) == 0
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


def test_a_process_killed_in_a_transaction_leaves_neither_a_lock_nor_half_of_it(tmp_path, caplog):
    budget = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())
    assert ask(budget) == 0
    begun = SPAWN.Queue()
    process = started(other.hang_in_a_transaction, tmp_path, begun)
    assert begun.get(timeout=60)
    process.kill()
    process.join()
    assert BudgetStore(tmp_path, ACCOUNT).path.stat().st_size > 100_000

    assert ask(SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())) == 0
    assert len(rows(tmp_path)) == 2
    assert BudgetStore(tmp_path, ACCOUNT).path.stat().st_size < 50_000
    assert caplog.messages == []


def test_processes_killed_at_any_moment_leave_a_sound_file(tmp_path, caplog):
    done = SPAWN.RawArray("i", 4)
    processes = [started(other.take_for_ever, tmp_path, done, number) for number in range(4)]
    for number, process in enumerate(processes, 1):
        patience = time.monotonic() + 60
        while sum(done) < 40 * number and time.monotonic() < patience:
            time.sleep(0.001)
        process.kill()
        process.join()

    assert sum(done) >= 160
    with closing(sqlite3.connect(BudgetStore(tmp_path, ACCOUNT).path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    SharedRequestBudget(30, tmp_path, ACCOUNT, monotonic=Time()).acquire()
    assert caplog.messages == []


# --- Clocks -------------------------------------------------------------------------------------------------


def test_what_another_clock_wrote_that_was_ahead_holds_nobody_back(tmp_path):
    earlier = Time()
    earlier.now = 1_000_000
    before = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=earlier)
    before.acquire()
    ask(before)
    before.block(90)

    after = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())
    assert after.window().available_in == (0, 0)
    assert after.acquire() == 0
    assert len(rows(tmp_path)) == 1
    assert rows(tmp_path, "blocks") == []


def test_each_boot_and_each_host_has_a_file_of_its_own(tmp_path, monkeypatch):
    this = BudgetStore(tmp_path, ACCOUNT).path
    assert BudgetStore(tmp_path, ACCOUNT).path == this

    monkeypatch.setattr(budget_file, "_clock_id", lambda: "another boot")
    assert BudgetStore(tmp_path, ACCOUNT).path != this
    assert BudgetStore(tmp_path, ACCOUNT).path.parent == tmp_path


def test_files_of_earlier_boots_are_deleted_when_they_are_a_day_old(tmp_path):
    old, young, foreign = (
        tmp_path / f"{prefix}{name}.sqlite"
        for prefix, name in (
            (budget_file._file_prefix(), "old"),
            (budget_file._file_prefix(), "young"),
            ("my-", "old"),
        )
    )
    for path in (old, young, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (time.time() - 90_000,) * 2)

    ask(SharedRequestBudget(2, tmp_path, ACCOUNT))

    assert not old.exists()
    assert young.exists()
    assert foreign.exists()


# --- The file -----------------------------------------------------------------------------------------------


def test_only_this_user_may_read_the_file(tmp_path):
    umask = os.umask(0)
    try:
        ask(SharedRequestBudget(2, tmp_path, ACCOUNT))
    finally:
        os.umask(umask)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_old_requests_are_deleted(tmp_path):
    time = Time()
    budget = SharedRequestBudget(30, tmp_path, ACCOUNT, monotonic=time)
    for _ in range(300):
        time.now += 30
        assert ask(budget) == 0

    assert len(rows(tmp_path)) <= 30
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50_000


def test_a_deleted_file_is_begun_again_and_own_requests_still_count(tmp_path, caplog):
    budget = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=Time())
    assert budget.acquire() == 0
    for path in tmp_path.iterdir():
        path.unlink()

    assert ask(budget) == 0
    assert budget.window().available_in == (WINDOW, WINDOW)
    assert ask(budget) == WINDOW
    assert len(rows(tmp_path)) == 1
    assert caplog.messages == []


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: b"This is no database. " * 500, id="no database"),
        pytest.param(lambda whole: whole[:100] + b"\xff" * (len(whole) - 100), id="overwritten"),
        pytest.param(lambda whole: whole[:5000], id="cut"),
    ],
)
def test_a_damaged_file_is_begun_anew_with_one_warning(tmp_path, caplog, damage):
    time = Time()
    budget = SharedRequestBudget(2, tmp_path, ACCOUNT, monotonic=time)
    assert ask(budget) == 0
    path = BudgetStore(tmp_path, ACCOUNT).path
    path.write_bytes(damage(path.read_bytes()))

    assert ask(budget) == 0
    assert ask(budget) == WINDOW  # own requests still count
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
def test_without_a_file_a_process_counts_for_itself_and_warns_once(tmp_path, caplog, arrange):
    time = Time()
    budget = SharedRequestBudget(2, arrange(tmp_path), ACCOUNT, monotonic=time)

    assert budget.window().available_in == (0, 0)
    assert ask(budget) == 0
    time.now = STORE_RETRY_INTERVAL  # the file is tried again, in vain
    assert ask(budget) == 0
    assert budget.window().share == 2
    assert ask(budget) == WINDOW - STORE_RETRY_INTERVAL
    budget.block(2 * WINDOW)
    assert ask(budget) == 2 * WINDOW
    (message,) = caplog.messages
    assert "account 104857" in message
    assert "requests_per_10_minutes" in message


@pytest.mark.parametrize("work", [other.take_without_space, other.take_without_rights])
def test_neither_a_full_disk_nor_a_closed_folder_fails_a_task(work):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        results = SPAWN.Queue()
        process = started(work, folder, results)
        takes, warnings = results.get(timeout=60)
        process.join()

    assert takes == [0, 0, WINDOW]
    assert len(warnings) == 1
    assert "Cannot use the file" in warnings[0]


def test_a_file_that_is_locked_too_long_is_left_alone_for_a_while(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(budget_file, "LOCK_TIMEOUT", 0.05)
    time = Time()
    budget = SharedRequestBudget(3, tmp_path, ACCOUNT, monotonic=time)
    assert ask(budget) == 0
    with closing(sqlite3.connect(BudgetStore(tmp_path, ACCOUNT).path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert ask(budget) == 0
        assert "is locked" in caplog.messages[0]
        db.execute("COMMIT")

        assert ask(budget) == 0
        assert len(rows(tmp_path)) == 1  # not tried yet
        time.now = WINDOW
        assert ask(budget) == 0
        assert rows(tmp_path)[-1][2] == WINDOW  # tried, and it was counted there
        assert len(caplog.messages) == 1

        db.execute("BEGIN EXCLUSIVE")
        assert ask(budget) == 0
        assert len(caplog.messages) == 2  # it had worked again, so this is news
