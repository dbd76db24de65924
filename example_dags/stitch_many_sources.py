"""Replicate many sources in parallel, with one mapped task per source."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

SOURCES = ["github", "salesforce_prod", "shop_pg"]

with DAG(
    dag_id="stitch_many_sources",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
):
    StitchRunReplicationJobOperator.partial(
        task_id="replicate", deferrable=True, map_index_template="{{ task.source }}"
    ).expand(source=SOURCES)
