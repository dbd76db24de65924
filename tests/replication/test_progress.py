"""Test the descriptions of a wait's progress."""

from __future__ import annotations

from airflow_provider_stitch.replication.progress import describe_progress
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.observations import Observations
from tests.support.builders import OURS, extraction, goal


def test_listed_job_without_an_end_is_described_as_running():
    observations = Observations(extraction=extraction(end=None, statuses=(0, None, None)))

    progress = describe_progress(goal(), evaluate(goal(), observations), observations)

    assert progress == f"job {OURS} is not listed as finished; Stitch lists job {OURS} as running"
