"""Run dbt when Stitch has loaded new rows into one of two tables, no matter which DAG ran the job."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_stitch.assets import stitch_stream

with DAG(
    dag_id="stitch_dbt_on_new_rows",
    schedule=(stitch_stream("github", "commits") | stitch_stream("github", "pulls")),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
):

    @task.bash
    def dbt_build() -> str:
        """Return the command to run. In your own DAG, remove `echo`."""
        return "echo dbt build --select source:github+"

    dbt_build()
