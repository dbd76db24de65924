"""Set a temporary home for Airflow, and configure the number of examples of hypothesis."""

from __future__ import annotations

import base64
import gc
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

# Airflow reads these variables when it is first imported, which may be during the collection of tests.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
# This folder is empty, because each `dag.test()` walks it. Airflow's home also contains the logs of all
# earlier runs.
_DAGS_FOLDER = Path(_HOME.name, "dags")
_DAGS_FOLDER.mkdir()
os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    # Without a key, Airflow stores the passwords of connections unencrypted.
    AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(os.urandom(32)).decode(),
    AIRFLOW__CORE__DAGS_FOLDER=str(_DAGS_FOLDER),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Disable garbage collection during test collection, and exempt the imported modules from it.

    Collecting tests imports Airflow, whose many objects live as long as the process, so examining them frees
    no memory.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests of lineage, whose set-up is the longest.

    Otherwise one process could still run these tests when the other processes have finished.
    """
    items.sort(key=lambda item: item.path.name != "test_lineage.py")


# There is no deadline, because a busy machine must not fail a test. `pytest --hypothesis-profile=thorough`
# generates 40 times as many examples. `make test-airflow2` uses `smoke`, because no property depends on
# Airflow.
settings.register_profile("smoke", deadline=None, max_examples=10)
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("quick")
