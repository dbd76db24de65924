"""Send an alert with the cause when a replication job fails."""

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator


def alert(context: dict[str, Any]) -> None:
    """Print the error. In your own DAG, send a message to your team instead."""
    print(f"{context['ti'].task_id}: {context['exception']}")


with DAG(
    dag_id="stitch_with_alert",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["stitch"],
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=10),
        "on_failure_callback": alert,
    },
):
    StitchRunReplicationJobOperator(
        task_id="replicate_github", source="github", deferrable=True, timeout=timedelta(hours=3)
    )
