"""Test that concurrent setup tasks create only one object, even if some of the tasks are killed.

The tasks run in threads and send one request at a time. A seed determines the order of the requests. Set
`SETUPS=200` to test 200 seeds. Only one test starts processes instead of threads.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.transport.session import Session
from airflow_provider_stitch.emulator import StitchEmulator
from tests.support.setup_without_dag import OPERATORS, execute

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = range(int(os.environ.get("SETUPS", "20")))
MAX_TRIES = 6
ROOT = Path(__file__).parents[3]


class Killed(BaseException):
    """An exception that simulates the end of a task's process.

    The clause `except Exception` does not catch this exception.
    """


@dataclass
class Task:
    """A task and the results of its tries."""

    make_operator: Callable[[], Any]
    results: list[Any] = field(default_factory=list)
    error: Exception | None = None
    kill: str | None = None  #: whether to kill the task "before" or "after" its next request
    may_send: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Interleaver:
    """A scheduler that lets tasks send their requests one at a time in random order, and kills some tasks."""

    def __init__(self, seed: int, tasks: list[Task], kills: int) -> None:
        self.random = random.Random(seed)
        self.kills = kills
        self.tasks = tasks
        self.waiting: list[Task] = []
        self.changed = threading.Condition()
        self.done = 0
        self.by_thread: dict[int, Task] = {}

    def run(self) -> None:
        """Run all tasks until they have ended."""
        threads = [threading.Thread(target=self._run_task, args=(task,), daemon=True) for task in self.tasks]
        for thread in threads:
            thread.start()
        while (task := self._next_task()) is not None:
            if self.kills and self.random.random() < 0.2:
                self.kills -= 1
                task.kill = self.random.choice(["before", "after"])
            task.may_send.release()
        for thread in threads:
            thread.join()

    def _next_task(self) -> Task | None:
        """Return a task that is about to send a request, or None if all tasks have ended."""
        with self.changed:
            are_all_idle = self.changed.wait_for(
                lambda: len(self.waiting) + self.done == len(self.tasks), timeout=600
            )
            assert are_all_idle
            if self.done == len(self.tasks):
                return None
            task = self.random.choice(sorted(self.waiting, key=self.tasks.index))
            self.waiting.remove(task)
            return task

    def _run_task(self, task: Task) -> None:
        self.by_thread[threading.get_ident()] = task
        try:
            for _ in range(MAX_TRIES):
                try:
                    task.results.append(execute(task.make_operator(), self.tasks.index(task)))
                except Killed:
                    continue
                return
        except Exception as error:  # noqa: BLE001 - the test reports the error of the task
            task.error = error
        finally:
            with self.changed:
                self.done += 1
                self.changed.notify_all()

    def send(self, send: Any, session: Any, request: Any, **options: Any) -> Any:
        """Send a request from a task after `run` has chosen this task.

        Requests that do not come from a task are sent immediately.
        """
        task = self.by_thread.get(threading.get_ident())
        if task is None:
            return send(session, request, **options)
        with self.changed:
            self.waiting.append(task)
            self.changed.notify_all()
        task.may_send.acquire()
        kill, task.kill = task.kill, None
        if kill == "before":
            raise Killed
        response = send(session, request, **options)
        if kill == "after":
            raise Killed
        return response


@pytest.fixture
def stitch(monkeypatch):
    with StitchEmulator(speed=100_000) as stitch:
        stitch.delete_destinations()
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json())
        yield stitch


def run_interleaved(monkeypatch, seed, kinds, kills):
    """Run one task for each given kind of operator, and return the tasks.

    Fail the test unless every task succeeds in one of its tries.
    """
    tasks = [Task(OPERATORS[kind]) for kind in kinds]
    interleaver = Interleaver(seed, tasks, kills)
    send = Session.send
    monkeypatch.setattr(Session, "send", lambda *args, **options: interleaver.send(send, *args, **options))
    interleaver.run()
    for task in tasks:
        assert task.error is None, task.error
        assert len(task.results) == 1, "the task was killed in all of its tries"
    return tasks


def ids_of_created(stitch, kind):
    """Return the ids of all objects that have the name given to the operators."""
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    found = client.list_destinations() if kind == "destination" else client.list_sources()
    return sorted(each.id for each in found if each.name in ("Warehouse", "github") and not each.deleted_at)


def choose_quirks(stitch, seed):
    """Return a destination.

    Where Stitch's documentation does not specify the behavior, the seed chooses how the emulator behaves.
    """
    chance = random.Random(seed)
    stitch.quirks.destination_configured = chance.choice(["after_check", "after_form"])
    stitch.quirks.name_checks_in_updates = chance.random() < 0.5
    stitch.limit_destinations(chance.choice([2, 10]))
    return stitch.add_destination("redshift", name="Other")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["destination", "source"])
def test_killed_task_creates_one_object(stitch, monkeypatch, kind, seed):
    other = choose_quirks(stitch, seed)

    [task] = run_interleaved(monkeypatch, seed, [kind], kills=4)

    assert ids_of_created(stitch, kind) == [task.results[0][f"{kind}_id"]]
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    assert other in [each.id for each in client.list_destinations()]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["destination", "source"])
def test_two_concurrent_tasks_create_one_object(stitch, monkeypatch, kind, seed):
    choose_quirks(stitch, seed)

    tasks = run_interleaved(monkeypatch, seed, [kind, kind], kills=0)

    [created] = ids_of_created(stitch, kind)
    assert {task.results[0][f"{kind}_id"] for task in tasks} == {created}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["destination", "source"])
def test_two_killed_concurrent_tasks_create_one_object(stitch, monkeypatch, kind, seed):
    choose_quirks(stitch, seed)

    tasks = run_interleaved(monkeypatch, seed, [kind, kind], kills=3)

    [created] = ids_of_created(stitch, kind)
    assert {task.results[0][f"{kind}_id"] for task in tasks} == {created}


@pytest.mark.parametrize("kind", ["destination", "source"])
def test_three_concurrent_processes_create_one_object(stitch, kind):
    completed = subprocess.run(  # noqa: PLW1510 - the assertion below prints the output of the processes
        [sys.executable, "-m", "tests.support.setup_without_dag", kind, "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr

    results = json.loads(completed.stdout.splitlines()[-1])
    assert len(results) == 3
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    found = client.list_destinations() if kind == "destination" else client.list_sources()
    [created] = [each.id for each in found if each.deleted_at is None]
    assert {result[f"{kind}_id"] for result in results} == {created}
    assert [result["created"] for result in results].count(True) == 1
