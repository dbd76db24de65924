"""Tests for StitchUpdateScheduleOperator, which writes only the schedule settings that differ from Stitch."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.operators.stitch import StitchUpdateScheduleOperator

CRON = "0 0 12 ? * MON-FRI *"


@pytest.fixture
def client(stitch):
    with StitchClient(stitch.access_token, base_url=stitch.url) as client:
        yield client


@pytest.fixture
def github(stitch):
    """Add a source with a schedule."""
    return stitch.add_source("github", streams={"commits": 120}, schedule_minutes=1440)


def update(airflow, *, params=None, native=False, **options):
    with airflow.dag(params=params, render_template_as_native_obj=native) as dag:
        StitchUpdateScheduleOperator(task_id="update", **{"source": "github", **options})
    return airflow.run(dag)


def updates(stitch):
    return [request for request in stitch.requests if request.method == "PUT"]


def test_frequency_and_anchor_are_changed_once(airflow, stitch, github, client):
    anchor = datetime(2026, 5, 4, 6, tzinfo=timezone.utc)
    schedule = {"frequency_in_minutes": 360.0, "anchor_time": anchor}

    result = update(airflow, **schedule).xcom["update"]

    properties = client.get_source(github).properties
    assert properties["frequency_in_minutes"] == "360"
    assert properties["anchor_time"].startswith("2026-05-04T06:00:00")
    assert result["changed"]
    assert result["changes"]["frequency_in_minutes"]["after"] == "360"
    assert result["schedule"]["interval"] == 360.0
    assert result["source_name"] == "github"

    again = update(airflow, **schedule)

    assert again.xcom["update"]["changed"] is False
    assert again.xcom["update"]["changes"] == {}
    assert len(updates(stitch)) == 1
    assert f"Source github ({github}) already has this schedule; changed nothing" in again.output


def test_cron_expression_replaces_the_frequency_and_back(airflow, stitch, github, client):
    stitch.allow_cron(True)

    result = update(airflow, cron_expression=f" {CRON} ").xcom["update"]

    assert result["changes"] == {"cron_expression": {"before": None, "after": CRON}}
    assert result["schedule"]["type"] == "cron"

    frequency = client.get_source(github).properties["frequency_in_minutes"]
    result = update(airflow, frequency_in_minutes=frequency).xcom["update"]

    assert result["changes"] == {"cron_expression": {"before": CRON, "after": None}}
    assert result["schedule"]["type"] == "interval"


def test_rejected_schedule_fails_without_a_retry(airflow, stitch, github):
    stitch.allow_cron(False)

    dag_run = update(airflow, cron_expression=CRON, retries=1)

    assert dag_run.state == "failed"
    assert "NotInPlan" in dag_run.output
    assert dag_run.instances["update"].try_number == 1


@pytest.mark.parametrize("native", [False, True], ids=["strings", "native objects"])
def test_templates_are_rendered(airflow, stitch, github, client, native):
    params = {"minutes": 720, "anchor": "2026-05-04T08:00:00+02:00", "cron": None}

    update(
        airflow,
        params=params,
        native=native,
        frequency_in_minutes="{{ params.minutes }}",
        anchor_time="{{ params.anchor }}",
    )

    properties = client.get_source(github).properties
    assert properties["frequency_in_minutes"] == "720"
    assert properties["anchor_time"].startswith("2026-05-04T06:00:00")


def test_paused_source_is_changed_and_stays_paused(airflow, stitch, github, client):
    stitch.pause_source(github)

    dag_run = update(airflow, frequency_in_minutes=1440)

    assert dag_run.xcom["update"]["paused"] is True
    assert dag_run.xcom["update"]["schedule"] is None
    assert client.get_source(github).properties["frequency_in_minutes"] == "1440"
    assert "is paused, so Stitch's schedule does not start its jobs" in dag_run.output


def test_source_without_a_schedule_is_rejected(airflow, stitch, client):
    client.create_source("import_api", "Pushed")

    dag_run = update(airflow, source="Pushed", frequency_in_minutes=60)

    assert dag_run.state == "failed"
    assert "rows of its type (import_api) are pushed to Stitch" in dag_run.output
    assert updates(stitch) == []


def test_invalid_frequency_fails_before_a_change(airflow, stitch, github):
    dag_run = update(airflow, params={"minutes": "hourly"}, frequency_in_minutes="{{ params.minutes }}")

    assert dag_run.state == "failed"
    assert "frequency_in_minutes must be a whole number of minutes; it is 'hourly'" in dag_run.output
    assert updates(stitch) == []


def test_cron_expression_of_airflow_fails_before_a_change(airflow, stitch, github):
    dag_run = update(airflow, params={"cron": "0 5 * * *"}, cron_expression="{{ params.cron }}")

    assert dag_run.state == "failed"
    assert "cron_expression must have six or seven fields, with seconds first" in dag_run.output
    assert "it is '0 5 * * *'" in dag_run.output
    assert updates(stitch) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Set either frequency_in_minutes or cron_expression"),
        ({"frequency_in_minutes": 60, "cron_expression": CRON}, "Set either"),
        ({"cron_expression": CRON, "anchor_time": "2026-05-04T06:00:00Z"}, "anchor_time needs"),
    ],
)
def test_invalid_arguments_fail_when_the_dag_is_parsed(options, message):
    with pytest.raises(ValueError, match=message):
        StitchUpdateScheduleOperator(task_id="update", source="github", **options)
