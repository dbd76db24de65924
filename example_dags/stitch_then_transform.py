"""Replicate a source, then transform the streams that have new rows according to the XCom."""

from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

with DAG(
    dag_id="stitch_then_transform",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
):
    replicate = StitchRunReplicationJobOperator(task_id="replicate", source="github", deferrable=True)

    @task
    def transform(replicated: dict[str, Any]) -> list[str]:
        """Rebuild only the models of streams that have new rows."""
        models = []
        for name, stream in replicated["streams"].items():
            models.append(f"stg_{replicated['source_name']}__{name}")
            print(f"Rebuilding {models[-1]}: {stream['rows']} new rows, loaded at {stream['loaded_at']}")
        return models

    transform(replicate.output)
