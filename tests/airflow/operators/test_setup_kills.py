"""Setup operators of several tasks at once, which are killed between any two of their requests.

The tasks run in threads, one request at a time, in an order that follows from a seed. `SETUPS=200` plays that
many seeds.
"""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.transport.session import Session
from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
)

SEEDS = range(int(os.environ.get("SETUPS", "20")))
MAX_TRIES = 6


class Killed(BaseException):
    """The process of a task ends here. No `except Exception` sees it."""


class Instance:
    """The task instance of a task that runs without Airflow's database."""

    start_date = None
    dag_id = task_id = "setup"
    map_index = -1

    def __init__(self, number: int) -> None:
        self.run_id = f"run_{number}"

    def xcom_push(self, key: str, value: Any) -> None:
        """Airflow keeps links here."""


@dataclass
class Task:
    """A task with its tries. `turn` lets it send one request."""

    make: Any
    results: list[Any] = field(default_factory=list)
    error: Exception | None = None
    kill: str | None = None  #: "before" or "after" the next request
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


def execute(operator: Any, instance: Instance) -> Any:
    # Airflow 2 wraps `execute` in a check that fails in every thread but the main one.
    wrapped = type(operator).execute
    return getattr(wrapped, "__wrapped__", wrapped)(operator, {"ti": instance})


class LogThrottle:
    """Lets tasks send their requests one at a time, and kills some of them."""

    def __init__(self, seed: int, tasks: list[Task], kills: int) -> None:
        self.random = random.Random(seed)
        self.kills = kills
        self.tasks = tasks
        self.waiting: list[Task] = []
        self.changed = threading.Condition()
        self.done = 0
        self.by_thread: dict[int, Task] = {}

    def play(self) -> None:
        threads = [threading.Thread(target=self._run, args=(task,), daemon=True) for task in self.tasks]
        for thread in threads:
            thread.start()
        while True:
            with self.changed:
                assert self.changed.wait_for(
                    lambda: len(self.waiting) + self.done == len(self.tasks), timeout=60
                )
                if self.done == len(self.tasks):
                    break
                task = self.random.choice(sorted(self.waiting, key=self.tasks.index))
                self.waiting.remove(task)
            if self.kills and self.random.random() < 0.2:
                self.kills -= 1
                task.kill = self.random.choice(["before", "after"])
            task.turn.release()
        for thread in threads:
            thread.join()

    def _run(self, task: Task) -> None:
        self.by_thread[threading.get_ident()] = task
        instance = Instance(self.tasks.index(task))
        try:
            for _ in range(MAX_TRIES):
                try:
                    task.results.append(execute(task.make(), instance))
                except Killed:
                    continue
                return
        except Exception as error:  # noqa: BLE001 - the test shows it
            task.error = error
        finally:
            with self.changed:
                self.done += 1
                self.changed.notify_all()

    def send(self, send: Any, session: Any, request: Any, **options: Any) -> Any:
        task = self.by_thread.get(threading.get_ident())
        if task is None:
            return send(session, request, **options)
        with self.changed:
            self.waiting.append(task)
            self.changed.notify_all()
        task.turn.acquire()
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


def play(monkeypatch, seed, makers, kills):
    tasks = [Task(make) for make in makers]
    turns = LogThrottle(seed, tasks, kills)
    send = Session.send
    monkeypatch.setattr(Session, "send", lambda *args, **options: turns.send(send, *args, **options))
    turns.play()
    for task in tasks:
        assert task.error is None, task.error
        assert len(task.results) == 1, "it was killed too often"
    return tasks


def destination():
    return StitchCreateDestinationOperator(
        task_id="task",
        destination_type="postgres",
        name="Warehouse",
        properties={"host": "pg.acme.example", "port": 5432, "database": "dwh", "username": "stitch"},
        credentials={"password": "hush"},
        poll_interval=0.001,
    )


def source():
    return StitchCreateSourceOperator(
        task_id="task",
        source_type="platform.github",
        display_name="GitHub",
        properties={"repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"},
        credentials={"access_token": "hush"},
    )


def named(stitch, kind):
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    found = client.list_destinations() if kind == "destination" else client.list_sources()
    return sorted(each.id for each in found if each.name in ("Warehouse", "github") and not each.deleted_at)


def quirks(stitch, seed):
    """Set what the documentation leaves open, by the seed."""
    chance = random.Random(seed)
    stitch.quirks.destination_configured = chance.choice(["after_check", "after_form"])
    stitch.quirks.name_checks_in_updates = chance.random() < 0.5
    stitch.limit_destinations(chance.choice([2, 10]))
    return stitch.add_destination("redshift", name="Other")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "make"), [("destination", destination), ("source", source)])
def test_killed_task_creates_one(stitch, monkeypatch, kind, make, seed):
    other = quirks(stitch, seed)

    [task] = play(monkeypatch, seed, [make], kills=4)

    assert named(stitch, kind) == [task.results[0][f"{kind}_id"]]
    client = StitchClient(stitch.access_token, base_url=stitch.url)
    assert other in [each.id for each in client.list_destinations()]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "make"), [("destination", destination), ("source", source)])
def test_two_tasks_at_once_create_one(stitch, monkeypatch, kind, make, seed):
    quirks(stitch, seed)

    tasks = play(monkeypatch, seed, [make, make], kills=0)

    [number] = named(stitch, kind)
    assert {task.results[0][f"{kind}_id"] for task in tasks} == {number}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "make"), [("destination", destination), ("source", source)])
def test_two_tasks_that_are_killed_create_one(stitch, monkeypatch, kind, make, seed):
    quirks(stitch, seed)

    tasks = play(monkeypatch, seed, [make, make], kills=3)

    [number] = named(stitch, kind)
    assert {task.results[0][f"{kind}_id"] for task in tasks} == {number}
