"""The demo from beginning to end. It leaves nothing running and nothing on disk, however it ends."""

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
from local_airflow.patience import Interrupted, LocalAirflowFailed, Patience
from local_airflow.processes import LocalAirflow
from local_airflow.rest import AirflowApi
from local_airflow.task_log import TaskLog

if TYPE_CHECKING:
    from collections.abc import Sequence

DAGS_FOLDER = Path(__file__).parent / "dags"
DAG_ID = "stitch_demo"
GIVE_UP_AFTER = 180.0  # seconds
SPEED = 20  # seconds of Stitch's time in a second of ours
REQUESTS_ALLOWED = 30  # in 10 minutes. Source: Stitch Connect API, "Rate limits"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. 0: the DAG run succeeded; 1: it did not; 128 + n: signal n came."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    patience = Patience(GIVE_UP_AFTER)
    try:
        with patience.heeding_signals():
            _play(console, patience, keep=options.keep)
    except Interrupted as interrupted:
        console.print("Stopped, and everything that was started with it.")
        return 128 + interrupted.signal
    except LocalAirflowFailed as failure:
        console.print(f"\n{failure}", style="red", markup=False)
        for line in failure.log_end:
            console.print(f"  {line}", markup=False)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Stitch and Airflow up until Ctrl-C")
    return parser


def _play(console: Console, patience: Patience, *, keep: bool) -> None:
    with StitchEmulator(speed=SPEED) as stitch:
        add_sources(stitch)
        console.print(f"A local Stitch answers at {stitch.url}; its time runs {SPEED} times as fast as ours.")
        with LocalAirflow(stitch.connection_json(), patience, DAGS_FOLDER) as airflow:
            try:
                api = _start_airflow(console, patience, airflow)
                run = DagRun(api, patience, DAG_ID, airflow.logs_folder)
                _follow(console, run)
                _sum_up(console, run, stitch)
                if keep:
                    _keep(console, patience, airflow)
            finally:
                console.print("Stopping Airflow and the local Stitch (a few seconds) ...")


def add_sources(stitch: StitchEmulator) -> None:
    """Add the account's sources. The DAG replicates the first; its `teams` has nothing new to wait for."""
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


def _start_airflow(console: Console, patience: Patience, airflow: LocalAirflow) -> AirflowApi:
    console.print(f"Starting Airflow {version('apache-airflow')} (about 30 s) ...")
    airflow.start()
    api = AirflowApi(airflow.url)
    patience.until(api.is_up, "Airflow's API server to answer")
    patience.until(lambda: api.has_dag(DAG_ID), f"Airflow to read the DAG {DAG_ID}")
    return api


def _follow(console: Console, run: DagRun) -> None:
    console.print(f"Running the DAG {DAG_ID} (about 30 s). The log of its task replicate:\n")
    run.trigger()
    log = TaskLog(run.logs_of("replicate"))

    def show_news() -> None:
        for line in log.new_lines():
            console.print(f"  {line}", markup=False)

    run.wait(show_news)
    console.print()
    run.raise_if_failed()


def _sum_up(console: Console, run: DagRun, stitch: StitchEmulator) -> None:
    replicated = run.xcom("replicate")
    console.print(phases_table(replicated))
    console.print(streams_table(replicated))
    console.print(f"The next task then had these to rebuild: {', '.join(run.xcom('transform'))}")
    console.print(
        f"Requests that count against Stitch's limit: {len(stitch.limited_requests)}; "
        f"{stitch.busiest_window()} in the busiest 10 minutes, where {REQUESTS_ALLOWED} are allowed."
    )


def _keep(console: Console, patience: Patience, airflow: LocalAirflow) -> None:
    console.print(f"\nAirflow's pages are at {airflow.url} (no login). Ctrl-C ends it all.")
    patience.until_interrupted()


if __name__ == "__main__":
    sys.exit(main())
