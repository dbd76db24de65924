"""Setup operators in several processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_stitch.connect.client import StitchClient

ROOT = Path(__file__).parents[2]


def start(kind, number, connection):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.airflow.setup_process", kind, str(number)],
        cwd=ROOT,
        env={**os.environ, "AIRFLOW_CONN_STITCH_DEFAULT": connection},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("kind", ["destination", "source"])
def test_three_processes_at_once_create_one(stitch, kind):
    stitch.delete_destinations()
    processes = [start(kind, number, stitch.connection_json()) for number in range(3)]
    for process in processes:
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    lines = [process.communicate(timeout=120)[0].splitlines()[-1] for process in processes]

    client = StitchClient(stitch.access_token, base_url=stitch.url)
    found = client.list_destinations() if kind == "destination" else client.list_sources()
    [number] = [each.id for each in found if each.deleted_at is None]
    results = [json.loads(line) for line in lines]
    assert {result[f"{kind}_id"] for result in results} == {number}
    assert [result["created"] for result in results].count(True) == 1
