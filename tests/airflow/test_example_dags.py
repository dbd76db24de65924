"""Test that each example DAG succeeds unchanged against the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_stitch.emulator import JobPlan, LoadError
from tests.support.dag_runs import load_dag
from tools.doc_blocks import blocks

FOLDER = Path(__file__).parents[2] / "example_dags"
# The onboarding example requires an empty account, so test_onboarding.py runs this example.
CHECK_ACCOUNT = FOLDER / "stitch_check_account.py"
EXAMPLES = sorted(set(FOLDER.glob("*.py")) - {FOLDER / "stitch_onboard_tenant.py", CHECK_ACCOUNT})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_dag_succeeds(airflow, account, path):
    dag_run = airflow.run(load_dag(path))

    assert dag_run.state == "success"
    assert set(dag_run.states.values()) == {"success"}


@pytest.mark.parametrize("stitch", [1], indirect=True, ids=["at the speed of real time"])
def test_example_that_checks_the_account_succeeds(airflow, account):
    """A new source becomes stale after 26 hours without a load.

    At a higher emulator speed, 26 hours could pass during the test on a busy machine.
    """
    assert airflow.run(load_dag(CHECK_ACCOUNT)).states == {"check": "success"}


def test_each_mapped_task_replicates_one_source(airflow, account):
    dag_run = airflow.run(load_dag(next(path for path in EXAMPLES if "many_sources" in path.stem)))

    replicated = [dag_run.xcom[f"replicate[{number}]"]["source_name"] for number in range(3)]
    assert replicated == ["github", "salesforce_prod", "shop_pg"]
    names = [dag_run.instances[f"replicate[{number}]"].rendered_map_index for number in range(3)]
    assert names == replicated


def test_downstream_task_receives_streams_and_rows(airflow, account):
    dag_run = airflow.run(load_dag(next(path for path in EXAMPLES if "transform" in path.stem)))

    assert dag_run.xcom["transform"] == ["stg_github__commits", "stg_github__pulls"]
    assert "Rebuilding stg_github__commits: 120 new rows" in dag_run.output


def test_alert_matches_the_text_on_its_documentation_page(airflow, stitch):
    github = stitch.add_source("github", streams={"commits": 120, "issues": 7})
    stitch.plan_jobs(
        github, JobPlan(load_errors={"commits": LoadError("permission denied for schema github")})
    )
    dag = load_dag(FOLDER / "stitch_with_alert.py")
    for task in dag.tasks:
        task.retries = 0

    dag_run = airflow.run(dag)

    # Only the first block on the page shows this alert.
    page = next(block.code for block in blocks("text") if block.page == "docs/how-to/alerts.md")
    (job,) = stitch.jobs(github)
    assert dag_run.states == {"replicate_github": "failed"}
    assert _on_one_line(page, "JOB") in _on_one_line(dag_run.output, "JOB", job.job_name)


def _on_one_line(text: str, placeholder: str, job_name: str = r"[\w.-]+\.sync\.[\w-]+") -> str:
    """Return a text as a single line in which each job name is replaced by a placeholder."""
    return " ".join(re.sub(job_name, placeholder, text).split())
