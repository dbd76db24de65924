"""Tests in this folder run DAGs in a real Airflow, of whichever line is installed, against the emulator."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import StitchEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(os.environ["AIRFLOW_HOME"])
_numbers = itertools.count(1)


@dataclass
class Ran:
    """What is left of a DAG's run."""

    state: str
    output: str  #: all that Airflow printed: the logs of tasks and triggers
    states: dict[str, str]
    xcom: dict[str, Any] = field(default_factory=dict)  #: the return value of each task that has one

    @property
    def task_log(self) -> str:
        return self.output


class LocalAirflow:
    """Runs DAGs by `dag.test()`: real task runner, real trigger, real database."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture

    def dag(self, **options: Any) -> Any:
        from airflow.providers.common.compat.sdk import DAG

        start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        return DAG(dag_id=f"dag_{next(_numbers)}", schedule=None, start_date=start, catchup=False, **options)

    def run(self, dag: Any) -> Ran:
        _register(dag)
        self.capture.readouterr()
        dag_run = dag.test()
        printed = self.capture.readouterr()
        instances = {_key(ti): ti for ti in dag_run.get_task_instances()}
        return Ran(
            state=str(dag_run.state),
            output=printed.out + printed.err,
            states={key: str(ti.state) for key, ti in instances.items()},
            xcom={key: _xcom(ti) for key, ti in instances.items()},
        )


def _register(dag: Any) -> None:
    """Airflow 3 runs only DAGs that its database knows, and by itself it reads those from files."""
    try:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 2
        return
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)


def _key(ti: Any) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def _xcom(ti: Any, key: str = "return_value") -> Any:
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)


@pytest.fixture(scope="session")
def _database() -> None:
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True, timeout=120)


@pytest.fixture
def airflow(_database: None, capfd: pytest.CaptureFixture[str]) -> LocalAirflow:
    return LocalAirflow(capfd)


@pytest.fixture
def stitch(monkeypatch: pytest.MonkeyPatch) -> Iterator[StitchEmulator]:
    """A fast Stitch, and Airflow's connection to it."""
    with StitchEmulator(speed=600) as stitch:
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json())
        yield stitch


@pytest.fixture
def github(stitch: StitchEmulator) -> int:
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})


@pytest.fixture(params=[False, True], ids=["in a worker", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
