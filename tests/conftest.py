"""Every Airflow of these tests lives in a home of its own, that is gone with the run."""

from __future__ import annotations

import base64
import os
import tempfile

from hypothesis import settings

# Airflow reads these when it is first imported, which may be while tests are collected.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    # Without a key Airflow stores passwords of connections in the clear.
    AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(os.urandom(32)).decode(),
    AIRFLOW__CORE__DAGS_FOLDER=_HOME.name,
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)

# Nothing here asserts how long something takes, hypothesis neither.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
