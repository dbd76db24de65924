"""Test sensors that start or end in the triggerer, but without running a triggerer.

The tests in `tests/system` use a real triggerer.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent

from airflow_provider_stitch.assets import stitch_source
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.sensors._trigger_start import worker_reason
from airflow_provider_stitch.sensors.stitch import StitchExtractionSensor, StitchLoadingSensor
from airflow_provider_stitch.triggers.sensor import StitchSensorTrigger
from airflow_provider_stitch.triggers.task_context import TaskEndOptions
from airflow_provider_stitch.triggers.task_end import end_event
from airflow_provider_stitch.triggers.versions import RENDERS_IN_TRIGGERER

IN_TRIGGERER = {"deferrable": True, "start_from_trigger": True, "end_from_trigger": True}
needs_templates = pytest.mark.skipif(
    not RENDERS_IN_TRIGGERER, reason="Airflow renders templates in the triggerer from 3.3 on"
)
STARTED_AT = datetime(2026, 8, 17, 6, tzinfo=timezone.utc)


def triggerer_sensor(**options):
    """Return a sensor that starts and ends in the triggerer."""
    return StitchLoadingSensor(task_id="wait", source="github", **IN_TRIGGERER, **options)


def trigger_of(task):
    """Return the trigger that Airflow creates from a sensor's stored arguments."""
    return StitchSensorTrigger(**task.start_trigger_args.trigger_kwargs)


def prepare(trigger, **variables):
    """Set the attributes of a trigger and render its templates the way Airflow's triggerer does.

    :param variables: additional variables that the templates can use.
    """
    trigger.timeout_after = STARTED_AT
    trigger.task_instance = None
    context = {"ti": SimpleNamespace(**dict.fromkeys(("dag_id", "run_id", "task_id", "try_number"), "a"))}
    context["dag_run"] = SimpleNamespace(start_date=STARTED_AT)
    context["ti"].map_index = -1
    context["ti"].xcom_pull = lambda task_ids, map_indexes: [task_ids, map_indexes]
    trigger.template_fields = ("source", "job_name", "started_after", "streams", "load_settle")
    trigger.render_template_fields({**context, **variables})
    return trigger


async def events_of(trigger):
    """Run a trigger and return the payloads of its events."""
    return [event.payload async for event in trigger.run()]


# --- In the DAG file ------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["start_from_trigger", "end_from_trigger"])
def test_triggerer_options_require_deferrable(argument):
    with pytest.raises(ValueError, match="set deferrable=True"):
        StitchLoadingSensor(task_id="wait", source="github", deferrable=False, **{argument: True})


def test_airflow_stores_the_sensor_arguments_only():
    task = triggerer_sensor(
        started_after=STARTED_AT, streams=["commits"], load_settle=0, retries=2, soft_fail=True, timeout=90
    )

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
        "grace_seconds": 60.0,
        "time_limit": "timeout",
        "resume_state": {"is_execution_timeout": False},
        "end_options": {
            "soft_fail": True,
            "has_retries": True,
            "do_xcom_push": True,
            "skip_if_no_rows": False,
        },
    }
    assert task.start_trigger_args.timeout == timedelta(seconds=150)
    path, again = trigger_of(task).serialize()
    assert path == task.start_trigger_args.trigger_cls
    assert again == stored == json.loads(json.dumps(stored))


def test_sensors_do_not_share_trigger_arguments():
    first, second = triggerer_sensor(), StitchExtractionSensor(task_id="wait", source="shop", **IN_TRIGGERER)

    assert first.start_trigger_args.trigger_kwargs["source"] == "github"
    assert second.start_trigger_args.trigger_kwargs["source"] == "shop"
    assert StitchExtractionSensor.start_trigger_args is None
    assert not StitchExtractionSensor.start_from_trigger


@needs_templates
def test_xcom_argument_is_stored_as_a_template(airflow):
    with airflow.dag():
        start = StitchRunReplicationJobOperator(task_id="start", source="github", wait_for=None)
        wait = triggerer_sensor(job_name=start.output["job_name"])

    stored = wait.start_trigger_args.trigger_kwargs["job_name"]
    assert stored.startswith("{{ task_instance.xcom_pull(task_ids='start'")
    assert wait.upstream_task_ids == {"start"}


class Reference(str):
    """A reference to the result of another task.

    Airflow can express only some of these references as templates.
    """

    __slots__ = ()

    def iter_references(self):
        return iter(())


