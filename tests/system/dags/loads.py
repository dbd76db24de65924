"""DAGs that are started by loads or webhooks (Airflow 3.3 or later), and 50 tasks on one account."""

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.assets import stitch_source, stitch_stream
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor
from airflow_provider_stitch.triggers.versions import HAS_SHARED_STREAMS

CONNECTION = "stitch_events"
WATCHED, HOOKED = "watched_source", "hooked_source"
STREAMS = ("commits", "issues", "pulls", "stars")
WATCH = {"stitch_conn_id": CONNECTION, "watch": True, "poll_interval": 1}


def consumer(dag_id, schedule):
    from airflow.providers.standard.operators.empty import EmptyOperator

    with DAG(dag_id=dag_id, schedule=schedule, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
        EmptyOperator(task_id="consume")


if HAS_SHARED_STREAMS:
    for stream in STREAMS:
        consumer(f"on_{stream}", stitch_stream(WATCHED, stream, **WATCH))
    consumer("on_any_stream", stitch_source(WATCHED, **WATCH))
    consumer("on_webhook", stitch_stream(HOOKED, "commits", stitch_conn_id=CONNECTION))

with DAG(dag_id="wait_for_50", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    StitchExtractionSensor.partial(
        task_id="wait",
        stitch_conn_id=CONNECTION,
        started_after="{{ dag_run.conf['started_after'] }}",
        retries=5,  # required because Airflow fails a task if Airflow's API server responds too late
        retry_delay=timedelta(0),
        deferrable=True,
        start_from_trigger=True,  # because starting 50 workers would take minutes
        end_from_trigger=True,
    ).expand(source=[f"source_{number}" for number in range(50)])
