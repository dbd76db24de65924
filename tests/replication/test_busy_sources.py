"""Test waits for a job while later jobs of the source load the same streams, or fail to load them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LogPlan

HOUR = 3600


def flush(at: float, loaded: float) -> Flush:
    """Return a batch, from the seconds after the start of the job at which it is sent and loaded."""
    return Flush(at=at, rows=5, prepare=loaded - at, load=0)


def during_the_wait(stitch, monkeypatch, actions):
    """Call functions at given times.

    :param actions: pairs of the seconds from now and the function.
    """
    advance, start = stitch.advance, stitch.now()
    pending = sorted(actions, key=lambda action: action[0])

    def advance_and_act(seconds: float) -> None:
        end = stitch.now() + timedelta(seconds=seconds)
        while pending and start + timedelta(seconds=pending[0][0]) <= end:
            at, action = pending.pop(0)
            advance(max(0.0, at - (stitch.now() - start).total_seconds()))
            action()
        advance(max(0.0, (end - stitch.now()).total_seconds()))

    monkeypatch.setattr(stitch, "advance", advance_and_act)


def repeated(action, start: float, stop: float, step: float):
    return [(at, action) for at in range(int(start), int(stop), int(step))]


def seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, actions) -> float:
    """Run a job, and return the seconds from the start of the job to the end of a successful wait."""
    stitch.plan_jobs(source, plan)
    goal = waiter.goal(source, waiter.start(source).job_name)
    during_the_wait(stitch, monkeypatch, actions)

    waiter.wait(goal, timeout=26 * HOUR).raise_for_error()

    return (stitch.now() - stitch.jobs(source)[-1].start_time).total_seconds()


def test_loaded_stream_stays_loaded_if_a_later_load_fails(stitch, waiter, monkeypatch):
    source = stitch.add_source("shop", streams={"orders": 5, "items": 5})
    stitch.complete_job(source, seconds_ago=86_400)
    plan = JobPlan(flushes={"orders": [flush(60, 120)], "items": [flush(60, 2460)]})
    fail = [(900, lambda: stitch.set_load_error(source, "orders"))]

    assert 2460 <= seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, fail) < 3600


def test_loaded_stream_stays_loaded_if_later_jobs_load_it_again(stitch, waiter, monkeypatch):
    source = stitch.add_source("shop", streams={"orders": 5, "items": 5})
    plan = JobPlan(flushes={"orders": [flush(60, 120), flush(90, 150)], "items": [flush(60, 2460)]})
    loads = repeated(lambda: stitch.record_load(source, "orders"), 600, 30_000, 100)

    assert 2460 <= seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, loads) < 3600


def test_load_that_changes_soon_after_it_has_settled_settles_again(stitch, waiter, monkeypatch):
    """The destination loads the batches of "orders" ten minutes apart, and "items" in between."""
    source = stitch.add_source("shop", streams={"orders": 5, "items": 5})
    stitch.complete_job(source, seconds_ago=86_400)
    orders = [flush(60, 120), flush(62, 790), flush(64, 890)]
    plan = JobPlan(flushes={"orders": orders, "items": [flush(60, 770)]})

    assert seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, []) >= 890 + 120


def test_load_of_a_slow_destination_settles_again_long_after_the_job(stitch, waiter, monkeypatch):
    """The destination loads all rows two hours late, and the batches of "orders" 12 minutes apart."""
    source = stitch.add_source("shop", streams={"orders": 5, "items": 5})
    orders = [flush(60 + 2 * number, 2 * HOUR + at) for number, at in enumerate((120, 830, 930))]
    plan = JobPlan(flushes={"orders": orders, "items": [flush(60, 2 * HOUR + 770)]})

    seconds = seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, [])
    assert 2 * HOUR + 930 <= seconds < 3 * HOUR


def test_load_settles_although_later_jobs_load_each_minute(stitch, waiter, monkeypatch):
    source = stitch.add_source("shop", streams={"orders": 5})
    plan = JobPlan(flushes={"orders": [flush(60, 120), flush(90, 150)]})
    loads = repeated(lambda: stitch.record_load(source, "orders"), 200, 90_000, 60)

    seconds = seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, loads)
    assert 6 * HOUR <= seconds < 6.5 * HOUR
    assert any("loads of orders have kept changing for hours" in line for line in waiter.warnings)


def test_job_of_slow_destination_is_awaited_for_hours(stitch, waiter, monkeypatch):
    """The destination loads the rows more than an hour late, and one batch every minute."""
    source = stitch.add_source("shop", streams={"orders": 5})
    flushes = [flush(60 * number, 60 * number + 2 * HOUR) for number in range(1, 180)]
    plan = JobPlan(tap_seconds=3 * HOUR, flushes={"orders": flushes})

    seconds = seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, [])
    assert 179 * 60 + 2 * HOUR <= seconds < 6 * HOUR


def test_long_load_settle_is_not_cut_short(stitch, waiter):
    source = stitch.add_source("shop", streams={"orders": 5})
    flushes = [flush(60 + 10 * number, 120 + 1800 * number) for number in range(4)]
    stitch.plan_jobs(source, JobPlan(flushes={"orders": flushes}))
    goal = waiter.goal(source, waiter.start(source).job_name, load_settle=7200.0)

    waiter.wait(goal, timeout=9 * HOUR).raise_for_error()

    assert (stitch.now() - stitch.jobs(source)[-1].start_time).total_seconds() >= 120 + 1800 * 3 + 7200


@pytest.mark.parametrize("interval", [60, 600])
def test_quiet_period_ends_although_later_jobs_load_other_streams(stitch, waiter, monkeypatch, interval):
    source = stitch.add_source("shop", streams={"orders": 5, "rare": 0})
    plan = JobPlan(flushes={"orders": [flush(60, 120)]}, log=LogPlan(available=False))
    loads = repeated(lambda: stitch.record_load(source, "orders"), 200, 90_000, interval)

    # The loads of "orders" settle if they are ten minutes apart. The quiet period then follows.
    assert 6 * HOUR <= seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, loads) < 7 * HOUR


def test_quiet_period_ends_although_later_jobs_load_streams_that_are_not_requested(
    stitch, waiter, monkeypatch
):
    source = stitch.add_source("shop", streams={"orders": 5, "rare": 0})
    stitch.plan_jobs(source, JobPlan(flushes={"orders": [flush(60, 120)]}, log=LogPlan(available=False)))
    goal = waiter.goal(source, waiter.start(source).job_name, streams=("rare",))
    loads = repeated(lambda: stitch.record_load(source, "orders"), 200, 90_000, 600)
    during_the_wait(stitch, monkeypatch, loads)

    waiter.wait(goal).raise_for_error()

    assert 6 * HOUR <= (stitch.now() - stitch.jobs(source)[-1].start_time).total_seconds() < 7 * HOUR


def test_quiet_period_ends_although_later_jobs_load_a_namesake(stitch, waiter, monkeypatch):
    """The job has rows of only one of two tables with the same name, and no log."""
    streams = {
        "new-orders": EmulatedStream(5, "shop-new-orders", "orders", schema_name="new"),
        "old-orders": EmulatedStream(0, "shop-old-orders", "orders", schema_name="old"),
    }
    source = stitch.add_source("shop", type="platform.hp-postgres", streams=streams)
    for stream in ("shop-new-orders", "shop-old-orders"):
        stitch.record_load(source, stream, seconds_ago=86_400)
    plan = JobPlan(flushes={"shop-new-orders": [flush(60, 120)]}, log=LogPlan(available=False))
    loads = repeated(lambda: stitch.record_load(source, "shop-new-orders"), 200, 90_000, 600)

    assert 6 * HOUR <= seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, loads) < 7 * HOUR


def add_loads_on_other_pages(stitch) -> None:
    for number in range(60):
        other = stitch.add_source(f"other_{number}", streams={f"m{each}": 1 for each in range(20)})
        for each in range(20):
            stitch.record_load(other, f"m{each}", seconds_ago=7200)


@pytest.mark.parametrize("phase", ["preparation", "loading"])
def test_quiet_period_restarts_if_a_stream_that_is_not_requested_is_loaded(stitch, waiter, phase):
    """The loads of the streams are on different pages, and the log does not show which streams had rows."""
    add_loads_on_other_pages(stitch)
    source = stitch.add_source("shop", streams={"aaa": 5, "zzz": 5})
    for stream in ("aaa", "zzz"):
        stitch.record_load(source, stream, seconds_ago=86_400)
    flushes = {"aaa": [flush(60, 700), flush(100, 1400)], "zzz": [flush(100, 1900)]}
    stitch.plan_jobs(source, JobPlan(flushes=flushes, log=LogPlan(available=False)))
    goal = waiter.goal(source, waiter.start(source).job_name, phase, streams=("zzz",))

    waiter.wait(goal).raise_for_error()

    assert 1900 <= (stitch.now() - stitch.jobs(source)[-1].start_time).total_seconds() < 3600


def test_loaded_streams_are_not_polled_as_long_as_the_quiet_period_cannot_end(stitch, waiter):
    """The loads of the streams are on different pages, and the log does not show when rows were sent."""
    add_loads_on_other_pages(stitch)
    source = stitch.add_source("shop", type="platform.hp-postgres", streams={"aaa": 5, "zzz": 5})
    for stream in ("aaa", "zzz"):
        stitch.record_load(source, stream, seconds_ago=86_400)
    plan = JobPlan(flushes={"aaa": [flush(100, 120)], "zzz": [flush(100, 450)]})
    stitch.plan_jobs(source, plan)

    assert waiter.replicate(source).error is None

    polls = [request for request in stitch.limited_requests if "/loads" in request.path]
    pages = Counter(request.path.rpartition("=")[2] for request in polls)
    assert pages["1"] < pages["13"]


def test_quiet_period_restarts_if_a_loaded_stream_is_loaded_again(stitch, waiter, monkeypatch):
    """The loads of the streams are on different pages, and the log does not show which streams had rows."""
    add_loads_on_other_pages(stitch)
    source = stitch.add_source("shop", streams={"aaa": 5, "zzz": 5})
    for stream in ("aaa", "zzz"):
        stitch.record_load(source, stream, seconds_ago=86_400)
    plan = JobPlan(
        flushes={"aaa": [flush(60, 160), flush(100, 900)], "zzz": [flush(100, 1400)]},
        log=LogPlan(available=False),
    )

    assert 1400 <= seconds_until_loaded(stitch, waiter, source, monkeypatch, plan, []) < 3600
