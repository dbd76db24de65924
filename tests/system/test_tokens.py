"""No token is lost, and no other connection is touched, whatever happens while an account is created.

`STITCH_TEST_TOKEN_RUNS=200` plays more seeds, `STITCH_TEST_TOKEN_SEED=7` others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import StitchEmulator
from local_airflow.processes import IS_AIRFLOW_2
from tests.system.connections import connections_of
from tests.system.harness import FERNET_KEY, OVER, POSTGRES, Run, running_airflow
from tests.system.token_plans import EXISTING, FOREIGN, Attempt, Plan, may_lose_response, plan_of

if TYPE_CHECKING:
    from tests.system.connections import Connections
    from tests.system.harness import Airflow

RUNS = int(os.environ.get("STITCH_TEST_TOKEN_RUNS", "18"))
SEED = int(os.environ.get("STITCH_TEST_TOKEN_SEED", "0"))
WAVE = 10
API_CONNECTION = "airflow_api_for_tests"

#: Seconds that a wave may take, with the pauses between retries, on however busy a machine.
PATIENCE = 600.0


@dataclass
class Played:
    """One run of a plan."""

    attempt: Attempt
    run: Run

    def state(self) -> str:
        return self.run._airflow.control.state_of_run(self.run.dag_id, self.run.run_id)


@pytest.fixture(scope="module")
def stitch():
    with StitchEmulator(speed=60) as stitch:
        yield stitch


@pytest.fixture(scope="module")
def airflow(stitch):
    settings = {"CORE__PARALLELISM": "8", "CORE__MAX_ACTIVE_RUNS_PER_DAG": "20"}
    if not IS_AIRFLOW_2:
        settings["STITCH_TESTS__API_CONNECTION"] = API_CONNECTION
    with running_airflow(stitch.connection_json(), settings=settings) as airflow:
        airflow.until(lambda: airflow.control.has_dag("create_account"), "Airflow to read the DAG")
        yield airflow


@pytest.fixture(scope="module")
def connections(stitch, airflow):
    database = POSTGRES or f"sqlite:///{airflow.processes.home}/airflow.db?timeout=60"
    partner = {"partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret}
    with connections_of(database, FERNET_KEY) as connections:
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


@pytest.mark.parametrize("first", range(SEED, SEED + RUNS, WAVE))
def test_no_token_is_lost_and_no_other_connection_is_touched(airflow, connections, stitch, first):
    plans = [plan_of(seed) for seed in range(first, min(first + WAVE, SEED + RUNS))]
    before = {plan.seed: add_existing(connections, plan) for plan in plans}

    played = {plan.seed: [begin(airflow, plan, attempt) for attempt in plan.attempts] for plan in plans}
    everything = [each for runs in played.values() for each in runs]
    airflow.until(lambda: all(each.state() in OVER for each in everything), "all runs to end", PATIENCE)

    accounts = {account.email: account for account in stitch._world.accounts.values()}
    faults = []
    for plan in plans:
        after = connections.get(plan.connection_id)
        if plan.existing in FOREIGN and after != before[plan.seed]:
            faults.append(f"seed {plan.seed}: the connection {plan.existing!r} was touched: {after}")
        for email in {attempt.email for attempt in plan.attempts}:
            account = accounts.get(email)
            if account is None or (after and after["password"] in account.tokens):
                continue
            logs = [each.run.log() for each in played[plan.seed] if each.attempt.email == email]
            explained = any("StitchAttachAccountOperator" in log for log in logs)
            if plan.existing in FOREIGN or not (may_lose_response(plan, email) and explained):
                faults.append(f"{plan}: lost the token of {email}; explained: {explained}; {after}")
    assert faults == []


def add_existing(connections: Connections, plan: Plan) -> dict[str, object] | None:
    if plan.existing is not None:
        connections.add(plan.connection_id, **EXISTING[plan.existing])
    return connections.get(plan.connection_id)


def begin(airflow: Airflow, plan: Plan, attempt: Attempt) -> Played:
    run = airflow.new_run("create_account", "create")
    conf = {"email": attempt.email, "connection_id": plan.connection_id, "faults": attempt.faults}
    airflow.until(lambda: airflow.control.trigger(run.dag_id, run.run_id, conf), "a run")
    return Played(attempt, run)
