"""What a later try of a task does with the job of an earlier one, and that no outage makes it start two."""

from __future__ import annotations

import asyncio
import json
import threading
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    JobAlreadyRunning,
    JobLost,
    JobNotStarted,
    JobTerminated,
    PhaseTimedOut,
    StitchConfigurationError,
    StitchError,
    StitchUnavailable,
)
from airflow_provider_stitch.emulator import JobPlan
from airflow_provider_stitch.operators.kept_job import JOB_KEY
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.replication import start
from airflow_provider_stitch.replication.outcome import Outcome
from airflow_provider_stitch.replication.watch import Watch
from airflow_provider_stitch.triggers.stitch import StitchPhaseTrigger


class Store(dict):
    """Airflow's `task_state_store` (3.3 and later) as one task sees it."""

    def set(self, key, value):
        self[key] = json.loads(json.dumps(value))  # it keeps JSON

    def delete(self, key):
        self.pop(key, None)


class TaskInstance:
    dag_id, task_id, run_id, map_index = "dag", "replicate", "run", -1
    start_date = None
    max_tries = 1
    state = "running"

    def __init__(self):
        self.xcom = {}

    def get_task_states(self, *, dag_id, task_ids, run_ids, map_index):
        assert (dag_id, task_ids, run_ids, map_index) == ("dag", ["replicate"], ["run"], -1)
        return {"run": {"replicate": self.state}}

    def xcom_push(self, key, value):
        self.xcom[key] = value


@pytest.fixture
def context():
    return {"ti": TaskInstance(), "task_state_store": Store()}


@pytest.fixture
def github(_database, stitch):
    return stitch.add_source("github", streams={"commits": 120})


def operator(**options):
    return StitchRunReplicationJobOperator(
        **{"task_id": "replicate", "source": "github", "timeout": 60, **options}
    )


