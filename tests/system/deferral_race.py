"""How soon after a deferral may a trigger fire?

`python -m tests.system.deferral_race` runs mapped sensors whose jobs are loaded already, so each trigger
could fire as soon as it begins. Airflow fails a task that is queued again before its scheduler has processed
the end of the worker that deferred it. This prints how many tasks succeed, and how long after the start of
their triggers the scheduler has processed that end. It needs Airflow 3.3.
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
# A scheduler writes it in its own log, with the time first.
EXECUTOR_EVENT = re.compile(
    r"^(\S+) .*Received executor event with state success for task instance TaskInstanceKey\("
    rf"dag_id='{DAG_ID}', task_id='wait', run_id='(\w+)', try_number=\d+, map_index=(\d+)\)",
    re.MULTILINE,
)


def measure(airflow: Airflow, stitch: StitchEmulator) -> tuple[list[str | None], list[float]]:
    """Run the sensors once. Return their states, and the seconds from each trigger's start to that event."""
    account = stitch.add_account()
    for number in range(TASKS):
        account.complete_job(account.add_source(f"source_{number}", streams={"rows": 1}), seconds_ago=3600)
    connection = json.loads(stitch.connection_json(account))
    connection["extra"] = {"requests_per_10_minutes": 1000}  # no trigger waits for a free request
    connection_id = f"stitch_{account.client_id}"
    airflow.add_connection(connection_id, connection)
    after = datetime.fromtimestamp(stitch.now().timestamp() - 86_400, timezone.utc).isoformat()
    run = airflow.run(DAG_ID, "", task_id="wait", stitch_conn_id=connection_id, started_after=after)
    run.end(patience=20 * TASKS)
    states = airflow.control.states_of_mapped_task(run.dag_id, run.run_id, run.task_id)
    return states, _lags(airflow, run)


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
            began = next(_instant(line["timestamp"]) for line in lines if "Waiting for" in line["event"])
            lags.append((instant - began).total_seconds())
    return lags


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def main() -> int:
    """Run all, print a line for each run, and return 1 if a task has failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--parallelism", type=int, default=32, help="workers at a time; Airflow's default is 32"
    )
    options = parser.parse_args()
    runs, settings = options.runs, {"CORE__PARALLELISM": str(options.parallelism)}
    succeeded, all_lags = 0, []
    with (
        StitchEmulator(speed=60) as stitch,
        running_airflow(stitch.connection_json(), settings=settings) as airflow,
    ):
        airflow.until(lambda: airflow.control.has_dag(DAG_ID), "Airflow to read the DAG")
        for number in range(1, runs + 1):
            states, lags = measure(airflow, stitch)
            good = states.count("success")
            succeeded, all_lags = succeeded + good, [*all_lags, *lags]
            print(f"run {number}: {good} of {TASKS} succeeded")
    lags = sorted(all_lags) or [float("nan")]
    print(f"{succeeded} of {runs * TASKS} succeeded")
    print(
        f"seconds from a trigger's start until the scheduler knows its worker's end ({len(all_lags)} tasks): "
        f"median {lags[len(lags) // 2]:.1f}, 95 % {lags[int(len(lags) * 0.95)]:.1f}, most {lags[-1]:.1f}"
    )
    return 0 if succeeded == runs * TASKS else 1


if __name__ == "__main__":
    sys.exit(main())
