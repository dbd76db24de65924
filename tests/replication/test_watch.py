"""Waiting for a phase, over HTTP, against the emulator. No time passes but the emulator's."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from airflow_provider_stitch.connect.errors import (
    DeletedSource,
    ExtractionFailed,
    JobLost,
    LoadingFailed,
    NeverFinishes,
    PhaseTimedOut,
    RateLimited,
    StitchUnauthorized,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects import format_time
from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError, LogPlan
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.replication.known import Known
from airflow_provider_stitch.replication.loading import may_overlap_previous_job
from airflow_provider_stitch.replication.phases import assess
from airflow_provider_stitch.replication.watch import Watch
from tests.replication.conftest import EmulatedClock
from tests.replication.facts import EARLIER, at, extraction


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})


def seconds_after(stitch, record, instant):
    """How long after a job's start something happened, in Stitch's seconds."""
    from airflow_provider_stitch.connect.objects import parse_time

    return (parse_time(instant) - record.start_time.replace(microsecond=0)).total_seconds()


# --- The whole way --------------------------------------------------------------------------------------


def test_a_job_is_waited_for_until_its_rows_are_loaded(stitch, waiter, github):
    outcome = waiter.replicate(github)

    assert outcome.error is None
    result = outcome.result
    assert result["job_name"] == stitch.jobs(github)[0].job_name
    assert {name: stream["rows"] for name, stream in result["streams"].items()} == {
        "commits": 120,
        "pulls": 7,
    }
    assert result["started_at"] < result["extraction_completed_at"] < result["loaded_at"]
    assert result["loaded_at"] == max(stream["loaded_at"] for stream in result["streams"].values())
    assert waiter.warned == []


def test_the_log_reads_like_a_report(waiter, github):
    waiter.replicate(github)

    waiting, extraction, heading, *loaded = waiter.told
    assert waiting == "Waiting for loading of source github (310442)"
    assert extraction.startswith("Extraction finished after 150 s, at ")
    assert heading == "2 streams to load: commits (120 rows), pulls (7 rows)"
    assert sorted(line.split(" at ")[0] for line in loaded) == [
        "Loaded commits: 120 rows",
        "Loaded pulls: 7 rows",
    ]


@pytest.mark.parametrize("phase", ["structure_sync", "extraction", "preparation", "loading", "end"])
def test_each_phase_can_be_waited_for(waiter, github, phase):
    assert waiter.replicate(github, phase=phase).error is None


def test_a_job_of_2_hours_never_passes_the_limit(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=2 * 3600))

    assert waiter.replicate(github).error is None
    assert stitch.busiest_window() <= 30


def test_an_eager_poll_interval_does_not_pass_the_limit_either(stitch, waiter, github):
    started = waiter.start(github)
    waiter.wait(waiter.goal(github, started.job_name), poll_interval=1)

    assert stitch.busiest_window() <= 30


def test_who_comes_late_passes_at_the_first_look(stitch, waiter, github):
    job = stitch.complete_job(github, seconds_ago=3600)

    outcome = waiter.wait(waiter.goal(github, job.job_name))

    assert outcome.error is None
    assert len(stitch.limited_requests) == 3  # loads, extraction, log


def test_a_long_wait_gives_a_sign_of_life_now_and_then(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=3000))

    waiter.replicate(github)

    signs = [line for line in waiter.told if line.startswith("Still waiting for loading")]
    assert 4 <= len(signs) <= 6
    assert signs[0].endswith("is not listed as finished; Stitch lists no finished job of the source")


# --- Which record ---------------------------------------------------------------------------------------


def test_a_source_on_page_3_of_the_list_is_found(stitch, waiter):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(250)]
    for source_id in ids:
        stitch.complete_job(source_id, seconds_ago=600)

    outcome = waiter.replicate(ids[240], phase="extraction")

    assert outcome.error is None
    assert stitch.busiest_window() <= 30


def test_a_record_that_moves_between_pages_is_found(stitch, waiter):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(201)]
    newcomer, *others = ids
    for source_id in others:
        stitch.complete_job(source_id, seconds_ago=600)
    job = stitch.jobs(ids[100])[0]
    # It is the last record of the first page, until the newcomer before it has its first job listed.
    moves = [lambda: stitch.complete_job(newcomer, seconds_ago=60)]

    def before_a_request():
        if moves:
            moves.pop()()

    waiter.client.on_limited_request = before_a_request

    assert waiter.wait(waiter.goal(ids[100], job.job_name, "extraction")).error is None


@pytest.mark.parametrize("order", ["stream_name", "stream_id"])
def test_loads_are_found_in_whichever_order_they_are_listed(stitch, waiter, order):
    stitch.quirks.loads_order = order
    for number in range(12):
        other = stitch.add_source(f"other_{number}", streams={f"stream_{n}": 1 for n in range(30)})
        stitch.complete_job(other, seconds_ago=600)
    last = stitch.add_source("last", streams={"aardvarks": 3, "zebras": 4})

    assert set(waiter.replicate(last).result["streams"]) == {"aardvarks", "zebras"}
    assert stitch.busiest_window() <= 30


def test_a_running_job_that_is_listed_is_still_running(stitch, waiter, github):
    stitch.quirks.list_running_jobs = True

    outcome = waiter.replicate(github)

    assert outcome.error is None
    assert outcome.result["extraction_completed_at"] is not None


def test_a_job_overtaken_before_anybody_looked_has_the_verdict_of_its_log(stitch, waiter, github):
    ours = stitch.complete_job(
        github, seconds_ago=2000, tap_exit_status=1, tap_description="401 Unauthorized"
    )
    later = stitch.complete_job(github, seconds_ago=1000)

    outcome = waiter.wait(waiter.goal(github, ours.job_name, "extraction"))

    assert later.job_name not in outcome.error["message"]
    with pytest.raises(ExtractionFailed, match="401 Unauthorized"):
        outcome.raise_for_error()


def test_a_job_overtaken_and_without_a_log_is_an_error_and_no_guess(stitch, waiter, github):
    ours = stitch.complete_job(github, seconds_ago=2000, log=LogPlan(available=False))
    stitch.complete_job(github, seconds_ago=1000)

    with pytest.raises(JobLost, match="can't be told"):
        waiter.wait(waiter.goal(github, ours.job_name, "extraction")).raise_for_error()


# --- Failures of the extraction -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        pytest.param(
            JobPlan(tap_exit_status=1, tap_description="401 Client Error"),
            "the tap.*401 Client Error.*Exit status is",
            id="the tap failed while the target is 0",
        ),
        pytest.param(
            JobPlan(target_exit_status=1, tap_exit_status=-15, target_description="400 bad schema"),
            "the target.*400 bad schema.*Exit status is",
            id="the target took the tap with it",
        ),
        pytest.param(JobPlan(terminated=True), "terminated", id="terminated"),
        pytest.param(JobPlan(tap_seconds=30 * 3600), "24 hours", id="over 24 hours"),
    ],
)
def test_a_failed_extraction_fails_the_wait(stitch, waiter, github, plan, words):
    stitch.plan_jobs(github, plan)

    with pytest.raises(ExtractionFailed, match=f"(?s){words}"):
        waiter.replicate(github, poll_interval=600).raise_for_error()


# --- Loads ----------------------------------------------------------------------------------------------


def test_a_stream_loaded_early_in_a_long_job_counts(stitch, waiter, github):
    early = JobPlan(
        tap_seconds=7200, flushes={"commits": [Flush(at=60, rows=120)], "pulls": [Flush(at=60, rows=7)]}
    )
    stitch.plan_jobs(github, early)

    result = waiter.replicate(github).result

    assert result["loaded_at"] < result["extraction_completed_at"]


def test_a_load_older_than_the_last_flush_does_not_count(stitch, waiter, github):
    slow = Flush(at=100, rows=20, prepare=3600)
    stitch.plan_jobs(
        github, JobPlan(flushes={"commits": [Flush(at=5, rows=100, prepare=1, load=1), slow], "pulls": []})
    )

    result = waiter.replicate(github).result

    record = stitch.jobs(github)[0]
    assert seconds_after(stitch, record, result["streams"]["commits"]["loaded_at"]) >= 3700


def test_a_first_batch_loaded_after_the_second_flush_does_not_pass_for_the_second(stitch, waiter, github):
    plan = JobPlan(
        flushes={
            "commits": [
                Flush(at=60, rows=100, prepare=90, load=0),
                Flush(at=140, rows=20, prepare=100, load=0),
            ],
            "pulls": [],
        }
    )
    stitch.plan_jobs(github, plan)

    loaded_at = waiter.replicate(github).result["streams"]["commits"]["loaded_at"]

    assert seconds_after(stitch, stitch.jobs(github)[0], loaded_at) == pytest.approx(240, abs=1)


def test_with_load_settle_0_it_does_pass(stitch, waiter, github):
    plan = JobPlan(
        flushes={
            "commits": [
                Flush(at=60, rows=100, prepare=90, load=0),
                Flush(at=140, rows=20, prepare=3600, load=0),
            ],
            "pulls": [],
        }
    )
    stitch.plan_jobs(github, plan)

    loaded_at = waiter.replicate(github, load_settle=0).result["streams"]["commits"]["loaded_at"]

    assert seconds_after(stitch, stitch.jobs(github)[0], loaded_at) == pytest.approx(150, abs=1)


def test_a_job_without_new_rows_is_done_with_its_extraction(stitch, waiter):
    idle = stitch.add_source("idle", streams={"commits": 0})

    outcome = waiter.replicate(idle)

    assert outcome.error is None
    assert outcome.result["streams"] == {}
    assert outcome.result["loaded_at"] is None
    assert "nothing to load" in waiter.told[-1]


def test_a_new_load_error_fails_with_the_destinations_message(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("relation commits is locked")}))

    with pytest.raises(LoadingFailed, match="commits: relation commits is locked"):
        waiter.replicate(github).raise_for_error()

    began = stitch.jobs(github)[-1].start_time
    assert (stitch.now() - began).total_seconds() < 300, "it is not taken for one that may be old"


def test_a_load_error_from_before_the_job_gets_two_more_looks(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.set_load_error(github, "commits", "disk full", seconds_ago=1800)

    with pytest.raises(LoadingFailed, match="commits: disk full"):
        waiter.replicate(github).raise_for_error()

    began = stitch.jobs(github)[-1].start_time
    assert (stitch.now() - began).total_seconds() >= 300
    assert any("may be older than this job" in line for line in waiter.warned)


def test_a_load_error_from_before_the_job_that_clears_does_not_fail_it(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.set_load_error(github, "commits", "disk full", seconds_ago=1800)
    started = waiter.start(github)
    stitch.advance(100)

    def before_a_request():
        if len(stitch.limited_requests) == 4:
            stitch.clear_load_error(github, "commits")

    waiter.client.on_limited_request = before_a_request

    assert waiter.wait(waiter.goal(github, started.job_name)).error is None


def test_preparation_ends_where_loading_fails(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=3600)
    stitch.plan_jobs(github, JobPlan(load_errors={"commits": LoadError("locked")}))

    assert waiter.replicate(github, phase="preparation").error is None


def test_without_a_log_the_selected_streams_are_waited_for(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(log=LogPlan(available=False)))

    outcome = waiter.replicate(github)

    assert outcome.error is None
    assert {name: stream["rows"] for name, stream in outcome.result["streams"].items()} == {
        "commits": None,
        "pulls": None,
    }
    assert any("not known which streams had rows" in line for line in waiter.warned)
    assert any("Saw no load of issues" in line for line in waiter.warned)


def test_a_stream_is_not_mistaken_for_a_deselected_one_of_its_name_on_another_page(stitch, waiter):
    stitch.quirks.loads_order = "stream_id"
    users = {
        schema: EmulatedStream(
            rows=7, tap_stream_id=schema, stream_name="users", schema_name=schema, selected=schema == "new"
        )
        for schema in ("old", "new")
    }
    others = {f"table_{number}": 0 for number in range(110)}
    shop = stitch.add_source("shop", streams={"old": users["old"], **others, "new": users["new"]})
    for stream in ("old", *others, "new"):
        stitch.record_load(shop, stream, seconds_ago=86_400)

    goal = waiter.goal(shop, waiter.start(shop).job_name)

    assert waiter.wait(goal, forgetful=True).error is None


def test_a_load_error_from_before_the_job_is_old_though_a_look_long_before_was_without_it(stitch, waiter):
    """A sensor may look at the loads hours before the job begins."""
    clock = EmulatedClock(stitch)
    shop = stitch.add_source("shop", streams={"orders": 5}, schedule_minutes=60)
    stitch.record_load(shop, "orders", seconds_ago=7200)
    happens = {1800.0: stitch.set_load_error, 3600.0 + 320: stitch.clear_load_error}
    began = clock.time()

    class Busy(EmulatedClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            for due in [each for each in happens if self.time() - began >= each]:
                happens.pop(due)(shop, "orders")

    reader = waiter.reader()
    reader.clock = Busy(stitch)
    goal = waiter.goal(shop, started_after=stitch.now())

    outcome = asyncio.run(Watch(reader, goal, warn=waiter.warned.append).wait())

    assert outcome.error is None
    assert happens == {}
    assert any("may be older than this job" in warning for warning in waiter.warned)


def test_an_error_that_others_saw_before_one_came_fails_nobody_if_it_is_over(stitch, waiter):
    others = {f"a_{number}": 0 for number in range(250)}  # of three pages each remembers a look of its own
    shop = stitch.add_source("shop", streams={**others, "orders": 5})
    for stream in others:
        stitch.record_load(shop, stream, seconds_ago=86_400)
    stitch.set_load_error(shop, "orders", seconds_ago=60)
    started = waiter.start(shop)
    goal = waiter.goal(shop, started.job_name)

    async def story():
        first = await Watch(waiter.reader(), goal).wait()
        stitch.clear_load_error(shop, "orders")
        stitch.advance(3600)
        return first, await Watch(waiter.reader(), goal).wait()

    first, second = asyncio.run(story())

    assert first.error is not None
    assert first.error["kind"] == "LoadingFailed"
    assert second.error is None


def test_an_error_that_another_saw_while_one_waited_fails_nobody_if_it_is_over(stitch, waiter):
    others = {f"a_{number}": 0 for number in range(250)}
    shop = stitch.add_source("shop", streams={**others, "orders": 5}, job=JobPlan(tap_seconds=600))
    for stream in (*others, "orders"):
        stitch.record_load(shop, stream, seconds_ago=86_400)
    started = waiter.start(shop)
    goal = waiter.goal(shop, started.job_name)

    async def story():
        other, patient = Watch(waiter.reader(), goal), Watch(waiter.reader(), goal)
        for watch in (other, patient):
            assert (await watch.look()).state == "running"
        stitch.set_load_error(shop, "orders")
        failed = await other.wait()
        stitch.clear_load_error(shop, "orders")
        stitch.advance(3600)
        return failed, await patient.wait()

    failed, passed = asyncio.run(story())

    assert failed.error is not None
    assert failed.error["kind"] == "LoadingFailed"
    assert passed.error is None


def test_streams_of_one_name_in_two_schemas(stitch, waiter):
    shop = stitch.add_source(
        "shop_pg",
        type="platform.hp-postgres",
        streams={
            "public_orders": EmulatedStream(5, "shop-public-orders", "orders", schema_name="public"),
            "archive_orders": EmulatedStream(9, "shop-archive-orders", "orders", schema_name="archive"),
        },
    )

    result = waiter.replicate(shop).result

    # The target writes the table's name alone, so one load stands for both; the tap counts them apart.
    assert {name: stream["rows"] for name, stream in result["streams"].items()} == {"orders": 14}


# --- What can never finish, and what goes wrong on the way ----------------------------------------------


def test_a_misspelt_stream_fails_before_the_first_limited_request(stitch, waiter, github):
    job = stitch.complete_job(github)

    with pytest.raises(UnknownStream, match="comits"):
        waiter.wait(waiter.goal(github, job.job_name, streams=("comits",))).raise_for_error()
    assert stitch.limited_requests == []


@pytest.mark.parametrize(
    ("happens", "kind"),
    [
        pytest.param(lambda stitch, source: stitch.delete_source(source), DeletedSource, id="deleted"),
        pytest.param(
            lambda stitch, source: stitch.pause_source(source), NeverFinishes, id="paused by a user"
        ),
        pytest.param(
            lambda stitch, source: stitch.pause_source(source, by_stitch=True),
            NeverFinishes,
            id="paused by Stitch",
        ),
        pytest.param(
            lambda stitch, source: stitch.set_step(source, "form"), NeverFinishes, id="not configured"
        ),
    ],
)
def test_waiting_for_a_schedule_that_will_start_nothing_fails_at_once(stitch, waiter, github, happens, kind):
    goal = waiter.goal(github, started_after=stitch.now())
    happens(stitch, github)

    with pytest.raises(kind, match=r"310442"):
        waiter.wait(goal).raise_for_error()


def test_a_sensor_for_the_schedule_passes_with_the_first_job_after_its_instant(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=60)
    instant = stitch.now()
    scheduled = stitch.start_job(github)

    outcome = waiter.wait(waiter.goal(github, started_after=instant))

    assert outcome.error is None
    assert outcome.result["job_name"] == scheduled.job_name


def test_a_timeout_says_how_far_the_job_came_and_which_limit_ended_the_wait(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(flushes={"commits": [Flush(at=50, rows=1, prepare=9999)], "pulls": []}))
    started = waiter.start(github)

    with pytest.raises(PhaseTimedOut, match="still to be loaded: commits") as caught:
        waiter.wait(
            waiter.goal(github, started.job_name), patience=1200, time_limit="execution_timeout"
        ).raise_for_error()
    assert caught.value.job_name == started.job_name
    message = str(caught.value)
    for words in (
        "longer than the task's execution_timeout",
        started.job_name,
        "Raise the execution_timeout",
    ):
        assert words in message
    assert f"Results of {len(stitch.limited_requests)} status requests" in message


def test_a_timeout_claims_nothing_that_was_not_seen(stitch, waiter, github):
    listed = stitch.complete_job(github, seconds_ago=7200)
    instant = stitch.now()

    outcome = waiter.wait(waiter.goal(github, started_after=instant), patience=1200)

    message = outcome.error["message"]
    assert format_time(instant) in message
    assert f"the last finished job that Stitch lists is {listed.job_name}" in message
    assert "goes on" not in message


def test_a_timeout_says_if_the_accounts_requests_are_used_up(stitch, waiter, github):
    reader = waiter.reader(patience=60)
    watch = Watch(reader, waiter.goal(github, waiter.start(github).job_name))

    async def time_out() -> str:
        await reader.open(github)
        while not reader.budget.take():
            reader.budget.give_back()
        outcome = await watch._timed_out(assess(watch.goal, watch.known))
        return outcome.error["message"]

    assert re.search(r"requests are used up, and the next one is free in \d+ s", asyncio.run(time_out()))


def test_wait_logs_once_that_it_waits_for_the_budget(stitch, waiter, github):
    """The budget is used up twice: before the first poll, and again later."""
    started = waiter.start(github)
    reader = waiter.reader()
    stitch.plan_jobs(github, JobPlan(flushes={"commits": [Flush(at=50, rows=1, prepare=3600)], "pulls": []}))
    asyncio.run(reader.open(github))

    def use_up() -> None:
        while not reader.budget.take():
            reader.budget.give_back()

    use_up()
    waiter.client.on_limited_request = use_up
    watch = Watch(reader, waiter.goal(github, started.job_name))

    assert asyncio.run(watch.wait()).error is None
    lines = [line for line in waiter.warned if "Waiting for a free status request" in line]
    assert len(lines) == 1
    assert re.search(r"The next one is free in \d+ s", lines[0])


def test_wait_logs_nothing_of_the_budget_while_requests_are_free(waiter, github):
    assert waiter.replicate(github).error is None
    assert not any("free status request" in line for line in waiter.warned)


def test_wait_that_gets_no_request_says_which_limit_ended_it(stitch, waiter, github):
    instant = stitch.now()
    reader = waiter.reader(patience=60, time_limit="execution_timeout")
    goal = waiter.goal(github, started_after=instant)
    asyncio.run(reader.open(github))
    while not reader.budget.take():
        reader.budget.give_back()

    message = asyncio.run(Watch(reader, goal).wait()).error["message"]

    for words in (
        "The task's execution_timeout has passed, and no status request of the task was answered",
        "Raise the execution_timeout",
        f"a job that started at {format_time(instant)} or later",
    ):
        assert words in message


@pytest.mark.parametrize("phase", ["preparation", "loading"])
def test_rows_that_can_never_be_loaded_fail_the_wait(stitch, waiter, github, phase):
    """The only destination is deleted after the extraction, while the rows are still to be loaded."""
    late = [Flush(at=50, rows=1, prepare=7200)]
    stitch.plan_jobs(github, JobPlan(flushes={"commits": late, "pulls": []}))
    started = waiter.start(github)
    deleted_at = stitch.now().timestamp() + 1200
    delete = stitch.delete_destinations
    waiter.client.on_limited_request = lambda: delete() if stitch.now().timestamp() > deleted_at else None

    outcome = waiter.wait(waiter.goal(github, started.job_name, phase))

    assert outcome.error["kind"] == "NeverFinishes"
    assert "no destination" in outcome.error["message"]
    assert stitch.now().timestamp() < deleted_at + 1800


def test_an_outage_of_20_minutes_is_survived_and_warned_of_once(stitch, waiter, github):
    started = waiter.start(github)
    stitch.advance(100)
    outage = stitch.fail(
        path_regex="extractions|loads", times=None, status=502, body="<html>Bad Gateway</html>"
    )
    over_at = stitch.now().timestamp() + 1200
    waiter.client.on_limited_request = lambda: outage.cancel() if stitch.now().timestamp() > over_at else None

    assert waiter.wait(waiter.goal(github, started.job_name)).error is None
    assert outage.hits > 5
    assert sum("502" in line for line in waiter.warned) == 1
    assert stitch.busiest_window() <= 30


def test_a_limit_that_stitch_enforces_is_obeyed(stitch, waiter, github):
    stitch.enforce_limit()
    for _ in range(25):  # somebody else's requests
        waiter.client.list_loads()

    assert waiter.replicate(github).error is None


def test_a_refusal_for_too_many_requests_holds_back_all_who_share_the_budget(stitch, waiter):
    hasty, other = waiter.reader(patience=0), waiter.reader()
    asyncio.run(hasty.ask(lambda: hasty.client.client_id))
    other._budget = hasty.budget
    stitch.fail(path_regex="/loads", status=429, headers={"Retry-After": "90"})
    with pytest.raises(RateLimited):
        asyncio.run(hasty.ask_within_limit(waiter.client.list_loads))
    refused_at = stitch.now()

    asyncio.run(other.ask_within_limit(waiter.client.list_extractions))

    assert (stitch.now() - refused_at).total_seconds() >= 90


def test_the_account_s_sources_are_not_listed_by_who_waits_for_one_of_them(stitch, waiter, github):
    job = stitch.start_job(github)
    goal = Goal("loading", github, "github", stitch.client_id, job_name=job.job_name)

    assert waiter.wait(goal).error is None
    assert "/v4/sources" not in {request.path for request in stitch.requests}


def test_a_source_is_asked_about_now_and_then_only(stitch, waiter, github):
    stitch.plan_jobs(github, JobPlan(tap_seconds=7200))

    waiter.replicate(github)

    asked = [request for request in stitch.requests if request.path == f"/v4/sources/{github}"]
    assert 20 < len(asked) < 30


def test_a_token_that_is_revoked_in_mid_wait_fails_the_wait(stitch, waiter, github):
    goal = waiter.goal(github, waiter.start(github).job_name)
    stitch.disable_token()

    with pytest.raises(StitchUnauthorized, match="access token"):
        waiter.wait(goal).raise_for_error()


# --- What is easily overlooked --------------------------------------------------------------------------


def test_rows_of_the_job_before_that_are_loaded_late_do_not_pass_for_ours(stitch, waiter, github):
    stitch.complete_job(github, seconds_ago=1, load_seconds=100)  # its rows are loaded some 50 s from now
    stitch.plan_next_job(
        github, JobPlan(discovery_seconds=2, tap_seconds=6, target_seconds=2, load_seconds=100)
    )

    result = waiter.replicate(github, streams=("commits",)).result

    record = stitch.jobs(github)[-1]
    assert seconds_after(stitch, record, result["streams"]["commits"]["loaded_at"]) >= 140


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 403}, id="expired"),
        pytest.param({"cut": True}, id="unreachable"),
        pytest.param({"garbage": True}, id="a page of HTML"),
    ],
)
def test_a_log_host_that_never_hands_out_the_log_is_given_up(stitch, waiter, github, fault):
    stitch.fail(host="log", times=None, **fault)

    outcome = waiter.replicate(github)

    assert outcome.error is None
    assert any("not known which streams had rows" in line for line in waiter.warned)
    assert stitch.busiest_window() <= 30


def test_a_page_that_is_gone_is_asked_for_again(stitch, waiter):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(150)]
    jobs = [stitch.complete_job(source_id, seconds_ago=600) for source_id in ids]
    stitch.fail(path_regex="page=2", status=404, times=1)

    assert waiter.wait(waiter.goal(ids[140], jobs[140].job_name, "extraction")).error is None


def test_a_list_that_is_not_in_order_is_read_through(stitch, waiter, mocker):
    ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(250)]
    for source_id in ids:
        stitch.complete_job(source_id, seconds_ago=600)
    list_extractions = waiter.client.list_extractions
    # The emulator lists in order, as documented, so its answers are changed on their way.
    mocker.patch.object(
        waiter.client,
        "list_extractions",
        lambda page=1: replace(
            answer := list_extractions(4 - page), number=page, records=answer.records[::-1]
        ),
    )

    assert read(waiter.reader(), ids[0]).source_id == ids[0]


def read(reader, source_id):
    return asyncio.run(reader.extraction_of(source_id)).value


def test_who_has_no_request_left_before_its_deadline_is_told_so(stitch, waiter, github):
    job = stitch.complete_job(github)
    reader = waiter.reader(patience=60)
    asyncio.run(reader.open(github))
    budget = reader.budget
    for _ in range(budget.limit):
        assert budget.take() == 0
        budget.give_back()

    with pytest.raises(PhaseTimedOut, match="requests of these 10 minutes are used up") as caught:
        asyncio.run(Watch(reader, waiter.goal(github, job.job_name)).wait()).raise_for_error()
    assert f"while waiting for loading of source github ({github}): {job.job_name}" in str(caught.value)


def test_a_job_that_came_in_between_two_looks_counts_as_the_one_before():
    before, between = extraction(EARLIER, end="05:03:00"), extraction(EARLIER, end="05:59:00")

    known = Known().with_extraction(before, at("06:01:00"), is_ours=False)

    assert not may_overlap_previous_job(known, at("06:00:02"))
    assert may_overlap_previous_job(
        known.with_extraction(between, at("06:02:00"), is_ours=False), at("06:00:02")
    )


@pytest.mark.parametrize("delay", [0, 45])
def test_a_job_that_is_listed_some_time_after_its_end_is_waited_for(stitch, waiter, github, delay):
    stitch.quirks.listing_delay = delay

    assert waiter.replicate(github).error is None


def test_a_source_whose_settings_are_being_saved_does_not_fail_a_running_job(stitch, waiter, github):
    started = waiter.start(github)
    stitch.set_step(github, "form")

    assert waiter.wait(waiter.goal(github, started.job_name)).error is None


def test_who_goes_on_in_another_event_loop_asks_no_more_than_once_a_look(stitch, waiter, github):
    """As a sensor in `mode="poke"` does, whose every poke has an event loop of its own."""
    job = stitch.start_job(github, tap_seconds=3600)
    watch = Watch(waiter.reader(), waiter.goal(github, job.job_name, "extraction"))

    for _ in range(5):
        stitch.advance(60)
        asyncio.run(watch.look())

    assert len(stitch.limited_requests) == 5
