"""DAGs that replicate a source in a worker or in deferrable mode, with different operator arguments.

The configuration of a DAG run determines which source is replicated.
"""

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators import job_checkpoint
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator


class SlowAirflowOperator(StitchRunReplicationJobOperator):
    """An operator for which Airflow responds too late when the task is killed."""

    def on_kill(self):
        job_checkpoint.RESPONSE_TIMEOUT = 0
        super().on_kill()


# A task can start a job and be deferred to the triggerer within this time, even on a busy machine.
SHORT_TIMEOUT = timedelta(seconds=45)

VARIANTS = {
    "plain": {},
    "unanswered": {},
    "failing": {"retries": 2},
    "left_running": {"stop_on_kill": False},
    "timed": {"execution_timeout": SHORT_TIMEOUT, "retries": 0},
    "timed_left_running": {"execution_timeout": SHORT_TIMEOUT, "retries": 0, "stop_on_kill": False},
}

for variant, options in VARIANTS.items():
    for deferrable in (False, True):
        with DAG(
            dag_id=f"{variant}_{'deferred' if deferrable else 'in_worker'}",
            schedule=None,
            start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        ):
            operator = SlowAirflowOperator if variant == "unanswered" else StitchRunReplicationJobOperator
            operator(
                task_id="replicate",
                source="{{ dag_run.conf['source'] }}",
                stitch_conn_id="{{ dag_run.conf.get('connection', 'stitch_default') }}",
                deferrable=deferrable,
                **{"retries": 9, "retry_delay": timedelta(0), **options},
            )
