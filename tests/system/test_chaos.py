"""A few runs of the chaos that `make chaos` makes for as long as one likes."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from tests.system.chaos.plan import waves
from tests.system.chaos.runner import Chaos, two_triggerers
from tests.system.chaos.stitch_process import running_stitch

pytestmark = pytest.mark.skipif(
    tuple(int(part) for part in version("apache-airflow").split(".")[:2]) < (3, 3),
    reason="Airflow keeps a task's state from 3.3 on",
)

RUNS = 5
SEED = 9428


def test_each_run_has_one_job_and_its_true_end_whatever_strikes_it(airflow, tmp_path):
    with running_stitch(tmp_path / "stitch") as stitch, two_triggerers(airflow):
        # This one is in Airflow's database, as a user's is.
        airflow.add_connection("stitch_chaos", json.loads(stitch.connection))
        chaos = Chaos(airflow, stitch, {"connection": "stitch_chaos"})
        judged = [run for wave in waves(RUNS, SEED) for run in chaos.play(wave)]
        airflow.secrets += stitch.call("secrets")

    assert [run for run in judged if run.faults] == []
    assert len(judged) == RUNS
