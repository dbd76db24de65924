"""Tests for the operators that pause and unpause a source."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.operators.stitch import StitchPauseSourceOperator, StitchUnpauseSourceOperator
from airflow_provider_stitch.replication.polling import backoff
from airflow_provider_stitch.triggers.task_context import LINK_KEY
from tests.support.dag_runs import xcom_of
from tests.support.setup_runs import requests_of, run_operator


def run(airflow, operator, **options):
    """Run a DAG with a single task that pauses or unpauses the source `github`."""
    return run_operator(airflow, operator, **{"source": "github", "timeout": 5, **options})


def test_source_is_paused_once(airflow, stitch, github):
    first = run(airflow, StitchPauseSourceOperator)
    second = run(airflow, StitchPauseSourceOperator, source=str(github))

    assert (first.state, second.state) == ("success", "success")
    assert first.xcom["task"]["changed"] is True
    assert second.xcom["task"] == {
        "source_id": github,
        "source_name": "github",
        "client_id": 104857,
        "url": f"https://app.stitchdata.com/client/104857/pipeline/v2/sources/{github}/summary",
        "paused_at": first.xcom["task"]["paused_at"],
        "changed": False,
    }
    assert xcom_of(second.instances["task"], LINK_KEY) == second.xcom["task"]["url"]
    assert len(requests_of(stitch, "PUT")) == 1


def test_source_is_unpaused_once(airflow, stitch, github):
    stitch.pause_source(github)

    first = run(airflow, StitchUnpauseSourceOperator)
    second = run(airflow, StitchUnpauseSourceOperator)

    assert [dag_run.xcom["task"]["changed"] for dag_run in (first, second)] == [True, False]
    assert second.xcom["task"]["paused_at"] is None
    assert len(requests_of(stitch, "PUT")) == 1


def test_unpause_fails_and_sends_nothing_if_stitch_paused_the_source(airflow, stitch, github):
    stitch.pause_source(github, by_stitch=True)

    dag_run = run(airflow, StitchUnpauseSourceOperator)

    assert dag_run.states == {"task": "failed"}
    assert "PausedByStitch: Stitch paused source github" in dag_run.output
    assert "Fix the cause" in dag_run.output
    assert requests_of(stitch, "PUT") == []


@pytest.mark.parametrize("operator", [StitchPauseSourceOperator, StitchUnpauseSourceOperator])
def test_deleted_source_is_rejected(airflow, stitch, github, operator):
    stitch.delete_source(github)

    dag_run = run(airflow, operator)

    assert dag_run.states == {"task": "failed"}
    assert "DeletedSource" in dag_run.output
    assert requests_of(stitch, "PUT") == []


def test_pause_is_retried_during_an_outage(airflow, stitch, github):
    stitch.fail("GET", "/v4/sources", times=1, status=502)
    stitch.fail("PUT", "/v4/sources", times=1, status=502)

    dag_run = run(airflow, StitchPauseSourceOperator, timeout=600)

    assert dag_run.xcom["task"]["changed"] is True


@pytest.mark.parametrize("endpoint", ["GET /v4/sources", "PUT /v4/sources"])
def test_error_of_an_outage_names_the_limit_that_ended_the_retries(airflow, stitch, github, endpoint):
    stitch.fail(*endpoint.split(), times=None, status=502)

    dag_run = run(airflow, StitchPauseSourceOperator, timeout=1)

    assert dag_run.state == "failed"
    assert "Retries ended at the task's timeout." in dag_run.output


#: The HTML page that a firewall between Airflow and Stitch returns.
FIREWALL = {"status": 403, "body": b"<html><body>Request blocked.</body></html>"}


@pytest.mark.parametrize("endpoint", ["GET /sources", "PUT /sources"])
@pytest.mark.parametrize("operator", [StitchPauseSourceOperator, StitchUnpauseSourceOperator])
def test_pause_is_retried_after_one_response_of_a_firewall(airflow, stitch, github, operator, endpoint):
    if operator is StitchUnpauseSourceOperator:
        stitch.pause_source(github)
    fault = stitch.fail(*endpoint.split(), **FIREWALL)

    dag_run = run(airflow, operator, timeout=600)

    assert dag_run.state == "success"
    assert dag_run.xcom["task"]["changed"]
    assert fault.hits == 1


@pytest.mark.parametrize("endpoint", ["GET /sources", "PUT /sources"])
def test_pause_fails_after_five_responses_of_a_firewall(airflow, stitch, github, endpoint, monkeypatch):
    monkeypatch.setattr(backoff, "seconds_before_retry", lambda attempt, retry_after: 0.01)
    fault = stitch.fail(*endpoint.split(), times=None, **FIREWALL)

    dag_run = run(airflow, StitchPauseSourceOperator, timeout=600)

    assert dag_run.state == "failed"
    assert "403" in dag_run.output
    assert fault.hits == 5
