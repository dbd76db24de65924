"""Check every hour whether a source of the account fails or is late, and send an alert with all problems."""

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import StitchCheckAccountOperator


def alert(context: dict[str, Any]) -> None:
    """Print the problems. In your own DAG, send a message to your team instead."""
    print(context["exception"])


with DAG(
    dag_id="stitch_check_account",
    schedule="0 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["stitch"],
    default_args={"on_failure_callback": alert},
):
    StitchCheckAccountOperator(
        task_id="check",
        fail_on=["extraction", "load", "stale"],
        max_age=timedelta(hours=26),
    )
