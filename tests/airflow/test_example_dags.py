"""Each example DAG runs as it is, against the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "example_dags"
# Begins with an empty account: test_onboarding.py runs it.
EXAMPLES = sorted(set(FOLDER.glob("*.py")) - {FOLDER / "stitch_onboard_tenant.py"})


@pytest.fixture
def account(stitch):
    stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})
    stitch.add_source("salesforce_prod", streams={"Account": 5})
    stitch.add_source("shop_pg", streams={"orders": 12})
    return stitch


def load(path):
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2
        from airflow.models.dagbag import DagBag

    bag = DagBag(path)
    assert not bag.import_errors
    (dag,) = bag.dags.values()
    return dag


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(airflow, account, path):
    ran = airflow.run(load(path))

    assert ran.state == "success"
    assert set(ran.states.values()) == {"success"}


def test_mapped_tasks_replicate_a_source_each(airflow, account):
    ran = airflow.run(load(next(path for path in EXAMPLES if "many_sources" in path.stem)))

    replicated = [ran.xcom[f"replicate[{number}]"]["source_name"] for number in range(3)]
    assert replicated == ["github", "salesforce_prod", "shop_pg"]


def test_a_downstream_task_sees_streams_and_rows(airflow, account):
    ran = airflow.run(load(next(path for path in EXAMPLES if "transform" in path.stem)))

    assert ran.xcom["transform"] == ["stg_github__commits", "stg_github__pulls"]
    assert "Rebuilding stg_github__commits: 120 new rows" in ran.output
