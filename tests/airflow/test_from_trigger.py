"""Sensors that begin or end in the triggerer: what can be told without one. The rest is in tests/system."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent

from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.sensors.start import why_in_worker
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor, StitchLoadingSensor
from airflow_provider_stitch.triggers.abilities import RENDERS_IN_TRIGGERER
from airflow_provider_stitch.triggers.ending import Ending, end_event
from airflow_provider_stitch.triggers.sensor import StitchSensorTrigger

IN_TRIGGERER = {"deferrable": True, "start_from_trigger": True, "end_from_trigger": True}
needs_templates = pytest.mark.skipif(
    not RENDERS_IN_TRIGGERER, reason="Airflow renders templates in the triggerer from 3.3 on"
)
AT = datetime(2026, 8, 17, 6, tzinfo=timezone.utc)


def sensor(**options):
    return StitchLoadingSensor(task_id="wait", source="github", **IN_TRIGGERER, **options)


def trigger_of(task):
    return StitchSensorTrigger(**task.start_trigger_args.trigger_kwargs)


def started_by_airflow(trigger, **others):
    """What Airflow's triggerer sets before it runs a trigger."""
    trigger.timeout_after = AT
    trigger.task_instance = None
    context = {"ti": SimpleNamespace(**dict.fromkeys(("dag_id", "run_id", "task_id", "try_number"), "a"))}
    context["dag_run"] = SimpleNamespace(start_date=AT)
    context["ti"].map_index = -1
    context["ti"].xcom_pull = lambda task_ids, map_indexes: [task_ids, map_indexes]
    trigger.template_fields = ("source", "job_name", "started_after", "streams")
    trigger.render_template_fields({**context, **others})
    return trigger


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


# --- What the DAG file says -----------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["start_from_trigger", "end_from_trigger"])
def test_a_sensor_that_does_not_wait_in_the_triggerer_is_refused(argument):
    with pytest.raises(ValueError, match="set deferrable=True"):
        StitchLoadingSensor(task_id="wait", source="github", deferrable=False, **{argument: True})


def test_airflow_stores_the_arguments_of_the_sensor_and_no_more():
    task = sensor(started_after=AT, streams=["commits"], load_settle=0, retries=2, soft_fail=True, timeout=90)

    stored = task.start_trigger_args.trigger_kwargs
    assert stored == {
        "source": "github",
        "job_name": None,
        "started_after": "2026-08-17T06:00:00+00:00",
        "stitch_conn_id": "stitch_default",
        "streams": ["commits"],
        "phase": "loading",
        "load_settle": 0.0,
        "quiet_period": 900.0,
        "poll_interval": None,
        "spare": 60.0,
        "time_limit": "timeout",
        "carried": {"is_execution_timeout": False},
        "ending": {"soft_fail": True, "has_retries": True, "do_xcom_push": True},
    }
    assert task.start_trigger_args.timeout == timedelta(seconds=150)
    path, again = trigger_of(task).serialize()
    assert path == task.start_trigger_args.trigger_cls
    assert again == stored == json.loads(json.dumps(stored))


def test_two_sensors_have_arguments_of_their_own():
    first, second = sensor(), StitchExtractionSensor(task_id="wait", source="shop", **IN_TRIGGERER)

    assert first.start_trigger_args.trigger_kwargs["source"] == "github"
    assert second.start_trigger_args.trigger_kwargs["source"] == "shop"
    assert StitchExtractionSensor.start_trigger_args is None
    assert not StitchExtractionSensor.start_from_trigger


@needs_templates
def test_a_reference_to_another_task_is_stored_as_a_template(airflow):
    with airflow.dag():
        start = StitchRunReplicationJobOperator(task_id="start", source="github", wait_for=None)
        wait = sensor(job_name=start.output["job_name"])

    stored = wait.start_trigger_args.trigger_kwargs["job_name"]
    assert stored.startswith("{{ task_instance.xcom_pull(task_ids='start'")
    assert wait.upstream_task_ids == {"start"}


class Reference(str):
    """As Airflow's references to other tasks have it: some are templates as texts, and some are not."""

    __slots__ = ()

    def iter_references(self):
        return iter(())


