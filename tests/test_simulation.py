"""The simulation that the benchmark prints figures of tells the truth."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.replication.budget import WINDOW
from benchmarks import simulation
from benchmarks.schedules import fixed_schedules
from benchmarks.simulated_account import SimulatedAccount
from benchmarks.simulation import OURS, Case, Simulated, busiest_window, simulate
from benchmarks.virtual_time import START, VirtualLoop


@pytest.mark.parametrize("phase", ["extraction", "loading"])
@pytest.mark.parametrize("plan", [OURS, *fixed_schedules()])
def test_nobody_knows_before_the_end_and_the_limit_is_kept(phase, plan):
    found = simulate(Case(sources=4, phase=phase, days=0.1, every=1.0), plan)

    assert found.late
    assert min(found.late) >= 0
    assert 0 < found.busiest_window <= 30


def test_streams_whose_loads_are_on_many_pages_are_all_waited_for():
    found = simulate(Case(sources=400, phase="loading", days=0.01, every=24.0), OURS)

    assert found.late


def test_who_asks_all_the_time_is_never_late_but_over_the_limit(mocker):
    """So the figures are those of the plan, and the busiest window shows what the budget keeps."""
    mocker.patch.object(simulation, "DEFAULT_LIMIT", 10_000)
    mocker.patch.object(
        simulation, "next_step", lambda candidates, window, now: max(each.request for each in candidates)
    )

    found = simulate(Case(sources=1, phase="extraction", days=0.02, every=0.2), OURS)

    assert max(found.late) < 1
    assert found.busiest_window > 30


def test_the_busiest_10_minutes_are_counted_wherever_they_begin():
    assert busiest_window([0, 1, 599, WINDOW, 601, 602, 5000]) == 4


def test_a_row_names_the_best_of_the_fixed_schedules():
    found = {
        OURS: Simulated([1.0, 2.0], 30),
        "slow": Simulated([4.0, 4.0], 30),
        "quick": Simulated([1.0, 1.0], 30),
    }
    row = simulation.row_of(Case(1, "extraction", 1.0, 1.0), found)

    assert (row.best_name, row.mean, row.best_mean, row.ratio) == ("quick", 1.5, 1.0, 1.5)
    assert simulation.misses([row]) == [
        "1 sources, extraction: 1.50 times as late as the best; at most 1.25 times"
    ]


def test_a_job_is_listed_once_it_has_ended_and_its_load_once_it_is_loaded():
    loop = VirtualLoop()
    account = SimulatedAccount(loop, sources=1)
    job = account.start(0, lasts=100, flushed=[50, 60, 70], lags=[10, 90, 100])

    async def listed(at: float) -> tuple[bool, int]:
        await asyncio.sleep(at - loop.time())
        loads = account.list_loads().records
        loaded = sum(load.last_batch_loaded_at >= START for load in loads)
        return account.list_extractions().records[0].job_name == job.name, loaded

    found = [loop.run_until_complete(listed(at)) for at in (59, 61, 99, 101, 149, 151, 171)]
    loop.close()

    assert found == [(False, 0), (False, 1), (False, 1), (True, 1), (True, 1), (True, 2), (True, 3)]
    assert account.limited_at == sorted([59, 61, 99, 101, 149, 151, 171] * 2)


def test_what_is_simulated_can_be_chosen():
    assert simulation.cases_of(2.0, {10, 1}, seed=7) == [
        Case(1, "extraction", 2.0, 1.0, 7),
        Case(10, "extraction", 2.0, 3.0, 7),
        Case(1, "loading", 2.0, 1.0, 7),
        Case(10, "loading", 2.0, 3.0, 7),
    ]
    assert [case.days for case in simulation.cases_of(None, [1000], seed=1)] == [0.5, 0.5]


def test_another_seed_brings_other_jobs():
    first, again, other = (simulate(Case(2, "extraction", 0.1, 1.0, seed), OURS) for seed in (1, 1, 2))

    assert first == again
    assert first != other