def killed_before_it_waits(mocker, context):
    """Run a try whose worker dies between the start and the wait."""
    mocker.patch.object(StitchRunReplicationJobOperator, "_wait", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        operator().execute(context)
    mocker.stopall()


def test_a_retry_picks_up_the_job_of_a_try_that_was_killed(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)

    result = operator().execute(context)

    (job,) = stitch.jobs(github)
    assert result["job_name"] == job.job_name
    assert context["ti"].xcom["job_name"] == job.job_name


@pytest.mark.parametrize("wait_for", [None, "loading"])
def test_a_success_that_airflow_has_not_heard_of_is_told_again(stitch, github, context, wait_for):
    """The worker dies after `execute` has returned: Airflow tries again."""
    first = operator(wait_for=wait_for).execute(context)

    again = operator(wait_for=wait_for).execute(context)

    assert again["job_name"] == first["job_name"]
    assert len(stitch.jobs(github)) == 1


#: A job that does not end while a test runs, unless the test lets it end.
LONG = JobPlan(tap_seconds=80_000)


def end_job_once_it_is_awaited(stitch, mocker):
    """Let the running job end when the task begins to wait, and neither earlier nor later."""
    wait = Watch.wait
    advance = iter([lambda: stitch.advance(81_000)])

    async def end_job_first(watch):
        next(advance, lambda: None)()
        return await wait(watch)

    mocker.patch.object(Watch, "wait", end_job_first)


def killed_before_it_hears_of_its_job(mocker, context, **options):
    """Run a try whose worker dies between Stitch's start of the job and the answer."""
    mocker.patch.object(StitchRunReplicationJobOperator, "_remember", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        operator(**options).execute(context)
    mocker.stopall()


@pytest.mark.parametrize("if_running", ["queue", "join", "restart", "fail"])
@pytest.mark.parametrize("is_over", [True, False], ids=["over", "running"])
def test_a_job_whose_name_died_with_its_worker_is_found_again(
    stitch, github, context, mocker, if_running, is_over
):
    stitch.plan_jobs(github, LONG)
    killed_before_it_hears_of_its_job(mocker, context, if_running=if_running)
    if is_over:
        stitch.advance(81_000)
    else:
        end_job_once_it_is_awaited(stitch, mocker)

    result = operator(if_running=if_running).execute(context)

    (job,) = stitch.jobs(github)
    assert result["job_name"] == job.job_name
    assert not job.stopped


def test_a_job_whose_name_died_is_found_again_by_a_task_that_does_not_wait(stitch, github, context, mocker):
    stitch.plan_jobs(github, LONG)
    killed_before_it_hears_of_its_job(mocker, context, wait_for=None)
    end_job_once_it_is_awaited(stitch, mocker)

    result = operator(wait_for=None).execute(context)

    assert [job.job_name for job in stitch.jobs(github)] == [result["job_name"]]


def test_a_worker_that_was_killed_before_it_asked_for_a_job_leaves_that_to_the_next_try(
    stitch, github, context, mocker
):
    mocker.patch.object(start, "start_job", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        operator().execute(context)
    mocker.stopall()

    result = operator().execute(context)

    assert [job.job_name for job in stitch.jobs(github)] == [result["job_name"]]


def test_a_start_that_was_refused_leaves_nothing_to_look_for(stitch, github, context):
    stitch.start_job(github, LONG)

    with pytest.raises(JobAlreadyRunning, match="in progress already"):
        operator(if_running="fail").execute(context)
    assert JOB_KEY not in context["task_state_store"]


def test_a_job_is_stopped_that_got_its_name_only_after_its_task_was_killed(stitch, github, context, mocker):
    """Airflow 3 calls `on_kill` while the start is on its way, and then lets the task go on for 5 s."""
    task = operator()
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    start_job = start.start_job

    async def killed_meanwhile(*args, **options):
        task.on_kill()
        return await start_job(*args, **options)

    mocker.patch.object(start, "start_job", killed_meanwhile)
    with pytest.raises(JobTerminated):
        task.execute(context)
    assert stitch.jobs(github)[0].stopped


def kill_it_while_it_waits(mocker):
    """Airflow 3 calls `on_kill` on top of the wait, and then lets the task go on for 5 s."""
    wait = StitchRunReplicationJobOperator._wait

    def killed_meanwhile(task, *args, **options):
        task.on_kill()
        return wait(task, *args, **options)

    mocker.patch.object(StitchRunReplicationJobOperator, "_wait", killed_meanwhile)


def test_a_retry_that_is_killed_and_sees_its_job_stopped_starts_no_other(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    killed_before_it_waits(mocker, context)

    kill_it_while_it_waits(mocker)
    with pytest.raises(JobTerminated):
        operator().execute(context)

    assert [job.stopped for job in stitch.jobs(github)] == [True]


def test_a_task_that_is_killed_while_it_waits_for_its_turn_starts_no_job(stitch, github, context, mocker):
    other = stitch.start_job(github)

    kill_it_while_it_waits(mocker)
    with pytest.raises(JobNotStarted, match="killed"):
        operator().execute(context)

    (job,) = stitch.jobs(github)
    assert job.job_name == other.job_name
    assert not job.stopped


def test_a_retry_waits_for_what_is_asked_for_now(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)

    result = operator(wait_for="extraction").execute(context)

    assert result["loaded_at"] is None
    assert len(stitch.jobs(github)) == 1


def test_a_task_of_another_source_leaves_the_stored_job_alone(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)
    shop = stitch.add_source("shop", streams={"orders": 1})

    assert operator(source="shop").execute(context)["source_id"] == shop


def test_a_cleared_task_starts_a_job_of_its_own(stitch, github, context, mocker):
    killed_before_it_waits(mocker, context)
    context["ti"].max_tries += 2

    result = operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_a_job_that_was_stopped_is_not_picked_up(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    killed_before_it_waits(mocker, context)
    stitch.stop_job(github)

    result = operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_a_timeout_leaves_the_job_for_the_next_try(stitch, github, context):
    stitch.plan_next_job(github, JobPlan(tap_seconds=1200))
    with pytest.raises(PhaseTimedOut, match="took longer than the task's timeout"):
        operator(timeout=0.5).execute(context)

    assert operator().execute(context)["job_name"] == stitch.jobs(github)[0].job_name
    assert len(stitch.jobs(github)) == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_no_request_after_the_start_can_lose_the_job(stitch, github, context, monkeypatch, deferrable):
    """Without a client id in the connection the account is asked for it: before the start, with patience."""
    connection = json.loads(stitch.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps({**connection, "login": ""}))
    stitch.fail("GET", "/v4/sources$", times=1, status=503)

    result = operator(wait_for=None, deferrable=deferrable).execute(context)

    assert [job.job_name for job in stitch.jobs(github)] == [result["job_name"]]
    started = next(number for number, request in enumerate(stitch.requests) if request.method == "POST")
    assert started == len(stitch.requests) - 1


def test_a_start_that_is_refused_by_an_outage_says_so_when_time_is_up(stitch, github, context):
    stitch.fail(times=None, status=503)

    with pytest.raises(StitchUnavailable, match="503"):
        operator(timeout=2).execute(context)
    assert stitch.jobs(github) == []


@pytest.mark.parametrize(
    ("state", "given_up", "stopped"),
    [
        pytest.param("failed", False, True, id="marked by a user"),
        pytest.param("restarting", True, True, id="cleared by a user while it ran"),
        pytest.param("running", False, True, id="its worker goes away"),
        pytest.param("up_for_retry", True, False, id="given up, and tried again soon"),
        pytest.param(None, True, False, id="given up for its scheduler has died, and tried again soon"),
        pytest.param("running", True, False, id="given up, and running elsewhere"),
        pytest.param("deferred", True, False, id="given up, and deferred by the next try"),
    ],
)
def test_a_try_that_is_killed_leaves_the_job_to_a_later_one(
    stitch, github, context, mocker, state, given_up, stopped
):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    mocker.patch.object(StitchRunReplicationJobOperator, "_wait", side_effect=KeyboardInterrupt)
    task = operator()
    with pytest.raises(KeyboardInterrupt):
        task.execute(context)
    context["ti"].state = state
    if given_up:  # Airflow 3.3 has another id for the next try, and the old one opens no store
        context["task_state_store"].clear()

    task.on_kill()

    assert stitch.jobs(github)[0].stopped is stopped


def test_an_airflow_that_does_not_answer_a_killed_task_does_not_hold_it_up(stitch, github, context, mocker):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    mocker.patch.object(StitchRunReplicationJobOperator, "_wait", side_effect=KeyboardInterrupt)
    mocker.patch("airflow_provider_stitch.operators.kept_job.ASK_PATIENCE", 0.1)
    task = operator()
    with pytest.raises(KeyboardInterrupt):
        task.execute(context)
    lock = threading.Lock()
    mocker.patch.object(Store, "get", side_effect=lambda _: lock.acquire())

    with lock:
        task.on_kill()

    # The next try may wait for this job, and a job that runs on costs less than a lost one.
    assert not stitch.jobs(github)[0].stopped


# --- The same source ------------------------------------------------------------------------------------


def give_its_name_to_another(stitch, source_id):
    """Rename the source in Stitch, and let another have its display name."""
    with StitchClient(stitch.access_token, base_url=stitch.url) as client:
        client.update_source(source_id, display_name="Archive")
    stitch.add_source("other", display_name="GitHub", streams={"commits": 1})


@pytest.fixture
def displayed(_database, stitch):
    return stitch.add_source("our_github", display_name="GitHub", streams={"commits": 120})


def test_retry_continues_with_the_job_of_a_source_that_was_renamed(stitch, displayed, context, mocker):
    mocker.patch.object(StitchRunReplicationJobOperator, "_wait", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        operator(source="GitHub").execute(context)
    mocker.stopall()
    give_its_name_to_another(stitch, displayed)

    result = operator(source="GitHub").execute(context)

    assert [job.job_name for job in stitch.jobs(displayed)] == [result["job_name"]]


def queue_behind_another_job(stitch, source_id, mocker, meanwhile):
    """Let something happen, and then the job in the way end, as soon as the task waits for its turn."""
    stitch.start_job(source_id, tap_seconds=36_000)
    wait = Watch.wait

    async def end_job_first(watch):
        if watch.goal.phase == "end":
            meanwhile()
            stitch.advance(36_100)
        return await wait(watch)

    mocker.patch.object(Watch, "wait", end_job_first)


def turn_comes(context, task, deferrable):
    """Run a task that waits for its turn, here or in a trigger, until it waits for its own job."""
    if not deferrable:
        return task.execute(context)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    event = asyncio.run(deferred.value.trigger.run().__anext__())
    return task.execute_complete(context, event.payload)


def test_queued_task_starts_its_own_source_although_it_was_renamed(
    stitch, displayed, context, mocker, deferrable
):
    queue_behind_another_job(stitch, displayed, mocker, lambda: give_its_name_to_another(stitch, displayed))

    result = turn_comes(context, operator(source="GitHub", deferrable=deferrable, wait_for=None), deferrable)

    assert result["source_id"] == displayed
    assert result["job_name"] == stitch.jobs(displayed)[1].job_name


def test_queued_task_starts_nothing_in_another_account(stitch, displayed, context, mocker, monkeypatch):
    other = stitch.add_account()
    other.add_source("our_github", display_name="GitHub", streams={"commits": 1})

    def repoint_connection():
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json(other))

    queue_behind_another_job(stitch, displayed, mocker, lambda: None)
    task = operator(source="GitHub", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    event = asyncio.run(deferred.value.trigger.run().__anext__())
    repoint_connection()

    with pytest.raises(StitchConfigurationError, match=f"leads to Stitch account {other.client_id} now"):
        operator(source="GitHub").execute_complete(context, event.payload)
    assert len(stitch.jobs(displayed)) == 1


def test_worker_queues_however_often_its_start_is_refused(stitch, github, context, mocker):
    refusals = iter(range(400))
    start_job = start.start_job
    refused_at = stitch.now()

    async def refuse(*args, **options):
        if next(refusals, None) is None:
            return await start_job(*args, **options)
        return start.Occupied(refused_at)

    async def end_at_once(watch):
        return Outcome(watch.goal.to_dict(), {})

    mocker.patch.object(start, "start_job", refuse)
    mocker.patch.object(Watch, "wait", end_at_once)
    mocker.patch.object(StitchRunReplicationJobOperator, "_check_that_it_can_start", return_value=None)

    result = operator(wait_for=None).execute(context)

    assert result["job_name"] == stitch.jobs(github)[0].job_name


# --- Clears ---------------------------------------------------------------------------------------------


def test_task_that_was_cleared_while_it_ran_starts_a_job_of_its_own(stitch, github, context, mocker):
    """Airflow grants such a task no more tries, so only the number of clears in its run differs."""
    context["dag_run"] = SimpleNamespace(clear_number=0)
    killed_before_it_waits(mocker, context)
    context["dag_run"].clear_number = 1

    result = operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_retry_continues_with_its_job_if_another_task_was_cleared(stitch, github, context):
    context["dag_run"] = SimpleNamespace(clear_number=0)
    stitch.plan_next_job(github, JobPlan(tap_seconds=1200))
    with pytest.raises(PhaseTimedOut):
        operator(timeout=0.5).execute(context)
    context["dag_run"].clear_number = 1

    assert operator().execute(context)["job_name"] == stitch.jobs(github)[0].job_name


class OutdatedStore(Store):
    """The store of a try whose id Airflow has given up: it finds nothing and stores nothing."""

    def __init__(self, lost_after):
        self.lost_after = lost_after

    def set(self, key, value):
        if len(self.lost_after) > 0:
            self.lost_after.pop()
            return super().set(key, value)
        self.clear()
        response = SimpleNamespace(detail={"status_code": 404})
        error = RuntimeError("API_SERVER_ERROR: 404")
        error.error = response
        raise error


@pytest.mark.parametrize(
    ("state", "stopped"),
    [
        pytest.param("restarting", True, id="cleared by a user"),
        pytest.param("queued", False, id="given up, and tried again"),
    ],
)
def test_try_that_airflow_ended_while_it_started_its_job(stitch, github, context, state, stopped):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    context["task_state_store"] = OutdatedStore(["about to start"])
    context["ti"].state = state

    with pytest.raises(StitchError, match="Airflow ended this try"):
        operator().execute(context)

    assert [job.stopped for job in stitch.jobs(github)] == [stopped]


def test_try_that_airflow_ended_before_its_start_starts_no_job(stitch, github, context):
    context["task_state_store"] = OutdatedStore([])

    with pytest.raises(JobNotStarted, match="Airflow ended this try"):
        operator().execute(context)

    assert stitch.jobs(github) == []


def test_start_that_was_terminated_before_its_response_was_found_is_made_again(
    stitch, github, context, mocker
):
    """Its worker was killed, and the job was stopped before the next try found it."""
    killed_before_it_hears_of_its_job(mocker, context)
    stitch.stop_job(github)

    result = operator().execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


@pytest.mark.parametrize("wait_for", [None, "loading"])
def test_lost_start_whose_job_is_terminated_while_it_is_awaited_is_made_again(
    stitch, github, context, mocker, wait_for
):
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    stitch.fail("POST", "/sync$", after_effect=True, cut=True)
    wait = Watch.wait

    async def stop_job_first(watch):
        if len(stitch.jobs(github)) == 1:
            stitch.stop_job(github)
        return await wait(watch)

    mocker.patch.object(Watch, "wait", stop_job_first)

    result = operator(wait_for=wait_for).execute(context)

    assert result["job_name"] == stitch.jobs(github)[1].job_name


def test_response_that_arrives_while_a_killed_task_ends_is_used(stitch, github, context, mocker):
    """Airflow 2 raises in the event loop of a killed task; the thread of its request runs on."""
    stitch.plan_next_job(github, JobPlan(tap_seconds=36_000))
    task = operator()
    start_job = StitchClient.start_replication_job
    interrupted = threading.Event()

    def respond_late(client, source_id):
        job = start_job(client, source_id)
        loop.call_soon_threadsafe(kill)
        interrupted.wait(30)
        return job

    def kill():
        task.on_kill()
        interrupted.set()
        raise KeyboardInterrupt

    stitch_time = start.stitch_time

    def note_loop(reader):
        nonlocal loop
        loop = asyncio.get_running_loop()
        return stitch_time(reader)

    loop = None
    mocker.patch.object(start, "stitch_time", note_loop)
    mocker.patch.object(StitchClient, "start_replication_job", respond_late)
    with pytest.raises(KeyboardInterrupt):
        task.execute(context)

    assert [job.stopped for job in stitch.jobs(github)] == [True]


# --- A joined job ---------------------------------------------------------------------------------------


def deferred_trigger(call):
    """Return the trigger with which a call defers its task, as a restarted triggerer makes it."""
    with pytest.raises(TaskDeferred) as deferred:
        call()
    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith("StitchPhaseTrigger")
    return StitchPhaseTrigger(**json.loads(json.dumps(arguments)))


def event_of(trigger):
    return asyncio.run(trigger.run().__anext__()).payload


def test_restarted_triggerer_waits_for_the_job_that_was_joined(stitch, github, context):
    """A later job, whose rows are never loaded, is listed when the second trigger starts."""
    stitch.start_job(github, tap_seconds=3600)
    task = operator(if_running="join", deferrable=True)
    first = deferred_trigger(lambda: task.execute(context))
    stitch.advance(7200)
    joined = stitch.jobs(github)[0].job_name

    second = deferred_trigger(lambda: task.execute_complete(context, event_of(first)))

    stitch.start_job(github, tap_seconds=80_000)
    assert second.goal.job_name == joined
    assert not second.stop_on_kill
    assert context["ti"].xcom["job_name"] == joined
    assert event_of(second)["result"]["job_name"] == joined


@pytest.mark.parametrize("is_lost", [False, True], ids=["joined", "lost start"])
def test_next_try_waits_for_the_job_that_was_joined(stitch, github, context, mocker, is_lost):
    """The worker is killed while it waits for the loads; then another job runs."""
    stitch.plan_next_job(github, LONG)
    if is_lost:
        stitch.fail("POST", "/sync$", after_effect=True, cut=True)
    else:
        stitch.start_job(github)
    end_job_once_it_is_awaited(stitch, mocker)
    wait = StitchRunReplicationJobOperator._wait

    def kill_in_second_wait(task, step, deadline):
        if step.goal.phase == "loading":
            raise KeyboardInterrupt
        return wait(task, step, deadline)

    mocker.patch.object(StitchRunReplicationJobOperator, "_wait", kill_in_second_wait)
    with pytest.raises(KeyboardInterrupt):
        operator(if_running="join").execute(context)
    mocker.stopall()
    first = stitch.jobs(github)[0].job_name
    stitch.start_job(github, tap_seconds=80_000)

    task = operator(if_running="join")
    result = task.execute(context)

    assert result["job_name"] == first
    assert len(stitch.jobs(github)) == 2
    task.on_kill()
    assert [job.stopped for job in stitch.jobs(github)] == [False, False]


@pytest.mark.parametrize("wait_for", ["structure_sync", "extraction", "preparation", "loading"])
def test_joined_job_is_lost_if_only_a_later_one_is_listed(stitch, github, context, mocker, wait_for):
    stitch.start_job(github, tap_seconds=3600)
    wait = Watch.wait

    async def end_both_first(watch):
        stitch.advance(7200)
        stitch.complete_job(github, seconds_ago=60)
        return await wait(watch)

    mocker.patch.object(Watch, "wait", end_both_first)

    with pytest.raises(JobLost):
        operator(if_running="join", wait_for=wait_for).execute(context)

    assert context["task_state_store"] == {}


# Airflow keeps a task's state from 3.3 on.
if tuple(int(part) for part in version("apache-airflow").split(".")[:2]) >= (3, 3):

    def test_in_a_real_airflow_the_next_try_goes_on_with_the_job_of_the_last(airflow, stitch, github):
        stitch.plan_jobs(github, JobPlan(tap_seconds=2400))
        with airflow.dag() as dag:
            StitchRunReplicationJobOperator(
                task_id="replicate", source="github", timeout=2, retries=20, retry_delay=0
            )

        ran = airflow.run(dag)

        (job,) = stitch.jobs(github)
        assert ran.state == "success"
        assert f"An earlier try of this task started job {job.job_name}: going on with it" in ran.output
        assert ran.xcom["replicate"]["job_name"] == job.job_name
