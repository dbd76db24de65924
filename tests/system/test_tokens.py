"""Test that no failure during the creation of an account loses a token or changes another connection.

Set `STITCH_TEST_TOKEN_RUNS=200` to test 200 seeds. Set `STITCH_TEST_TOKEN_SEED=7` to start with seed 7.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import StitchEmulator
from local_airflow.processes import IS_AIRFLOW_2
from tests.system.airflow_settings import FERNET_KEY, POSTGRES
from tests.system.connections import open_connections
from tests.system.harness import FINISHED_STATES, running_airflow
from tests.system.token_plans import EXISTING, FOREIGN, Attempt, Plan, make_plan, may_lose_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.system.connections import Connections
    from tests.system.harness import Airflow, Run

RUNS = int(os.environ.get("STITCH_TEST_TOKEN_RUNS", "18"))
SEED = int(os.environ.get("STITCH_TEST_TOKEN_SEED", "0"))
BATCH_SIZE = 20
API_CONNECTION = "airflow_api_for_tests"

#: Number of seconds after which an unfinished batch fails the test. The timeout is long, because the machine
#: may be busy.
TIMEOUT = 600.0


@pytest.fixture(scope="module")
def stitch():
    with StitchEmulator(speed=60) as stitch:
        yield stitch


@pytest.fixture(scope="module")
def airflow(stitch):
    settings = {
        "CORE__PARALLELISM": "6",
        "CORE__MAX_ACTIVE_RUNS_PER_DAG": "40",
        # Prevents Airflow from killing tasks that miss heartbeats on a busy machine. Only planned faults
        # should kill tasks.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "600",
        "WORKERS__MAX_FAILED_HEARTBEATS": "600",
    }
    if not IS_AIRFLOW_2:
        settings["STITCH_TESTS__API_CONNECTION"] = API_CONNECTION
    with running_airflow(stitch.connection_json(), settings=settings) as airflow:
        airflow.wait_until(lambda: airflow.control.has_dag("create_account"), "Airflow to parse the DAG")
        yield airflow


@pytest.fixture(scope="module")
def connections(stitch, airflow):
    database = POSTGRES or f"sqlite:///{airflow.processes.home}/airflow.db?timeout={TIMEOUT:.0f}"
    partner = {"partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret}
    with open_connections(database, FERNET_KEY) as connections:
        connections.add("partner_for_tests", conn_type="stitch", host=stitch.url, extra=partner)
        connections.add(
            API_CONNECTION, conn_type="http", host=airflow.processes.url, password=api_token(airflow)
        )
        yield connections


def api_token(airflow: Airflow) -> str:
    if IS_AIRFLOW_2:
        return "unused"
    authorization: str = airflow.control._session.headers["Authorization"]
    return authorization.removeprefix("Bearer ")


@pytest.mark.parametrize("first", range(SEED, SEED + RUNS, BATCH_SIZE))
def test_no_token_is_lost_and_no_other_connection_is_changed(airflow, connections, stitch, first):
    plans = [make_plan(seed) for seed in range(first, min(first + BATCH_SIZE, SEED + RUNS))]
    before = {plan.seed: add_existing(connections, plan) for plan in plans}

    attempts = [(plan, attempt) for plan in plans for attempt in plan.attempts]
    runs = run_all(airflow, attempts)

    errors = []
    unstored = []
    for plan in plans:
        after = connections.get(plan.connection_id)
        if plan.existing in FOREIGN and after != before[plan.seed]:
            errors.append(f"{plan}: the existing connection was changed: {after}")
        for email in {attempt.email for attempt in plan.attempts}:
            account = find_account(stitch, email)
            if account is None or (after and after["password"] in account.tokens):
                continue
            if plan.existing in FOREIGN or not may_lose_response(plan, email):
                logs = [run.log() for run, (each, _) in zip(runs, attempts, strict=True) if each == plan]
                errors.append(f"{plan}: lost the token of {email}: {after}\n{logs}")
            unstored.append((plan, Attempt(email, [])))
    # Each of these tasks was killed before it could store the token. An undisturbed run must explain how to
    # obtain a new token.
    for (plan, attempt), run in zip(unstored, run_all(airflow, unstored), strict=True):
        if "StitchAttachAccountOperator" not in run.log():
            errors.append(f"{plan}: did not explain how to obtain a token of {attempt.email}: {run.log()}")
    assert not errors, "\n".join(errors)


def run_all(airflow: Airflow, attempts: Sequence[tuple[Plan, Attempt]]) -> list[Run]:
    """Start a DAG run for each attempt, and return the runs once all of them have ended."""
    runs = [start(airflow, plan, attempt) for plan, attempt in attempts]
    control = airflow.control
    airflow.wait_until(
        lambda: all(control.state_of_run(run.dag_id, run.run_id) in FINISHED_STATES for run in runs),
        "all runs to end",
        TIMEOUT,
    )
    return runs


def start(airflow: Airflow, plan: Plan, attempt: Attempt) -> Run:
    run = airflow.new_run("create_account", "create")
    conf = {"email": attempt.email, "connection_id": plan.connection_id, "faults": attempt.faults}
    airflow.wait_until(lambda: airflow.control.trigger(run.dag_id, run.run_id, conf), "a new run")
    return run


def find_account(stitch: StitchEmulator, email: str) -> Any:
    return next((each for each in stitch._state.accounts.values() if each.email == email), None)


def add_existing(connections: Connections, plan: Plan) -> dict[str, object] | None:
    if plan.existing is not None:
        connections.add(plan.connection_id, **EXISTING[plan.existing])
    return connections.get(plan.connection_id)
