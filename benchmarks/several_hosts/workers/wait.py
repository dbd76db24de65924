"""Read tasks as JSON, wait in this process for their extractions, and write when each wait has ended."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_stitch.hooks.stitch import StitchHook
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.session import AccountSession
from airflow_provider_stitch.replication.waiter import Waiter
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor


def poke(task: dict[str, Any], options: dict[str, Any]) -> float:
    """Run a sensor in poke mode, like a worker, and return the time when the sensor ends."""
    sensor = StitchExtractionSensor(
        task_id=f"wait_{task['source_id']}",
        source=task["source_id"],
        job_name=task["job_name"],
        deferrable=False,
        poke_interval=options["poke_interval"],
        timeout=options["timeout"],
    )
    now = datetime.now(timezone.utc)
    dag_run = SimpleNamespace(queued_at=now, start_date=now)
    sensor.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None), "dag_run": dag_run})
    return time.time()


async def wait_deferred(tasks: list[dict[str, Any]], home: Path) -> list[float]:
    """Run all waits in one event loop, like a triggerer, and return the time when each wait ends."""
    client = StitchHook().client

    async def wait(task: dict[str, Any]) -> float:
        goal = Goal(
            phase="extraction",
            source_id=task["source_id"],
            source_name=task["source_name"],
            client_id=client.client_id,
            job_name=task["job_name"],
        )
        await Waiter(AccountSession(StitchCaller(client, budget_folder=home)), goal).wait()
        return time.time()

    return list(await asyncio.gather(*map(wait, tasks)))


def main() -> None:
    options = json.loads(sys.stdin.read())
    logging.getLogger().setLevel(logging.ERROR)
    tasks = _wait_for_tasks(Path(options["ready"]), Path(options["tasks"]))
    if options["deferred"]:
        ended = asyncio.run(wait_deferred(tasks, Path(options["home"])))
    else:
        with ThreadPoolExecutor(len(tasks)) as pool:
            ended = list(pool.map(lambda task: poke(task, options), tasks))
    print(json.dumps({"ended": ended}))


def _wait_for_tasks(ready: Path, tasks: Path) -> list[dict[str, Any]]:
    """Report that this process has imported all modules. Return the tasks when their jobs have started."""
    ready.touch()
    while not tasks.exists():
        time.sleep(0.01)
    started: list[dict[str, Any]] = json.loads(tasks.read_text())
    return started


if __name__ == "__main__":
    main()
