"""Test that the simulation computes correct delays and request counts."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.replication.budget.window import WINDOW
from benchmarks.simulation import benchmark, run_case
from benchmarks.simulation.baseline_schedulers import fixed_schedules
from benchmarks.simulation.run_case import PROVIDER, Case, CaseResult, busiest_window, simulate
from simulated_stitch.account import SimulatedAccount
from simulated_stitch.virtual_time import START, VirtualLoop


@pytest.mark.parametrize("phase", ["extraction", "loading"])
@pytest.mark.parametrize("plan", [PROVIDER, *fixed_schedules()])
def test_tasks_never_finish_early_and_the_rate_limit_is_kept(phase, plan):
    found = simulate(Case(sources=4, phase=phase, days=0.06, every=1.0), plan)

    assert found.delays
    assert min(found.delays) >= 0
    assert 0 < found.busiest_window <= 30


def test_loads_on_several_pages_are_all_waited_for():
    found = simulate(Case(sources=400, phase="loading", days=0.01, every=24.0), PROVIDER)

    assert found.delays


def test_polling_without_pause_has_no_delay_but_exceeds_the_limit(mocker):
    """If tasks poll without a pause, delays are short and the busiest window exceeds the limit."""
    mocker.patch.object(run_case, "DEFAULT_LIMIT", 10_000)
    mocker.patch.object(
        run_case, "next_request", lambda candidates, window, now: max(each.request for each in candidates)
    )

    found = simulate(Case(sources=1, phase="extraction", days=0.02, every=0.2), PROVIDER)

    assert max(found.delays) < 1
    assert found.busiest_window > 30


def test_busiest_window_may_start_at_any_time():
    assert busiest_window([0, 1, 599, WINDOW, 601, 602, 5000]) == 4


def test_comparison_names_the_best_fixed_schedule():
    found = {
        PROVIDER: CaseResult([1.0, 2.0], 30),
        "slow": CaseResult([4.0, 4.0], 30),
        "quick": CaseResult([1.0, 1.0], 30),
    }
    row = benchmark.compare_results(Case(1, "extraction", 1.0, 1.0), found)

    assert (row.best_name, row.mean, row.best_mean, row.ratio) == ("quick", 1.5, 1.0, 1.5)
    assert benchmark.find_misses([row]) == [
        "1 sources, extraction: the mean delay is 1.50 times the best; at most 1.25 times"
    ]


def test_account_lists_jobs_and_loads_once_they_have_finished():
    loop = VirtualLoop()
    account = SimulatedAccount(loop, sources=1)
    job = account.start_job(0, duration=100, flush_offsets=[50, 60, 70], load_lags=[10, 90, 100])

    async def listed(at: float) -> tuple[bool, int]:
        await asyncio.sleep(at - loop.time())
        loads = account.list_loads().records
        loaded = sum(load.last_batch_loaded_at >= START for load in loads)
        return account.list_extractions().records[0].job_name == job.name, loaded

    found = [loop.run_until_complete(listed(at)) for at in (59, 61, 99, 101, 149, 151, 171)]
    loop.close()

    assert found == [(False, 0), (False, 1), (False, 1), (True, 1), (True, 1), (True, 2), (True, 3)]
    assert account.limited_request_times == sorted([59, 61, 99, 101, 149, 151, 171] * 2)


def test_cases_follow_the_selected_days_sources_and_seed():
    assert benchmark.select_cases(2.0, {10, 1}, seed=7) == [
        Case(1, "extraction", 2.0, 1.0, 7),
        Case(10, "extraction", 2.0, 3.0, 7),
        Case(1, "loading", 2.0, 1.0, 7),
        Case(10, "loading", 2.0, 3.0, 7),
    ]
    assert [case.days for case in benchmark.select_cases(None, [1000], seed=1)] == [0.5, 0.5]


def test_another_seed_creates_other_jobs():
    first, again, other = (simulate(Case(2, "extraction", 0.1, 1.0, seed), PROVIDER) for seed in (1, 1, 2))

    assert first == again
    assert first != other
