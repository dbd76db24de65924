"""Tests for StitchCheckAccountOperator."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import task

from airflow_provider_stitch.emulator import LoadError
from airflow_provider_stitch.operators.stitch import StitchCheckAccountOperator


@pytest.fixture
def sources(stitch):
    """Add one source without a problem, and two sources with a problem."""
    ids = {
        name: stitch.add_source(name, streams={"orders": 5}) for name in ("healthy", "failing", "rejected")
    }
    stitch.complete_job(ids["healthy"], seconds_ago=7200)
    stitch.complete_job(
        ids["failing"], seconds_ago=7200, tap_exit_status=1, tap_description="401 Unauthorized"
    )
    stitch.complete_job(ids["rejected"], seconds_ago=7200, load_errors={"orders": LoadError("disk full")})
    return ids


def run_check(airflow, *, params=None, **options):
    """Run a DAG with an account check and a task that runs even if the check fails."""

    @task(trigger_rule="all_done")
    def names(table):
        return [row["source_name"] for row in table["sources"] if row["problems"]]

    with airflow.dag(params=params) as dag:
        check = StitchCheckAccountOperator(task_id="check", **options)
        names(check.output)
    return airflow.run(dag)


def test_check_fails_without_a_retry_and_names_all_problems(airflow, sources):
    dag_run = run_check(airflow, retries=2, retry_delay=0)

    assert dag_run.states == {"check": "failed", "names": "success"}
    assert dag_run.instances["check"].try_number == 1
    assert "AccountHasProblems: 2 of 3 sources of Stitch account 104857 have problems." in dag_run.output
    assert f"failing ({sources['failing']}): the last extraction failed at" in dag_run.output
    assert "401 Unauthorized" in dag_run.output
    assert f"rejected ({sources['rejected']}): loading of 1 stream fails: orders: disk full" in dag_run.output
    assert dag_run.xcom["names"] == ["failing", "rejected"]


def test_check_returns_the_table_of_sources(airflow, sources):
    result = run_check(airflow, fail_on=[], max_age=600).xcom["check"]

    assert (result["client_id"], result["problem_sources"]) == (104857, [])
    rows = {row["source_name"]: row for row in result["sources"]}
    assert {name: row["problems"] for name, row in rows.items()} == {
        "healthy": ["stale"],
        "failing": ["extraction", "stale"],
        "rejected": ["load", "stale"],
    }
    healthy = rows["healthy"]
    assert list(healthy) == [
        *("source_id", "source_name", "display_name", "paused_by", "last_extraction", "last_extraction_at"),
        *("extraction_error", "job_name", "last_load_at", "hours_since_last_load", "streams_in_error"),
        *("problems", "url"),
    ]
    assert healthy["last_extraction"] == "succeeded"
    assert 1.5 < healthy["hours_since_last_load"] < 3
    assert healthy["url"].endswith(f"/sources/{healthy['source_id']}/summary")
    assert result["checked_at"] > healthy["last_load_at"]


def test_soft_fail_skips_the_task(airflow, sources):
    dag_run = run_check(airflow, soft_fail=True)

    assert dag_run.states["check"] == "skipped"
    assert dag_run.xcom["check"]["problem_sources"] == ["failing", "rejected"]


@pytest.mark.parametrize(
    ("options", "problem_sources"),
    [
        pytest.param({"sources": ["healthy"]}, [], id="other sources"),
        pytest.param({"fail_on": "load"}, ["rejected"], id="fail_on"),
        pytest.param(
            {"fail_on": "{{ params.fail_on }}", "max_age": "{{ params.max_age }}", "sources": "healthy"},
            ["healthy"],
            id="templates",
        ),
    ],
)
def test_check_is_limited_to_sources_and_problems(airflow, sources, options, problem_sources):
    params = {"fail_on": ["stale"], "max_age": 600}

    dag_run = run_check(airflow, params=params, soft_fail=True, **options)

    assert dag_run.xcom["check"]["problem_sources"] == problem_sources


def test_paused_sources_can_be_ignored(airflow, stitch, sources):
    for name in ("failing", "rejected"):
        stitch.pause_source(sources[name])

    dag_run = run_check(airflow, ignore_paused=True)

    assert dag_run.states["check"] == "success"
    assert [row["source_name"] for row in dag_run.xcom["check"]["sources"]] == ["healthy"]


def test_unknown_source_fails_the_check_before_a_status_request(airflow, stitch, sources):
    dag_run = run_check(airflow, sources=["helthy"])

    assert dag_run.states["check"] == "failed"
    assert "no source 'helthy'" in dag_run.output
    assert stitch.limited_requests == []


@pytest.mark.parametrize("by", ["name", "id"])
def test_check_of_a_deleted_source_fails(airflow, stitch, sources, by):
    stitch.delete_source(sources["healthy"])

    dag_run = run_check(airflow, sources=["healthy" if by == "name" else sources["healthy"]])

    assert dag_run.states["check"] == "failed"
    assert "DeletedSource: Source healthy" in dag_run.output


def test_template_that_renders_to_nothing_does_not_disable_the_check(airflow, sources):
    dag_run = run_check(airflow, params={"fail_on": None}, fail_on="{{ params.fail_on }}")

    assert dag_run.states["check"] == "failed"
    assert "fail_on has no value" in dag_run.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fail_on": ["late"]}, "fail_on must be one of extraction, load, stale; it was 'late'"),
        ({"fail_on": ["stale"]}, 'fail_on="stale" needs max_age'),
        ({"fail_on": None}, "fail_on has no value"),
        ({"fail_on": ""}, "fail_on has no value"),
        ({"max_age": -1}, "max_age is a number of seconds"),
        ({"max_age": True}, "max_age is a number of seconds"),
        ({"sources": []}, "sources is empty"),
        ({"sources": 1.5}, "sources must be a list of ids or names of sources"),
    ],
)
def test_invalid_arguments_fail_when_the_dag_is_parsed(options, message):
    with pytest.raises(ValueError, match=message):
        StitchCheckAccountOperator(task_id="check", **options)
