"""Set a temporary home for Airflow, and configure how many examples Hypothesis generates."""

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

# Airflow reads these environment variables when it is first imported. The first import may happen while
# pytest collects tests.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
# The DAGs folder is an empty folder, because each call of `dag.test()` searches the whole folder. Airflow's
# home would also contain the logs of earlier runs.
_DAGS_FOLDER = Path(_HOME.name, "dags")
_DAGS_FOLDER.mkdir()
os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    # Without a Fernet key, Airflow would store the passwords of connections unencrypted.
    AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(os.urandom(32)).decode(),
    AIRFLOW__CORE__DAGS_FOLDER=str(_DAGS_FOLDER),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Disable Python's garbage collector while pytest collects tests, and then freeze all existing objects.

    Pytest imports Airflow when it collects tests. Airflow's many objects live as long as the process, so the
    garbage collector would examine them without freeing memory.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the lineage tests first, because their setup takes longest.

    Otherwise, one process could still be running these tests after all other processes have finished.
    """
    items.sort(key=lambda item: item.path.name != "test_lineage.py")


# The profiles set no deadline, so that no test fails only because the machine is busy. The command `pytest
# --hypothesis-profile=thorough` generates 40 times as many examples as the default. The command `make
# test-airflow2` uses the profile `smoke`, because no tested property depends on Airflow.
settings.register_profile("smoke", deadline=None, max_examples=10)
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("quick")
