"""Replicate a source every morning, and succeed when its rows are in the warehouse."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

with DAG(
    dag_id="stitch_one_source",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
):
    StitchRunReplicationJobOperator(task_id="replicate_github", source="github", deferrable=True)
