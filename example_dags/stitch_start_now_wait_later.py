"""Start a job, run another task, and then wait for the rows."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor

with DAG(
    dag_id="stitch_start_now_wait_later",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
):
    start = StitchRunReplicationJobOperator(task_id="start", source="github", wait_for=None)

    @task
    def prepare_the_warehouse() -> None:
        print("Runs while Stitch extracts")

    wait = StitchLoadingSensor(
        task_id="wait",
        source="github",
        job_name="{{ ti.xcom_pull(task_ids='start')['job_name'] }}",
        deferrable=True,
    )

    start >> prepare_the_warehouse() >> wait