@pytest.mark.parametrize(
    ("arguments", "abilities", "reason"),
    [
        pytest.param({"source": 3, "streams": ["a"]}, (True, True), None, id="constants"),
        pytest.param({"source": 3}, (True, False), None, id="constants, Airflow renders no templates"),
        pytest.param({"source": 3}, (False, False), "before 3.3", id="Airflow starts no triggers"),
        pytest.param({"source": "{{ a }}"}, (True, True), None, id="template"),
        pytest.param(
            {"source": "{% if a %}b{% endif %}"},
            (True, False),
            "renders no templates",
            id="template with a block",
        ),
        pytest.param({"streams": ["{{ a }}"]}, (True, False), "is a template", id="template in a list"),
        pytest.param({"source": Reference("{{ a }}")}, (True, True), None, id="XCom reference"),
        pytest.param({"source": Reference("a()")}, (True, True), "resolve", id="mapped XCom reference"),
        pytest.param({"streams": Reference("{{ a }}")}, (True, True), "resolve", id="XCom reference as list"),
        pytest.param({"streams": "{{ a }}"}, (True, True), None, id="template as streams"),
        pytest.param({"timeout": "{{ a }}"}, (True, True), "needs the timeout before", id="timeout"),
    ],
)
def test_sensor_starts_in_worker_if_the_triggerer_cannot_render(arguments, abilities, reason):
    starts, renders = abilities
    why = worker_reason(arguments, starts=starts, renders=renders)

    assert why is None if reason is None else reason in why


# --- In the triggerer -----------------------------------------------------------------------------------


@needs_templates
@pytest.mark.parametrize(
    ("options", "seconds_after_start"),
    [
        pytest.param({"timeout": 100}, 100, id="timeout"),
        pytest.param(
            {"timeout": 100, "execution_timeout": timedelta(seconds=300)},
            100,
            id="timeout long before execution_timeout",
        ),
        pytest.param(
            {"timeout": 280, "execution_timeout": timedelta(seconds=300)},
            280,
            id="timeout just before execution_timeout",
        ),
        pytest.param(
            {"timeout": 500, "execution_timeout": timedelta(seconds=300)},
            290,
            id="execution_timeout before timeout",
        ),
    ],
)
def test_trigger_keeps_the_deadline_of_the_sensor(options, seconds_after_start):
    task = triggerer_sensor(job_name="{{ nothing }}", **options)
    deadlines = [STARTED_AT + task.start_trigger_args.timeout]
    if task.execution_timeout:
        deadlines.append(STARTED_AT + task.execution_timeout)
    trigger = prepare(trigger_of(task))
    trigger.timeout_after = min(deadlines)

    (event,) = asyncio.run(events_of(trigger))

    assert event["start_by"] == STARTED_AT.timestamp() + seconds_after_start
    assert event["resume_state"] == {"is_execution_timeout": seconds_after_start == 290}


@needs_templates
def test_trigger_renders_templates():
    task = triggerer_sensor(
        job_name="{{ ti.xcom_pull('start') }}", streams=["{{ params.stream }}"], load_settle="{{ 60 + 5 }}"
    )
    trigger = prepare(trigger_of(task), params={"stream": "commits"})

    assert trigger.job_name == "['start', -1]"
    assert trigger.streams == ["commits"]
    assert trigger.load_settle == "65"


@needs_templates
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param({"job_name": "{{ my_macro() }}"}, "'my_macro' is undefined", id="macro of the DAG"),
        pytest.param({"job_name": "{{ run_id | mine }}"}, "No filter named 'mine'", id="filter of the DAG"),
        pytest.param(
            {"job_name": "{{ inlet_events }}"},
            "'inlet_events' is undefined",
            id="inlet_events is not available",
        ),
        pytest.param(
            {"job_name": "{{ ti.get_dagrun() }}"},
            "has no attribute 'get_dagrun'",
            id="get_dagrun is not available",
        ),
        pytest.param({"job_name": "{{ a"}, "TemplateSyntaxError", id="syntax error"),
    ],
)
def test_trigger_hands_over_to_a_worker_if_rendering_fails(monkeypatch, arguments, reason):
    trigger = prepare(
        trigger_of(triggerer_sensor(**arguments)), run_id="a", inlet_events="would wait for ever"
    )

    warnings = []
    # The method `warning` is patched, because all triggers of a class share one logger in Airflow.
    monkeypatch.setattr(trigger.log, "warning", lambda line, *values: warnings.append(line % values))
    (event,) = asyncio.run(events_of(trigger))

    assert event == {"start_by": STARTED_AT.timestamp() - 60, "resume_state": {"is_execution_timeout": False}}
    assert reason in warnings[0]


FAILED = {"kind": "ExtractionFailed", "message": "no such table", "source_id": 1, "job_name": "a"}
DELETED = {**FAILED, "kind": "DeletedSource"}
TIMED_OUT = {**FAILED, "kind": "PhaseTimedOut"}


