"""Every Airflow of these tests lives in a home of its own, that is gone with the run."""

from __future__ import annotations

import os
import tempfile

from hypothesis import settings

# Airflow reads these when it is first imported, which may be while tests are collected.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=_HOME.name,
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)

# Nothing here asserts how long something takes, hypothesis neither.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
