"""A DAG that replicates one source of each account, in a worker and in deferrable mode.

The program `lineage_run.py` loads this file.
"""

from __future__ import annotations

import json
import os

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator
from airflow_provider_stitch.sensors.stitch import StitchLoadingSensor

with DAG("lineage", schedule=None):
    for name in json.loads(os.environ["STITCH_TEST_ACCOUNTS"]):
        common = {"source": "shop", "stitch_conn_id": name, "load_settle": 0}
        worker = StitchRunReplicationJobOperator(task_id=f"worker_{name}", **common)
        if name == "slow":
            continue
        deferred = StitchRunReplicationJobOperator(task_id=f"deferred_{name}", deferrable=True, **common)
        # The task must end in a worker, although it sets `end_from_trigger`, because OpenLineage registers a
        # listener.
        sensor = StitchLoadingSensor(
            task_id=f"sensor_{name}",
            job_name=deferred.output["job_name"],
            deferrable=True,
            end_from_trigger=True,
            **common,
        )
        worker >> deferred >> sensor
