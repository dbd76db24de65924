"""Fixtures for tests that run DAGs in the installed Airflow (2 or 3) against the emulator."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import StitchEmulator
from tests.support.dag_runs import AIRFLOW_HOME, DagRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def airflow_database(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> None:
    """Create an empty database for Airflow.

    Creating a database is slow, so only the first pytest process creates one. The other pytest processes copy
    the database file.
    """
    template = tmp_path_factory.getbasetemp().parent / f"airflow-{testrun_uid}.db"
    database = AIRFLOW_HOME / "airflow.db"
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            command = Path(sys.executable).with_name("airflow")
            subprocess.run([command, "db", "migrate"], check=True, capture_output=True, timeout=900)
            shutil.copy(database, template)
        else:
            shutil.copy(template, database)


@pytest.fixture
def airflow(airflow_database: None, pytestconfig: pytest.Config) -> DagRunner:
    """Run DAGs in the installed Airflow."""
    # Each Airflow logger writes to the output stream that existed when the logger was created. Therefore, one
    # stream is captured for the whole pytest session.
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")

    def read_output() -> str:
        output = "".join(capture.read_global_capture())
        sys.stdout.write(output)  # pytest shows this output if a test fails
        return output

    return DagRunner(read_output)


@pytest.fixture
def stitch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StitchEmulator]:
    """Start an emulator that runs 600 times faster than real time, and connect Airflow to the emulator.

    A test can set another speed with an indirect parameter.

    The connection allows 3,000 requests per window. At this speed, the default of `connection_json` would be
    18,000 requests. A waiting task often computes when it can send the next request, and a higher limit makes
    this computation slower.
    """
    with StitchEmulator(speed=getattr(request, "param", 600)) as stitch:
        connection = json.loads(stitch.connection_json())
        connection["extra"] = {"requests_per_10_minutes": 3000}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
        yield stitch


@pytest.fixture
def limit_requests(stitch: StitchEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the extra field `requests_per_10_minutes` in the Airflow connection."""

    def limit_requests(number: int) -> None:
        connection = json.loads(stitch.connection_json())
        connection["extra"] = {"requests_per_10_minutes": number}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))

    return limit_requests


@pytest.fixture
def github(stitch: StitchEmulator) -> int:
    """Add a source with two streams that have rows and one stream without rows."""
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})


@pytest.fixture
def account(stitch: StitchEmulator, monkeypatch: pytest.MonkeyPatch) -> StitchEmulator:
    """Add the sources and connections that the example DAGs and the documentation use."""
    partner = {"partner_id": stitch.partner_id, "partner_secret": stitch.partner_secret}
    connections = {
        "STITCH_PARTNER": {"conn_type": "stitch", "host": stitch.url, "extra": partner},
        "TENANT_WAREHOUSE": {"conn_type": "postgres", "password": "open sesame"},
    }
    for name, fields in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(fields))
    stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})
    stitch.add_source("salesforce_prod", streams={"Account": 5}, paused=True)
    stitch.add_source("shop_pg", streams={"orders": 12}, schedule_minutes=60)
    return stitch


@pytest.fixture(params=[False, True], ids=["in worker", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Run a test twice: once with a task that waits in the worker, and once with a deferred task."""
    return bool(request.param)
