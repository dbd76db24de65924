"""Load streams while triggerers are killed, and check that Airflow announces the loads.

Usage: `python -m tests.system.load_events --loads 20 --kills 10 --tasks 50`
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator
from tests.system.harness import running_airflow
from tests.system.watched_account import CONNECTION, STREAMS, WatchedAccount, watched_account

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from tests.system.harness import Airflow

#: Number of virtual seconds per real second. A poll interval of one real second lasts 30 virtual seconds.
SPEED = 30
MAX_REQUESTS = 30  #: maximum number of requests in any 10 virtual minutes
TASKS = 50  #: number of tasks in the DAG `wait_for_50`
NEW_TOKEN = "the-new-token-of-the-watched-account"
TRIGGERERS = ("triggerer", "second triggerer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the test.

    Return 0 if the test has found no fault, and 1 otherwise.
    """
    options = _parser().parse_args(arguments)
    with (
        StitchEmulator(speed=SPEED) as stitch,
        running_airflow(stitch.connection_json()) as airflow,
        watched_account(airflow, stitch) as watched,
    ):
        for name in TRIGGERERS[1 : options.triggerers]:
            airflow.processes.start_component("triggerer", name)
        if options.tasks:
            start_waiting_tasks(airflow, watched)
        errors = load_during_kills(airflow, watched, options)
        if options.rejected_seconds:
            errors += reject_token(airflow, watched, options.rejected_seconds)
    for error in errors:
        print(f"FAULT: {error}")
    print("no fault" if not errors else f"{len(errors)} faults")
    return 1 if errors else 0


def start_waiting_tasks(airflow: Airflow, watched: WatchedAccount) -> None:
    """Start 50 deferred tasks that wait on the same account.

    The tasks wait for jobs that take longer than the test.
    """
    for number in range(TASKS):
        job = JobPlan(tap_seconds=72_000.0)
        source = watched.account.add_source(f"source_{number}", streams={"commits": 1}, job=job)
        watched.account.start_job(source)
    run = airflow.run("wait_for_50", "", task_id="wait", started_after=format_time(watched.stitch.now()))

    def are_deferred() -> bool:
        states = airflow.control.states_of_mapped_task(run.dag_id, run.run_id, "wait")
        return states.count("deferred") == TASKS

    airflow.wait_until(are_deferred, f"{TASKS} deferred tasks", timeout=1200)
    print(f"{TASKS} tasks are deferred")


def load_during_kills(airflow: Airflow, watched: WatchedAccount, options: argparse.Namespace) -> list[str]:
    """Load random streams, and kill triggerers between the loads.

    Return a description of each fault that the test has found.
    """
    chance = random.Random(options.seed)
    kills = set(chance.sample(range(options.loads), options.kills))
    names = TRIGGERERS[: options.triggerers]
    for number in range(options.loads):
        time.sleep(chance.uniform(0, 4))
        watched.load(chance.choice(STREAMS))
        if number in kills:
            time.sleep(chance.uniform(0, 3))
            killed = chance.choice(names)
            airflow.processes.kill(killed)
            time.sleep(chance.uniform(0, 3))
            airflow.processes.start_component("triggerer", killed)
            # In half of the cases, the next load occurs after the triggerer has started. In the other half,
            # the load occurs while the triggerer is still starting.
            if chance.random() < 0.5:
                watched.wait_until_polled()
    watched.wait_until_announced(timeout=900)
    busiest, duplicates = watched.account.busiest_window(), watched.duplicates()
    announced = sum(len(watched.announced(stream)) for stream in STREAMS)
    print(
        f"{options.triggerers} triggerer(s), seed {options.seed}: {len(watched.loads)} loads, "
        f"{len(kills)} kills; "
        f"the last load of each of {len(watched.last_loads())} streams is announced; {announced} events of "
        f"streams, {duplicates} duplicates; at most {busiest} status requests in 10 minutes, "
        f"{len(watched.account.limited_requests)} in {_virtual_minutes(watched)} minutes"
    )
    errors = []
    if duplicates > len(kills):
        errors.append(f"{duplicates} duplicates after {len(kills)} kills")
    if busiest > MAX_REQUESTS:
        errors.append(f"{busiest} status requests in 10 minutes")
    return errors


def _virtual_minutes(watched: WatchedAccount) -> int:
    requests = watched.account.limited_requests
    elapsed: timedelta = requests[-1].at - requests[0].at
    return round(elapsed.total_seconds() / 60)


def reject_token(airflow: Airflow, watched: WatchedAccount, seconds: float) -> list[str]:
    """Make Stitch reject the token for some time, load each stream, and replace the token.

    Return a description of each fault.

    :param seconds: how long Stitch rejects the token, in real seconds.
    """
    starts, requests = _starts(airflow), watched.rejected_requests()
    watched.account.disable_token()
    time.sleep(seconds)
    restarts, rejected = _starts(airflow) - starts, watched.rejected_requests() - requests
    for stream in STREAMS:
        watched.load(stream)
    watched.account.add_token(NEW_TOKEN)
    airflow.control.set_password(CONNECTION, NEW_TOKEN)
    watched.wait_until_announced(timeout=900)
    print(
        f"token rejected for {seconds:.0f} s: {restarts} starts of triggers, {rejected} requests; with the "
        f"new token the loads of {len(STREAMS)} streams are announced"
    )
    return [f"{restarts} triggers were started while the token was rejected"] if restarts else []


def _starts(airflow: Airflow) -> int:
    """Return how often a triggerer has started a trigger."""
    logs = airflow.processes.home.glob("*triggerer.out")
    return sum(log.read_text().count(" starting") for log in logs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.system.load_events", description=__doc__)
    parser.add_argument("--loads", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--triggerers", type=int, choices=(1, 2), default=1)
    parser.add_argument("--tasks", action=argparse.BooleanOptionalAction, default=True, help="deferred tasks")
    parser.add_argument("--rejected-seconds", type=float, default=0.0, help="how long the token is rejected")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