@pytest.mark.parametrize(
    ("arguments", "abilities", "words"),
    [
        pytest.param({"source": 3, "streams": ["a"]}, (True, True), None, id="plain"),
        pytest.param({"source": 3}, (True, False), None, id="plain, without templates"),
        pytest.param({"source": 3}, (False, False), "before 3.3", id="nothing starts there"),
        pytest.param({"source": "{{ a }}"}, (True, True), None, id="template"),
        pytest.param({"source": "{% if a %}b{% endif %}"}, (True, False), "renders no templates", id="block"),
        pytest.param({"streams": ["{{ a }}"]}, (True, False), "streams is one", id="template in a list"),
        pytest.param({"source": Reference("{{ a }}")}, (True, True), None, id="reference"),
        pytest.param({"source": Reference("a()")}, (True, True), "can't follow", id="computed reference"),
        pytest.param(
            {"streams": Reference("{{ a }}")}, (True, True), "can't follow", id="list of another task"
        ),
    ],
)
def test_whether_a_sensor_can_begin_in_the_triggerer(arguments, abilities, words):
    starts, renders = abilities
    why = why_in_worker(arguments, starts=starts, renders=renders)

    assert why is None if words is None else words in why


# --- In the triggerer -----------------------------------------------------------------------------------


@needs_templates
@pytest.mark.parametrize(
    ("options", "seconds_after_start"),
    [
        pytest.param({"timeout": 100}, 100, id="timeout"),
        pytest.param({"timeout": 100, "execution_timeout": timedelta(seconds=300)}, 100, id="timeout first"),
        pytest.param(
            {"timeout": 280, "execution_timeout": timedelta(seconds=300)}, 280, id="timeout just first"
        ),
        pytest.param(
            {"timeout": 500, "execution_timeout": timedelta(seconds=300)}, 290, id="execution_timeout"
        ),
    ],
)
def test_the_trigger_gives_up_when_the_sensor_would_however_often_it_is_restarted(
    options, seconds_after_start
):
    task = sensor(job_name="{{ nothing }}", **options)
    began = AT
    gives_up = [began + task.start_trigger_args.timeout]
    if task.execution_timeout:
        gives_up.append(began + task.execution_timeout)  # Airflow takes the earlier
    trigger = started_by_airflow(trigger_of(task))
    trigger.timeout_after = min(gives_up)

    (event,) = asyncio.run(events_of(trigger))

    assert event["begin_by"] == began.timestamp() + seconds_after_start
    assert event["carried"] == {"is_execution_timeout": seconds_after_start == 290}


@needs_templates
def test_templates_are_rendered():
    task = sensor(job_name="{{ ti.xcom_pull('start') }}", streams=["{{ params.stream }}"])
    trigger = started_by_airflow(trigger_of(task), params={"stream": "commits"})

    assert trigger.job_name == "['start', -1]"
    assert trigger.streams == ["commits"]


@needs_templates
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"job_name": "{{ my_macro() }}"}, "'my_macro' is undefined", id="a macro of the DAG's"),
        pytest.param(
            {"job_name": "{{ run_id | mine }}"}, "No filter named 'mine'", id="a filter of the DAG's"
        ),
        pytest.param({"job_name": "{{ inlet_events }}"}, "'inlet_events' is undefined", id="no answer to it"),
        pytest.param(
            {"job_name": "{{ ti.get_dagrun() }}"}, "has no attribute 'get_dagrun'", id="nor to this"
        ),
        pytest.param({"job_name": "{{ a"}, "TemplateSyntaxError", id="broken"),
    ],
)
def test_what_the_triggerer_can_not_render_a_worker_does(monkeypatch, arguments, words):
    trigger = started_by_airflow(trigger_of(sensor(**arguments)), run_id="a", inlet_events="an endless wait")

    said = []
    # Airflow has one logger for all triggers of a kind.
    monkeypatch.setattr(trigger.log, "warning", lambda line, *values: said.append(line % values))
    (event,) = asyncio.run(events_of(trigger))

    assert event == {"begin_by": AT.timestamp() - 60, "carried": {"is_execution_timeout": False}}
    assert words in said[0]


FAILED = {"kind": "ExtractionFailed", "message": "no such table", "source_id": 1, "job_name": "a"}
DELETED = {**FAILED, "kind": "DeletedSource"}
TIMED_OUT = {**FAILED, "kind": "PhaseTimedOut"}


