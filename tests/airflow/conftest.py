"""Tests in this folder run DAGs in a real Airflow, of whichever line is installed, against the emulator."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import StitchEmulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOME = Path(os.environ["AIRFLOW_HOME"])
_numbers = itertools.count(1)


@dataclass
class Ran:
    """What is left of a DAG's run."""

    state: str
    output: str  #: all that Airflow printed: the logs of tasks and triggers
    states: dict[str, str]
    xcom: dict[str, Any]  #: the return value of each task that has one
    instances: dict[str, Any] = field(repr=False)


class LocalAirflow:
    """Runs DAGs by `dag.test()`: real task runner, real trigger, real database."""

    def __init__(self, read_output: Callable[[], str]) -> None:
        self._read_output = read_output

    def dag(self, **options: Any) -> Any:
        from airflow.providers.common.compat.sdk import DAG

        start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        return DAG(dag_id=f"dag_{next(_numbers)}", schedule=None, start_date=start, catchup=False, **options)

    def run(self, dag: Any) -> Ran:
        _register(dag)
        self._read_output()
        dag_run = dag.test()
        output = self._read_output()
        instances = {_key(ti): ti for ti in dag_run.get_task_instances()}
        return Ran(
            state=str(dag_run.state),
            output=output,
            states={key: str(ti.state) for key, ti in instances.items()},
            xcom={key: xcom_of(ti) for key, ti in instances.items()},
            instances=instances,
        )


def load_dag(path: Path) -> Any:
    """Return the one DAG of a file, read as Airflow reads it."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2
        from airflow.models.dagbag import DagBag

    bag = DagBag(path)
    assert not bag.import_errors
    (dag,) = bag.dags.values()
    return dag


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


def xcom_of(ti: Any, key: str = "return_value") -> Any:
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)


@pytest.fixture(scope="session")
def _database(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> None:
    """Airflow's database, empty: made by the first process of this run that needs one, for all of them."""
    made = tmp_path_factory.getbasetemp().parent / f"airflow-{testrun_uid}.db"
    own = HOME / "airflow.db"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            airflow = Path(sys.executable).with_name("airflow")
            subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True, timeout=120)
            shutil.copy(own, made)
        else:
            shutil.copy(made, own)


@pytest.fixture
def airflow(_database: None, pytestconfig: pytest.Config) -> LocalAirflow:
    # Airflow's loggers hold on to the output that they first saw, so it must be that of the whole session.
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")

    def read_output() -> str:
        text = "".join(capture.read_global_capture())
        sys.stdout.write(text)  # for the report, should the test fail
        return text

    return LocalAirflow(read_output)


@pytest.fixture
def stitch(monkeypatch: pytest.MonkeyPatch) -> Iterator[StitchEmulator]:
    """A fast Stitch, and Airflow's connection to it."""
    with StitchEmulator(speed=600) as stitch:
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json())
        yield stitch


@pytest.fixture
def github(stitch: StitchEmulator) -> int:
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})


@pytest.fixture
def account(stitch: StitchEmulator, monkeypatch: pytest.MonkeyPatch) -> StitchEmulator:
    """The sources and connections that example DAGs and the documentation speak of."""
    partner = {"partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret}
    connections = {
        "STITCH_PARTNER": {"conn_type": "stitch", "host": stitch.url, "extra": partner},
        "TENANT_WAREHOUSE": {"conn_type": "postgres", "password": "open sesame"},
    }
    for name, fields in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(fields))
    stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})
    stitch.add_source("salesforce_prod", streams={"Account": 5}, paused=True)
    stitch.add_source("shop_pg", streams={"orders": 12})
    stitch.add_source("hubspot", streams={"contacts": 3}, schedule_minutes=5)
    return stitch


@pytest.fixture(params=[False, True], ids=["in a worker", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
