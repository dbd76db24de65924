"""Replicate a source, wait until its rows are loaded, then process the streams with new rows."""

from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

with DAG(dag_id="stitch_demo", schedule=None, tags=["stitch"], doc_md=__doc__):
    replicate = StitchRunReplicationJobOperator(
        task_id="replicate",
        source="github",
        wait_for="loading",
        deferrable=True,
        timeout=120,
    )

    @task
    def transform(replicated: dict[str, Any]) -> list[str]:
        """Return the names of the models to rebuild, one for each stream with new rows."""
        return [f"stg_{replicated['source_name']}__{stream}" for stream in replicated["streams"]]

    transform(replicate.output)
