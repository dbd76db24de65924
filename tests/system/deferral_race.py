"""Measure how soon a trigger can fire after its task was deferred.

The command `python -m tests.system.deferral_race` runs mapped sensors for jobs that are already loaded.
Each trigger could therefore fire immediately. If a trigger queues its task before the scheduler has processed
the exit of the task's worker, Airflow fails the task. The command prints how many tasks succeed. For each
task it also prints how long after the start of the trigger the scheduler has processed the worker's exit. The
command requires Airflow 3.3.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator import StitchEmulator
from tests.system.harness import running_airflow

if TYPE_CHECKING:
    from tests.system.harness import Airflow, Run

TASKS = 40
DAG_ID = "wait_for_loaded_mapped"
# Airflow's scheduler logs a line for each failed task. The line contains the final state of the worker.
MISMATCH = re.compile(rf"{DAG_ID}.wait (\w+) map_index=(\d+) .* finished with state (\w+), but")
# The scheduler logs a line when it processes the exit of a worker. The line starts with the time.
EXECUTOR_EVENT = re.compile(
    r"^(\S+) .*Received executor event with state success for task instance TaskInstanceKey\("
    rf"dag_id='{DAG_ID}', task_id='wait', run_id='(\w+)', try_number=\d+, map_index=(\d+)\)",
    re.MULTILINE,
)


def measure(airflow: Airflow, stitch: StitchEmulator) -> tuple[list[str | None], list[float]]:
    """Run the sensors once.

    Return the states of the sensors, and the delays in seconds.
    """
    account = stitch.add_account()
    for number in range(TASKS):
        account.complete_job(account.add_source(f"source_{number}", streams={"rows": 1}), seconds_ago=3600)
    connection = json.loads(stitch.connection_json(account))
    connection["extra"] = {"requests_per_10_minutes": 1000}  # no trigger has to wait for the rate limit
    connection_id = f"stitch_{account.client_id}"
    airflow.add_connection(connection_id, connection)
    after = datetime.fromtimestamp(stitch.now().timestamp() - 86_400, timezone.utc).isoformat()
    run = airflow.run(DAG_ID, "", task_id="wait", stitch_conn_id=connection_id, started_after=after)
    run.wait_until_finished(timeout=20 * TASKS)
    states = airflow.control.states_of_mapped_task(run.dag_id, run.run_id, run.task_id)
    return states, _lags(airflow, run)


def _mismatches(airflow: Airflow) -> str:
    """Return how many tasks failed because of the race and how many failed because their worker failed."""
    log = (airflow.processes.home / "scheduler.out").read_text()
    states = [state for _, _, state in set(MISMATCH.findall(log))]
    return f"{states.count('success')} failed by the race, {states.count('failed')} failed in their worker"


def _lags(airflow: Airflow, run: Run) -> list[float]:
    log = (airflow.processes.home / "scheduler.out").read_text()
    processed: dict[int, datetime] = {}
    for time, run_id, index in EXECUTOR_EVENT.findall(log):
        if run_id == run.run_id:
            processed.setdefault(int(index), _instant(time))
    folder = airflow.processes.logs_folder / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
    lags = []
    for index, instant in processed.items():
        for file in folder.glob(f"task_id=wait/map_index={index}/*.trigger.*"):
            lines = (json.loads(line) for line in file.read_text().splitlines())
            started_at = next(_instant(line["timestamp"]) for line in lines if "Waiting for" in line["event"])
            lags.append((instant - started_at).total_seconds())
    return lags


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def main() -> int:
    """Execute the DAG runs, and print the results.

    Return 1 if a task has failed, and 0 otherwise.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--parallelism", type=int, default=32, help="maximum number of workers; Airflow's default is 32"
    )
    options = parser.parse_args()
    runs, settings = options.runs, {"CORE__PARALLELISM": str(options.parallelism)}
    succeeded, failures, all_lags = 0, "", []
    with (
        StitchEmulator(speed=60) as stitch,
        running_airflow(stitch.connection_json(), settings=settings) as airflow,
    ):
        airflow.wait_until(lambda: airflow.control.has_dag(DAG_ID), "Airflow to parse the DAG")
        for number in range(1, runs + 1):
            states, lags = measure(airflow, stitch)
            successes = states.count("success")
            succeeded, all_lags = succeeded + successes, [*all_lags, *lags]
            print(
                f"run {number}: {successes} of {TASKS} succeeded; so far {_mismatches(airflow)}", flush=True
            )
    lags = sorted(all_lags) or [float("nan")]
    print(f"{succeeded} of {runs * TASKS} succeeded; {failures}")
    print(
        f"seconds from the start of a trigger until its worker's exit is processed ({len(all_lags)} tasks): "
        f"median {lags[len(lags) // 2]:.1f}, 95 % {lags[int(len(lags) * 0.95)]:.1f}, maximum {lags[-1]:.1f}"
    )
    return 0 if succeeded == runs * TASKS else 1


if __name__ == "__main__":
    sys.exit(main())
