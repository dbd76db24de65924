"""Run the demo. At the end of the demo, all its processes are stopped and all its files are deleted."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from airflow_provider_stitch.emulator import StitchEmulator
from demo.dag_run import DagRun
from demo.tables import phases_table, streams_table
from local_airflow.processes import LocalAirflow
from local_airflow.rest import AirflowApi
from local_airflow.task_log import TaskLog
from local_airflow.waiting import Deadline, Interrupted, LocalAirflowFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

DAGS_FOLDER = Path(__file__).parent / "dags"
DAG_ID = "stitch_demo"
TIMEOUT = 180.0  #: time limit for the whole demo, in seconds
SPEED = 20  #: seconds of the emulator's time per second of real time
MAX_REQUESTS = 30  #: Stitch's limit on requests in any 10 minutes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Return 0 if the DAG run succeeded, 1 if the run failed, or 128 plus the number of the signal that ended
    the demo.
    """
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    deadline = Deadline(TIMEOUT)
    try:
        with deadline.deferring_signals():
            _run(console, deadline, keep=options.keep)
    except Interrupted as interrupted:
        console.print("Stopped the demo and all its processes.")
        return 128 + interrupted.signal
    except LocalAirflowFailed as failure:
        console.print(f"\n{failure}", style="red", markup=False)
        for line in failure.log_end:
            console.print(f"  {line}", markup=False)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep Stitch and Airflow running until Ctrl-C")
    return parser


def _run(console: Console, deadline: Deadline, *, keep: bool) -> None:
    with StitchEmulator(speed=SPEED) as stitch:
        add_sources(stitch)
        console.print(
            f"A local Stitch runs at {stitch.url}; its clock runs {SPEED} times as fast as real time."
        )
        with LocalAirflow(stitch.connection_json(), deadline, DAGS_FOLDER) as airflow:
            try:
                api = _start_airflow(console, deadline, airflow)
                run = DagRun(api, deadline, DAG_ID, airflow.logs_folder)
                _follow(console, run)
                _print_summary(console, run, stitch)
                if keep:
                    _keep_running(console, deadline, airflow)
            finally:
                console.print("Stopping Airflow and the local Stitch (a few seconds) ...")


def add_sources(stitch: StitchEmulator) -> None:
    """Add two sources. The DAG replicates the first source, in which the stream `teams` has no new rows."""
    stitch.add_source(
        "github",
        display_name="GitHub",
        streams={"commits": 412, "issues": 100, "pull_requests": 37, "teams": 0},
    )
    stitch.add_source(
        "salesforce_prod",
        display_name="Salesforce (production)",
        type="platform.salesforce",
        streams={"Account": 1250, "Contact": 3310},
    )


def _start_airflow(console: Console, deadline: Deadline, airflow: LocalAirflow) -> AirflowApi:
    console.print(f"Starting Airflow {version('apache-airflow')} (about 30 s) ...")
    airflow.start()
    api = AirflowApi(airflow.url)
    deadline.wait_until(api.is_up, "Airflow's API server to respond")
    deadline.wait_until(lambda: api.has_dag(DAG_ID), f"Airflow to parse the DAG {DAG_ID}")
    return api


def _follow(console: Console, run: DagRun) -> None:
    console.print(f"Running the DAG {DAG_ID} (about 30 s). The log of the task replicate:\n")
    run.trigger()
    log = TaskLog(run.logs_of("replicate"))

    def print_new_lines() -> None:
        for line in log.new_lines():
            console.print(f"  {line}", markup=False)

    run.wait(print_new_lines)
    console.print()
    run.raise_if_failed()


def _print_summary(console: Console, run: DagRun, stitch: StitchEmulator) -> None:
    replicated = run.xcom("replicate")
    console.print(phases_table(replicated))
    console.print(streams_table(replicated))
    console.print(f"Models that the next task would rebuild: {', '.join(run.xcom('transform'))}")
    console.print(
        f"Requests that count against Stitch's rate limit: {len(stitch.limited_requests)}, "
        f"at most {stitch.busiest_window()} in any 10 minutes (the limit is {MAX_REQUESTS})."
    )


def _keep_running(console: Console, deadline: Deadline, airflow: LocalAirflow) -> None:
    console.print(f"\nThe Airflow UI is at {airflow.url} (no login). Press Ctrl-C to stop everything.")
    deadline.wait_for_signal()


if __name__ == "__main__":
    sys.exit(main())
