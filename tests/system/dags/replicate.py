"""A DAG for each way in which a task is treated. A run's configuration says which source it replicates."""

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators import job_checkpoint as kept_job
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator


class Unanswered(StitchRunReplicationJobOperator):
    """A task whose Airflow does not respond in time when the task is killed."""

    def on_kill(self):
        kept_job.ASK_PATIENCE = 0
        super().on_kill()


# Long enough for a busy machine to start a job in.
TIMED = timedelta(seconds=15)

WAYS = {
    "plain": {},
    "unanswered": {},
    "failing": {"retries": 2},
    "left_running": {"stop_on_kill": False},
    "timed": {"execution_timeout": TIMED, "retries": 0},
    "timed_left_running": {"execution_timeout": TIMED, "retries": 0, "stop_on_kill": False},
}

for way, options in WAYS.items():
    for deferrable in (False, True):
        with DAG(
            dag_id=f"{way}_{'deferred' if deferrable else 'in_worker'}",
            schedule=None,
            start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        ):
            operator = Unanswered if way == "unanswered" else StitchRunReplicationJobOperator
            operator(
                task_id="replicate",
                source="{{ dag_run.conf['source'] }}",
                stitch_conn_id="{{ dag_run.conf.get('connection', 'stitch_default') }}",
                deferrable=deferrable,
                **{"retries": 9, "retry_delay": timedelta(0), **options},
            )