@pytest.mark.parametrize(
    ("error", "ending", "retries", "event"),
    [
        pytest.param(None, {}, True, TaskSuccessEvent, id="success"),
        pytest.param(FAILED, {}, True, TaskFailedEvent, id="failure without retries"),
        pytest.param(FAILED, {"has_retries": True}, True, TaskFailedEvent, id="Airflow retries it"),
        pytest.param(FAILED, {"has_retries": True}, False, None, id="Airflow would not retry it"),
        pytest.param(DELETED, {}, True, TaskFailedEvent, id="final failure without retries"),
        pytest.param(DELETED, {"has_retries": True}, True, None, id="Airflow would retry it"),
        pytest.param(TIMED_OUT, {}, True, TaskFailedEvent, id="timeout without retries"),
        pytest.param(TIMED_OUT, {"has_retries": True}, True, None, id="a worker knows which timeout"),
        pytest.param(DELETED, {"has_retries": True, "soft_fail": True}, True, TaskSkippedEvent, id="skipped"),
    ],
)
def test_a_task_ends_in_the_triggerer_only_as_it_would_in_a_worker(error, ending, retries, event):
    plain = {"soft_fail": False, "has_retries": False, "do_xcom_push": True, **ending}

    ended = end_event(Outcome({}, {}, error), Ending(**plain), retries=retries)

    assert type(ended) is (event or type(None))


def test_outlets_are_left_to_a_worker():
    from airflow.providers.common.compat.sdk import Asset

    task = sensor(outlets=[Asset("stitch://github")])

    assert task.start_trigger_args.trigger_kwargs["ending"] is None


def test_an_xcom_for_each_value_is_left_to_a_worker():
    assert sensor(multiple_outputs=True).start_trigger_args.trigger_kwargs["ending"] is None


@needs_templates
def test_200_that_begin_and_end_in_one_triggerer_share_the_limit_of_their_account(stitch, monkeypatch):
    xcoms = {}

    async def leave_xcom(task_instance, key, value):
        xcoms[task_instance.task_id, key] = value

    connection = json.loads(stitch.connection_json())
    # In real minutes as well: all is over long before another ten have passed.
    connection["extra"] = {"requests_per_10_minutes": 30}
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
    # Only a triggerer can leave XComs. What it does with them is in tests/system.
    monkeypatch.setattr("airflow_provider_stitch.triggers.sensor.leave_xcom", leave_xcom)
    monkeypatch.setattr("airflow_provider_stitch.triggers.stitch.leave_xcom", leave_xcom)
    plans = [JobPlan(tap_exit_status=1 if number % 20 == 0 else 0) for number in range(200)]
    ids = [stitch.add_source(f"source_{number}", streams={"rows": 1}) for number in range(200)]
    jobs = [stitch.start_job(source, plan) for source, plan in zip(ids, plans, strict=True)]
    triggers = []
    for number in range(200):
        task = StitchExtractionSensor(
            task_id="wait", source="source_{{ params.number }}", started_after="{{ ts }}", **IN_TRIGGERER
        )
        trigger = started_by_airflow(trigger_of(task), params={"number": number}, ts="2020-01-01T00:00:00Z")
        trigger.timeout_after = datetime.now(timezone.utc) + timedelta(minutes=10)
        trigger.trigger_id = number
        trigger.task_instance = SimpleNamespace(task_id=f"wait_{number}", map_index=-1)
        triggers.append(trigger)

    async def run_all():
        return await asyncio.gather(*(events_of(trigger) for trigger in triggers))

    ended = [event for (event,) in asyncio.run(run_all())]

    assert ended == ["failed" if plan.tap_exit_status else "success" for plan in plans]
    names = [xcoms.get((f"wait_{number}", "return_value"), {}).get("job_name") for number in range(200)]
    assert names == [
        None if plan.tap_exit_status else job.job_name for plan, job in zip(plans, jobs, strict=True)
    ]
    assert len(stitch.limited_requests) <= 30
    lists = [request for request in stitch.requests if request.path == "/v4/sources"]
    assert len(lists) < 20, "those who begin at the same time share one list"


# --- In `dag.test()`, where there is no triggerer -------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1])
def test_without_a_triggerer_the_task_is_what_it_is_otherwise(airflow, stitch, github, status):
    job = stitch.start_job(github, JobPlan(tap_exit_status=status, tap_description="no such table"))
    with airflow.dag() as dag:
        StitchExtractionSensor(task_id="wait", source="github", job_name=job.job_name, **IN_TRIGGERER)

    ran = airflow.run(dag)

    assert ran.states == {"wait": "failed" if status else "success"}
    assert ("no such table" in ran.output) == bool(status)
    assert status or ran.xcom["wait"]["job_name"] == job.job_name
    assert "start_from_trigger: not in the triggerer" in ran.output
