"""The triggers of this provider and of the other providers in the comparison.

All triggers connect to local servers.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi

from airflow_provider_stitch.replication.rules.goal import Goal
from benchmarks.triggerer.process import StoredTrigger
from benchmarks.waiting.measurement import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.subprocesses import WorkerProcess

POLL_INTERVAL = 15.0  #: seconds between two polls of another provider; this provider uses Stitch's rate limit


def stitch_trigger(
    connection_id: str, account: dict[str, Any], number: int, job: datetime | str, *, loading: bool = False
) -> StoredTrigger:
    """Return the trigger of one of this provider's sensors.

    :param account: the result of `set_up` in `workers/local_stitch.py`.
    :param number: the number of the source in the account.
    :param job: the name of a job, or the earliest start time of the job.
    :param loading: whether to wait for loading instead of extraction.
    """
    which: dict[str, Any] = {"job_name": job} if isinstance(job, str) else {"started_after": job}
    source = account["sources"][number]
    phase = "loading" if loading else "extraction"
    goal = Goal(phase, source, f"shop_{number}", account["client_id"], **which)
    arguments = {
        "stitch_conn_id": connection_id,
        "goal": goal.to_dict(),
        "deadline": _in_a_week(),
        "resume_state": {"is_execution_timeout": False},
    }
    return StoredTrigger("airflow_provider_stitch.triggers.stitch.StitchPhaseTrigger", arguments)


def idle_trigger(class_name: str) -> StoredTrigger:
    """Return a trigger that does nothing.

    :param class_name: the name of a class in `idle_triggers`.
    """
    return StoredTrigger(f"benchmarks.triggerer.idle_triggers.{class_name}", {})


def competing_subjects(
    count: int, stub: WorkerProcess, ports: dict[str, int], certificate: Path
) -> Iterator[Subject]:
    """Return the other providers in the comparison, with `count` triggers each.

    :param ports: the stub's ports for `http` and `https`.
    :param certificate: the file with the stub's certificate for HTTPS.
    """

    def count_requests() -> int:
        return int(stub.call("statistics")["requests"])

    yield Subject("Airbyte", [_airbyte_trigger(number) for number in range(count)], count_requests)
    # dbt Cloud's hook supports HTTPS only.
    trusted = certificate.with_name("certificates.pem")
    trusted.write_bytes(certificate.read_bytes() + Path(certifi.where()).read_bytes())
    dbt_cloud = [_dbt_cloud_trigger(number) for number in range(count)]
    yield Subject("dbt Cloud", dbt_cloud, count_requests, {"SSL_CERT_FILE": str(trusted)})
    fivetran = [_fivetran_trigger(number) for number in range(count)]
    yield Subject("Fivetran", fivetran, count_requests, {"FIVETRAN_STUB": f"127.0.0.1:{ports['http']}"})


def _airbyte_trigger(number: int) -> StoredTrigger:
    return StoredTrigger(
        "airflow.providers.airbyte.triggers.airbyte.AirbyteSyncTrigger",
        {"job_id": number, "conn_id": "airbyte", "end_time": _in_a_week(), "poll_interval": POLL_INTERVAL},
    )


def _dbt_cloud_trigger(number: int) -> StoredTrigger:
    return StoredTrigger(
        "airflow.providers.dbt.cloud.triggers.dbt.DbtCloudRunJobTrigger",
        {
            "conn_id": "dbt_cloud",
            "run_id": number,
            "end_time": _in_a_week(),
            "poll_interval": POLL_INTERVAL,
            "account_id": 1,
            "hook_params": {},
        },
    )


def _fivetran_trigger(number: int) -> StoredTrigger:
    return StoredTrigger(
        "benchmarks.waiting.stubbed_fivetran.FivetranTrigger",
        {
            "task_id": "wait",
            "connector_id": f"connector_{number}",
            "fivetran_conn_id": "fivetran",
            "poke_interval": POLL_INTERVAL,
        },
    )


def _in_a_week() -> float:
    return time.time() + timedelta(days=7).total_seconds()


def airflow_connections(
    fast: dict[str, Any], slow: dict[str, Any], ports: dict[str, int]
) -> list[dict[str, Any]]:
    """Return Airflow's connections to the two local Stitch servers and to the stub.

    :param fast: the account of the local Stitch with an accelerated clock.
    :param slow: the account of the local Stitch with a real-time clock.
    :param ports: the stub's ports for `http` and `https`.
    """
    return [
        _stitch_connection("stitch_fast", fast),
        _stitch_connection("stitch_slow", slow),
        {
            "conn_id": "airbyte",
            "conn_type": "airbyte",
            "host": f"http://127.0.0.1:{ports['http']}/api/public/v1/",
            "schema": "v1/applications/token",
            "login": "benchmark",
            "password": "benchmark",
        },
        {
            "conn_id": "dbt_cloud",
            "conn_type": "dbt_cloud",
            "host": f"127.0.0.1:{ports['https']}",
            "login": "1",
            "password": "benchmark",
        },
        {
            "conn_id": "fivetran",
            "conn_type": "fivetran",
            "login": "benchmark",
            "password": "benchmark",
        },
    ]


def _stitch_connection(connection_id: str, account: dict[str, Any]) -> dict[str, Any]:
    return {
        "conn_id": connection_id,
        "conn_type": "stitch",
        "host": account["url"],
        "login": str(account["client_id"]),
        "password": account["token"],
    }
