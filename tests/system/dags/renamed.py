"""DAGs with a task that a test renames while the task is running.

The author of a DAG might also rename a task while a DAG run is in progress.
"""

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

NEW_TASK_ID = Path(os.environ["AIRFLOW_HOME"], "new_task_id")

for deferrable in (False, True):
    with DAG(
        dag_id=f"renamed_{'deferred' if deferrable else 'in_worker'}",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    ):
        StitchRunReplicationJobOperator(
            task_id=NEW_TASK_ID.read_text() if NEW_TASK_ID.exists() else "replicate",
            source="{{ dag_run.conf['source'] }}",
            deferrable=deferrable,
            retries=9,
            retry_delay=timedelta(0),
        )
