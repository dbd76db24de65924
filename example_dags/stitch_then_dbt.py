"""Replicate two sources in parallel, and run dbt when the rows of both are in the warehouse."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

with DAG(
    dag_id="stitch_then_dbt",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
):

    @task.bash
    def dbt_build() -> str:
        """Return the command to run. In your own DAG, remove `echo`."""
        return "echo dbt build --select source:github+ source:shop_pg+"

    build = dbt_build()

    for source in ("github", "shop_pg"):
        StitchRunReplicationJobOperator(task_id=source, source=source, deferrable=True, retries=2) >> build
