"""Airflow settings for the system tests."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from local_airflow.processes import IS_AIRFLOW_2

if TYPE_CHECKING:
    from pathlib import Path

POSTGRES = os.environ.get("STITCH_TEST_POSTGRES")
CELERY = os.environ.get("STITCH_TEST_CELERY")
FERNET_KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()

#: Airflow settings with short intervals, so that Airflow detects dead processes within seconds, not minutes.
SETTINGS = {
    "CORE__FERNET_KEY": FERNET_KEY,
    "CORE__PARALLELISM": "6",
    "CORE__TASK_SUCCESS_OVERTIME": "1",
    "SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    # The number of seconds without a heartbeat after which Airflow 2.11 kills a task. A busy machine can
    # delay heartbeats. If the setting is 0, Airflow uses its zombie threshold instead.
    "SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "0",
    "SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "40",
    "SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "2",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # On a busy machine, Airflow parses DAG files slowly. With these timeouts, Airflow does not drop the DAGs.
    # Airflow 3 and Airflow 2 use different names for the same settings.
    "CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    "CORE__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "3600",
    "SCHEDULER__STALE_DAG_THRESHOLD": "3600",
}


def database_settings(home: Path | None) -> dict[str, str]:
    """Return the setting for Airflow's metadata database, unless the tests use Airflow's default."""
    if POSTGRES:
        return {"DATABASE__SQL_ALCHEMY_CONN": POSTGRES}
    if IS_AIRFLOW_2:
        # On a busy machine, a database lock can last longer than the default timeout of `LocalAirflow`, which
        # is 60 seconds.
        return {"DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=600"}
    return {}


def executor_settings() -> dict[str, str]:
    """Return the settings for the CeleryExecutor if the tests use Celery."""
    if not CELERY:
        return {}
    return {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CELERY__BROKER_URL": CELERY,
        "CELERY__RESULT_BACKEND": CELERY,
        # If a worker is killed, its queued tasks remain queued until this timeout. Airflow's default is 10
        # minutes.
        "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
        "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        # The broker may still contain tasks from earlier tests, so each test run uses its own queue.
        "OPERATORS__DEFAULT_QUEUE": f"stitch-{os.getpid()}",
    }
