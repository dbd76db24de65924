"""Test how many modules a DAG file imports for our operators and sensors.

The test does not measure import times, because the times would vary.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

AIRFLOW_2 = version("apache-airflow").startswith("2.")

# On Airflow 2, our sensors import many of Airflow's modules. Therefore, the test counts only our own modules.
MAX_MODULES = 15
OURS = ("airflow_provider_stitch",) if AIRFLOW_2 else ("",)

AIRFLOW = "from airflow.models import DAG, BaseOperator" if AIRFLOW_2 else "from airflow.sdk import DAG"
IMPORTS = f"""
import json, sys
{AIRFLOW}
before = set(sys.modules)
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
import airflow_provider_stitch.sensors.stitch
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def added_modules(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The modules that our operators and sensors import, except those that Airflow imports."""
    home: Path = tmp_path_factory.mktemp("airflow")
    completed = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        env={**os.environ, "AIRFLOW_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names = json.loads(completed.stdout.splitlines()[-1])
    assert {"airflow_provider_stitch.operators.run_job", "airflow_provider_stitch.sensors.stitch"} <= set(
        names
    )
    return names


def test_importing_operators_and_sensors_adds_few_modules(added_modules: list[str]) -> None:
    counted = [name for name in added_modules if name.startswith(OURS)]

    assert 0 < len(counted) <= MAX_MODULES, counted


@pytest.mark.parametrize(
    "package",
    [
        "requests",
        "tenacity",
        "asyncio",
        "airflow.triggers",
        "openlineage",
        "airflow.providers.openlineage",
        "airflow_provider_stitch.assets",
        "airflow_provider_stitch.connect",
        "airflow_provider_stitch.emulator",
        "airflow_provider_stitch.lineage",
        "airflow_provider_stitch.replication",
    ],
)
def test_importing_operators_and_sensors_does_not_import(package: str, added_modules: list[str]) -> None:
    assert [name for name in added_modules if name == package or name.startswith(f"{package}.")] == []


def test_importing_one_operator_does_not_import_the_others(added_modules: list[str]) -> None:
    ours = [name for name in added_modules if name.startswith("airflow_provider_stitch.operators.")]

    assert not {
        f"airflow_provider_stitch.operators.{name}" for name in ("create_account", "select_streams", "_setup")
    } & set(ours)


def test_stitch_module_offers_every_operator() -> None:
    from airflow_provider_stitch.operators import stitch

    for name in stitch.__all__:
        assert getattr(stitch, name).__name__ == name
    assert dir(stitch) == stitch.__all__
    with pytest.raises(AttributeError, match="StitchEverythingOperator"):
        stitch.StitchEverythingOperator  # noqa: B018