@pytest.mark.parametrize(
    ("error", "ending", "retries", "event"),
    [
        pytest.param(None, {}, True, TaskSuccessEvent, id="success"),
        pytest.param(FAILED, {}, True, TaskFailedEvent, id="failure without retries"),
        pytest.param(FAILED, {"has_retries": True}, True, TaskFailedEvent, id="failure that Airflow retries"),
        pytest.param(FAILED, {"has_retries": True}, False, None, id="failure that Airflow would not retry"),
        pytest.param(DELETED, {}, True, TaskFailedEvent, id="permanent failure without retries"),
        pytest.param(
            DELETED, {"has_retries": True}, True, None, id="permanent failure that Airflow would retry"
        ),
        pytest.param(TIMED_OUT, {}, True, TaskFailedEvent, id="timeout without retries"),
        pytest.param(TIMED_OUT, {"has_retries": True}, True, None, id="timeout with retries"),
        pytest.param(
            DELETED,
            {"has_retries": True, "soft_fail": True},
            True,
            TaskSkippedEvent,
            id="failure with soft_fail",
        ),
    ],
)
def test_task_ends_in_the_triggerer_only_as_it_would_in_a_worker(error, ending, retries, event):
    options = {"soft_fail": False, "has_retries": False, "do_xcom_push": True, **ending}

    ended = end_event(Outcome({}, {"streams": {}}, error), TaskEndOptions(**options), retries=retries)

    assert type(ended) is (event or type(None))


def test_task_with_outlets_ends_in_a_worker():

    task = triggerer_sensor(outlets=[stitch_source("github")])

    assert task.start_trigger_args.trigger_kwargs["end_options"] is None


def test_task_with_multiple_outputs_ends_in_a_worker():
    assert triggerer_sensor(multiple_outputs=True).start_trigger_args.trigger_kwargs["end_options"] is None


@needs_templates
def test_200_sensors_in_one_triggerer_share_the_request_budget(stitch, limit_requests, monkeypatch):
    xcoms = {}

    async def push_xcom(task_instance, key, value):
        xcoms[task_instance.task_id, key] = value

    # Only the emulator's clock is accelerated. The request budget uses real time, so the whole test takes
    # place within one window of 10 real minutes.
    limit_requests(30)
    # The function `push_xcom` is patched, because it works only in a triggerer. The tests in tests/system use
    # the real function.
    monkeypatch.setattr("airflow_provider_stitch.triggers.sensor.push_xcom", push_xcom)
    monkeypatch.setattr("airflow_provider_stitch.triggers.stitch.push_xcom", push_xcom)
    plans = [JobPlan(tap_exit_status=1 if number % 20 == 0 else 0) for number in range(200)]
    ids = [stitch.add_source(f"source_{number}", streams={"rows": 1}) for number in range(200)]
    jobs = [stitch.start_job(source, plan) for source, plan in zip(ids, plans, strict=True)]
    triggers = []
    for number in range(200):
        task = StitchExtractionSensor(
            task_id="wait", source="source_{{ params.number }}", started_after="{{ ts }}", **IN_TRIGGERER
        )
        trigger = prepare(trigger_of(task), params={"number": number}, ts="2020-01-01T00:00:00Z")
        trigger.timeout_after = datetime.now(timezone.utc) + timedelta(minutes=10)
        trigger.trigger_id = number
        trigger.task_instance = SimpleNamespace(task_id=f"wait_{number}", map_index=-1)
        triggers.append(trigger)

    async def run_all():
        return await asyncio.gather(*(events_of(trigger) for trigger in triggers))

    events = [event for (event,) in asyncio.run(run_all())]

    assert events == ["failed" if plan.tap_exit_status else "success" for plan in plans]
    names = [xcoms.get((f"wait_{number}", "return_value"), {}).get("job_name") for number in range(200)]
    assert names == [
        None if plan.tap_exit_status else job.job_name for plan, job in zip(plans, jobs, strict=True)
    ]
    assert len(stitch.limited_requests) <= 30
    lists = [request for request in stitch.requests if request.path == "/v4/sources"]
    assert len(lists) < 20, "sensors that start at the same time share one list of sources"


# --- In `dag.test()`, without a triggerer ---------------------------------------------------------------


@pytest.mark.parametrize("exit_status", [0, 1])
def test_dag_test_runs_the_sensor_in_the_worker(airflow, stitch, github, exit_status):
    job = stitch.start_job(github, JobPlan(tap_exit_status=exit_status, tap_description="no such table"))
    with airflow.dag() as dag:
        StitchExtractionSensor(task_id="wait", source="github", job_name=job.job_name, **IN_TRIGGERER)

    dag_run = airflow.run(dag)

    assert dag_run.states == {"wait": "failed" if exit_status else "success"}
    assert ("no such table" in dag_run.output) == bool(exit_status)
    assert exit_status or dag_run.xcom["wait"]["job_name"] == job.job_name
    assert "Starting in a worker despite start_from_trigger" in dag_run.output
