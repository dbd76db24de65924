"""Settings of the Airflow that the system tests run."""

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

#: Short intervals, so that Airflow detects dead processes within seconds instead of minutes.
SETTINGS = {
    "CORE__FERNET_KEY": FERNET_KEY,
    "CORE__PARALLELISM": "6",
    "CORE__TASK_SUCCESS_OVERTIME": "1",
    "SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    # Airflow 2.11 also kills a task after this many seconds without a heartbeat, however busy the machine is.
    # With 0, the threshold of lost tasks applies instead. `JOB_HEARTBEAT_SEC` is the heartbeat interval.
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
    # A busy machine parses DAGs slowly, and Airflow must not drop them. Airflow 3 and 2 use different names.
    "CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    "CORE__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "3600",
    "SCHEDULER__STALE_DAG_THRESHOLD": "3600",
}


def database_settings(home: Path | None) -> dict[str, str]:
    """Return the connection of Airflow's metadata database, if it is not the default one."""
    if POSTGRES:
        return {"DATABASE__SQL_ALCHEMY_CONN": POSTGRES}
    if IS_AIRFLOW_2:
        # On a busy machine, even the timeout of `LocalAirflow`, 60 s, is too short.
        return {"DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=600"}
    return {}


def executor_settings() -> dict[str, str]:
    """Return the settings of the CeleryExecutor, if the tests use Celery."""
    if not CELERY:
        return {}
    return {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CELERY__BROKER_URL": CELERY,
        "CELERY__RESULT_BACKEND": CELERY,
        # Tasks of a killed worker remain queued until this timeout, which is 10 minutes by default.
        "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
        "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        # The broker may still contain tasks of earlier tests.
        "OPERATORS__DEFAULT_QUEUE": f"stitch-{os.getpid()}",
    }
