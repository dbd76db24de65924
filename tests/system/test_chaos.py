"""Test a small sample of the DAG runs that `make chaos` executes."""

from __future__ import annotations

import json

from tests.support.task_state import STORES_TASK_STATE
from tests.system.chaos.plan import plan_batches
from tests.system.chaos.runner import ChaosRunner, two_triggerers
from tests.system.chaos.stitch_process import running_stitch
from tests.system.harness import with_redis

pytestmark = STORES_TASK_STATE

RUNS = 5
SEED = 9428


def test_runs_end_as_expected_with_any_fault(airflow, tmp_path):
    with running_stitch(tmp_path / "stitch") as stitch, two_triggerers(airflow):
        # Like most installations, this test stores the connection in Airflow's database. The default
        # connection is an environment variable.
        airflow.add_connection("stitch_chaos", json.loads(with_redis(stitch.connection)))
        runner = ChaosRunner(airflow, stitch, {"connection": "stitch_chaos"})
        batches = plan_batches(RUNS, SEED, kills_redis=airflow.redis is not None)
        results = [result for batch in batches for result in runner.execute(batch)]
        airflow.secrets += stitch.call("secrets")
        busiest = stitch.busiest_window()

    assert [result for result in results if result.errors] == []
    assert len(results) == RUNS
    assert busiest <= 30
