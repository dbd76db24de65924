"""DAGs with sensors that start and end in the triggerer.

The configuration of a DAG run determines which source a sensor waits for.
"""

import os
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor, StitchLoadingSensor

SOURCE = "{{ dag_run.conf['source'] }}"
STARTED_AFTER = "{{ dag_run.conf['started_after'] }}"
IN_TRIGGERER = {"deferrable": True, "start_from_trigger": True, "end_from_trigger": True}


def dag(dag_id):
    return DAG(dag_id=dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))


def record(event, context, *_):
    """Append the name of a callback to a file that belongs to the DAG run.

    If Airflow passes an exception to the callback, append the name of the exception's class too.
    """
    folder = Path(os.environ["AIRFLOW_HOME"], "callbacks")
    folder.mkdir(exist_ok=True)
    exception = context.get("exception")
    words = [event] if exception is None else [event, type(exception).__name__]
    with (folder / context["run_id"]).open("a") as file:
        file.write(" ".join(words) + "\n")


RECORDED = {
    "on_execute_callback": partial(record, "execute"),
    "on_success_callback": partial(record, "success"),
    "on_failure_callback": partial(record, "failure"),
    "on_retry_callback": partial(record, "retry"),
    "pre_execute": partial(record, "before execute"),
    "post_execute": partial(record, "after execute"),
}


@task
def transform():
    """Do nothing in a downstream task."""


VARIANTS = {
    "wait": {"retries": 0},
    "wait_twice": {"retries": 1, "retry_delay": timedelta(0)},
    "wait_softly": {"retries": 0, "soft_fail": True},
    "wait_briefly": {"retries": 0, "timeout": 5},
}

for dag_id, options in VARIANTS.items():
    with dag(dag_id):
        StitchLoadingSensor(
            task_id="wait", source=SOURCE, started_after=STARTED_AFTER, **IN_TRIGGERER, **RECORDED, **options
        )

with dag("wait_plainly"):
    StitchLoadingSensor(task_id="wait", source="plain_source", retries=0, **IN_TRIGGERER)

# The triggerer renders `streams` and `load_settle`. If the sensor is skipped, its downstream task is also
# skipped.
with dag("wait_for_rows"):
    wait = StitchLoadingSensor(
        task_id="wait",
        source=SOURCE,
        started_after=STARTED_AFTER,
        streams="{{ dag_run.conf['streams'] }}",
        load_settle="{{ dag_run.conf['load_settle'] }}",
        retries=0,
        skip_if_no_rows=True,
        **IN_TRIGGERER,
    )
    wait >> transform()

with dag("start_and_wait"):
    start = StitchRunReplicationJobOperator(task_id="start", source=SOURCE, wait_for=None)
    StitchLoadingSensor(task_id="wait", source=SOURCE, job_name=start.output["job_name"], **IN_TRIGGERER)

MANY = {
    "stitch_conn_id": "{{ dag_run.conf['stitch_conn_id'] }}",
    "started_after": STARTED_AFTER,
    "retries": 0,
    **IN_TRIGGERER,
}

with dag("wait_for_20"):
    for number in range(20):
        source = f"source_{{{{ dag_run.conf['first'] | int + {number} }}}}"
        StitchExtractionSensor(task_id=f"wait_{number}", source=source, **MANY)

for count in (20, 200):
    with dag(f"wait_for_{count}_mapped"):
        StitchExtractionSensor.partial(task_id="wait", **MANY).expand(
            source=[f"source_{number}" for number in range(count)]
        )

# The program tests.system.deferral_race uses this DAG. The rows of all jobs are already loaded, so each
# trigger could fire immediately.
with dag("wait_for_loaded_mapped"):
    StitchLoadingSensor.partial(
        task_id="wait",
        stitch_conn_id="{{ dag_run.conf['stitch_conn_id'] }}",
        started_after=STARTED_AFTER,
        retries=0,
        deferrable=True,
    ).expand(source=[f"source_{number}" for number in range(40)])
