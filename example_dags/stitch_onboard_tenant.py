"""Onboard a tenant: create a destination and a source, select streams, and load the first rows.

Each task finds the objects that an earlier run created, and changes only what is different. The DAG can
therefore run again. The tasks read secrets from Airflow connections (`tenant_warehouse`, `tenant_github`),
and do not display or store the secrets.
"""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
    StitchRunReplicationJobOperator,
    StitchSelectStreamsOperator,
)
from airflow_provider_stitch.sensors.stitch import StitchConnectionCheckSensor

SOURCE = "{{ ti.xcom_pull(task_ids='create_source')['source_id'] }}"

with DAG(
    dag_id="stitch_onboard_tenant",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
    params={"tenant": "Acme", "repository": "acme/shop"},
):
    destination = StitchCreateDestinationOperator(
        task_id="create_destination",
        destination_type="postgres",
        name="Warehouse of {{ params.tenant }}",
        properties={
            "host": "{{ conn.tenant_warehouse.host }}",
            "port": "5432",
            "database": "{{ conn.tenant_warehouse.schema }}",
            "username": "{{ conn.tenant_warehouse.login }}",
        },
        credentials={"password": "{{ conn.tenant_warehouse.password }}"},
    )
    source = StitchCreateSourceOperator(
        task_id="create_source",
        source_type="platform.github",
        display_name="GitHub of {{ params.tenant }}",
        properties={"repository": "{{ params.repository }}", "start_date": "2025-01-01T00:00:00Z"},
        credentials={"access_token": "{{ conn.tenant_github.password }}"},
        destination="{{ ti.xcom_pull(task_ids='create_destination')['destination_id'] }}",
    )
    connected = StitchConnectionCheckSensor(
        task_id="wait_for_connection",
        source=SOURCE,
        started_after="{{ ti.xcom_pull(task_ids='create_source')['checked_after'] }}",
        poke_interval=10,
    )
    select = StitchSelectStreamsOperator(
        task_id="select_streams", source=SOURCE, streams=["commits", "issues"]
    )
    load = StitchRunReplicationJobOperator(task_id="first_rows", source=SOURCE)
    destination >> source >> connected >> select >> load
