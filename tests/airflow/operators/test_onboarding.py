"""Test the onboarding of a new tenant in one DAG run, from creating the account to loading rows.

Another test runs the onboarding example DAG unchanged.
"""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.operators.stitch import (
    StitchCreateAccountOperator,
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
    StitchRunReplicationJobOperator,
    StitchSelectStreamsOperator,
)
from airflow_provider_stitch.sensors.stitch import StitchConnectionCheckSensor, StitchStructureSyncSensor
from tests.airflow.test_example_dags import FOLDER
from tests.support.dag_runs import load_dag
from tests.support.leak_scan import assert_no_secrets_left

GITHUB_TOKEN = 'ghp_tenant/hush+12345"67\\890'
WAREHOUSE_PASSWORD = "warehouse&hush=<12345>67'890%2F"


@pytest.fixture
def stitch(monkeypatch):
    with StitchEmulator(speed=600) as stitch:
        partner = {
            "conn_type": "stitch",
            "host": stitch.url,
            "extra": {"partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret},
        }
        for name, fields in {
            "PARTNER": partner,
            "TENANT_GITHUB": {"conn_type": "generic", "password": GITHUB_TOKEN},
            "TENANT_WAREHOUSE": {
                "conn_type": "postgres",
                "host": "pg.acme.example",
                "schema": "dwh",
                "login": "stitch",
                "password": WAREHOUSE_PASSWORD,
            },
        }.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(fields))
        yield stitch


WAREHOUSE_PROPERTIES = {
    "host": "{{ conn.tenant_warehouse.host }}",
    "port": 5432,
    "database": "dwh",
    "username": "{{ conn.tenant_warehouse.login }}",
}


def onboard(airflow, stitch, store, deferrable):
    """Run a DAG with all steps of an onboarding.

    The first step creates the account that the other steps use.
    """
    in_account = {"stitch_conn_id": "tenant", "retries": 0}
    wait = {"deferrable": deferrable, **in_account}
    with airflow.dag() as dag:
        account = StitchCreateAccountOperator(
            task_id="create_account",
            stitch_conn_id="partner",
            company="Acme",
            user_email="ada@acme.example",
            first_name="Ada",
            last_name="Example",
            region="us-east-1",
            connection_id="tenant",
            store=store,
        )
        destination = StitchCreateDestinationOperator(
            task_id="create_destination",
            destination_type="postgres",
            name="Warehouse",
            properties=WAREHOUSE_PROPERTIES,
            credentials={"password": "{{ conn.tenant_warehouse.password }}"},
            poll_interval=0.1,
            **in_account,
        )
        source = StitchCreateSourceOperator(
            task_id="create_source",
            source_type="platform.github",
            display_name="GitHub",
            properties={"repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"},
            credentials={"access_token": "{{ conn.tenant_github.password }}"},
            destination="Warehouse",
            **in_account,
        )
        after = "{{ ti.xcom_pull(task_ids='create_source')['checked_after'] }}"
        check_args = {"source": "GitHub", "started_after": after}
        connected = StitchConnectionCheckSensor(task_id="connected", poke_interval=0.2, **check_args, **wait)
        synced = StitchStructureSyncSensor(task_id="synced", poke_interval=0.2, **check_args, **wait)
        select = StitchSelectStreamsOperator(
            task_id="select", source="GitHub", streams={"commits": None, "issues": None}, **in_account
        )
        load = StitchRunReplicationJobOperator(task_id="load", source="GitHub", **wait)
        account >> destination >> source >> connected >> synced >> select >> load
    return airflow.run(dag)


def test_onboarding_takes_new_tenant_to_loaded_rows(airflow, stitch, monkeypatch, deferrable):
    tenant = {}

    def store(conn_id, text):
        """Store a connection in an environment variable, in place of a secrets backend."""
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
        if conn_id != "tenant":
            return  # the probe that the operator stores to check that Airflow finds the new connection
        tenant.update(json.loads(text))
        if "login" in tenant:
            streams = {"commits": 120, "issues": 7, "pulls": 3}
            stitch.account(int(tenant["login"])).plan_new_sources("platform.github", streams=streams)

    dag_run = onboard(airflow, stitch, store, deferrable)

    assert dag_run.state == "success"
    loaded = dag_run.xcom["load"]["streams"]
    assert {name: stream["rows"] for name, stream in loaded.items()} == {"commits": 120, "issues": 7}
    assert dag_run.xcom["select"]["changes"]["commits"]["selected"] is True
    secrets = [tenant["password"], GITHUB_TOKEN, WAREHOUSE_PASSWORD, stitch.partner_id, stitch.partner_secret]
    assert_no_secrets_left(dag_run, *secrets, marker="create_destination")


def test_second_run_of_the_example_changes_nothing(airflow, monkeypatch, stitch):
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json())
    stitch.delete_destinations()
    stitch.plan_new_sources("platform.github", streams={"commits": 120, "issues": 0})
    path = FOLDER / "stitch_onboard_tenant.py"

    first = airflow.run(load_dag(path))
    source_id = first.xcom["create_source"]["source_id"]
    before = len(stitch.requests)
    second = airflow.run(load_dag(path))

    assert (first.state, second.state) == ("success", "success")
    changes = [
        (request.method, request.path.rpartition("/")[2])
        for request in stitch.requests[before:]
        if request.method != "GET"
    ]
    # Stitch rejects a start request while a scheduled job is running, so a task may send several start
    # requests. Each DAG run still starts only one job.
    assert set(changes) == {("POST", "sync")}
    assert [job.started_by for job in stitch.jobs(source_id)].count("api") == 2
    assert first.xcom["create_source"]["created"] is True
    assert first.xcom["first_rows"]["streams"]["commits"]["rows"] == 120
    created = [second.xcom[task]["created"] for task in ("create_destination", "create_source")]
    changed = [
        second.xcom[task]["changed"] for task in ("create_destination", "create_source", "select_streams")
    ]
    assert created == [False, False]
    assert changed == [[], [], False]
