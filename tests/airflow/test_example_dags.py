"""Each example DAG runs as it is, against the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_stitch.emulator import JobPlan, LoadError
from tests.support.dag_runs import load_dag
from tools.doc_blocks import blocks

FOLDER = Path(__file__).parents[2] / "example_dags"
# Begins with an empty account: test_onboarding.py runs it.
EXAMPLES = sorted(set(FOLDER.glob("*.py")) - {FOLDER / "stitch_onboard_tenant.py"})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(airflow, account, path):
    dag_run = airflow.run(load_dag(path))

    assert dag_run.state == "success"
    assert set(dag_run.states.values()) == {"success"}


def test_mapped_tasks_replicate_a_source_each(airflow, account):
    dag_run = airflow.run(load_dag(next(path for path in EXAMPLES if "many_sources" in path.stem)))

    replicated = [dag_run.xcom[f"replicate[{number}]"]["source_name"] for number in range(3)]
    assert replicated == ["github", "salesforce_prod", "shop_pg"]


def test_a_downstream_task_sees_streams_and_rows(airflow, account):
    dag_run = airflow.run(load_dag(next(path for path in EXAMPLES if "transform" in path.stem)))

    assert dag_run.xcom["transform"] == ["stg_github__commits", "stg_github__pulls"]
    assert "Rebuilding stg_github__commits: 120 new rows" in dag_run.output


def test_an_alert_says_what_its_page_shows(airflow, stitch):
    github = stitch.add_source("github", streams={"commits": 120, "issues": 7})
    stitch.plan_jobs(
        github, JobPlan(load_errors={"commits": LoadError("permission denied for schema github")})
    )
    dag = load_dag(FOLDER / "stitch_with_alert.py")
    for task in dag.tasks:
        task.retries = 0

    dag_run = airflow.run(dag)

    (page,) = (block.code for block in blocks("text") if block.page == "docs/how-to/alerts.md")
    (job,) = stitch.jobs(github)
    assert dag_run.states == {"replicate_github": "failed"}
    assert _words(page, "JOB") in _words(dag_run.output, "JOB", job.job_name)


def _words(text: str, placeholder: str, job_name: str = r"[\w.-]+\.sync\.[\w-]+") -> str:
    """The text on one line, with a placeholder for the name of the job."""
    return " ".join(re.sub(job_name, placeholder, text).split())
