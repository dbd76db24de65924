"""The triggers that wait in the benchmark: this provider's and others', for servers of this machine."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi

from airflow_provider_stitch.replication.goals import Goal
from benchmarks.cost_of_waiting import Subject
from benchmarks.triggerer import Waiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.children import Servant

POLL_INTERVAL = 15.0  #: seconds, of the others; ours go by Stitch's limit, as they do by default


def ours(
    connection: str, account: dict[str, Any], number: int, which: datetime | str, *, loading: bool = False
) -> Waiter:
    """Return the trigger of a sensor for a job that is named, or began after an instant.

    :param account: as `child_stitch.py` describes it.
    :param number: of the account's source.
    :param loading: wait for the loading, not for the extraction.
    """
    told: dict[str, Any] = {"job_name": which} if isinstance(which, str) else {"started_after": which}
    source = account["sources"][number]
    goal = Goal(
        "loading" if loading else "extraction", source, f"shop_{number}", account["client_id"], **told
    )
    arguments = {
        "stitch_conn_id": connection,
        "goal": goal.to_dict(),
        "deadline": time.time() + timedelta(days=7).total_seconds(),
        "carried": {"is_execution_timeout": False},
    }
    return Waiter("airflow_provider_stitch.triggers.stitch.StitchPhaseTrigger", arguments)


def others(count: int, stub: Servant, ports: dict[str, int], certificate: Path) -> Iterator[Subject]:
    """Return the triggers of other providers, and one that does nothing.

    :param ports: of the stub, for `http` and `https`.
    :param certificate: of the latter.
    """

    def asked() -> int:
        return int(stub.ask("asked")["requests"])

    later = time.time() + timedelta(days=7).total_seconds()
    both = certificate.with_name("certificates.pem")
    both.write_bytes(certificate.read_bytes() + Path(certifi.where()).read_bytes())
    yield Subject(
        "Airbyte",
        [
            Waiter(
                "airflow.providers.airbyte.triggers.airbyte.AirbyteSyncTrigger",
                {"job_id": number, "conn_id": "airbyte", "end_time": later, "poll_interval": POLL_INTERVAL},
            )
            for number in range(count)
        ],
        asked,
    )
    yield Subject(
        "dbt Cloud",
        [
            Waiter(
                "airflow.providers.dbt.cloud.triggers.dbt.DbtCloudRunJobTrigger",
                {
                    "conn_id": "dbt_cloud",
                    "run_id": number,
                    "end_time": later,
                    "poll_interval": POLL_INTERVAL,
                    "account_id": 1,
                    "hook_params": {},
                },
            )
            for number in range(count)
        ],
        asked,
        # It speaks nothing but HTTPS.
        {"SSL_CERT_FILE": str(both)},
    )
    yield Subject(
        "Fivetran",
        [
            Waiter(
                "benchmarks.fivetran_of_stub.FivetranTrigger",
                {
                    "task_id": "wait",
                    "connector_id": f"connector_{number}",
                    "fivetran_conn_id": "fivetran",
                    "poke_interval": POLL_INTERVAL,
                },
            )
            for number in range(count)
        ],
        asked,
        {"FIVETRAN_STUB": f"127.0.0.1:{ports['http']}"},
    )
    yield Subject("Airflow alone: they do nothing", [idle()] * count, lambda: 0)


def idle(kind: str = "Idle") -> Waiter:
    """Return a trigger that does nothing: of a class in `triggerer_probe`."""
    return Waiter(f"benchmarks.triggerer_probe.{kind}", {})


def connections(fast: dict[str, Any], slow: dict[str, Any], ports: dict[str, int]) -> list[dict[str, Any]]:
    """Return Airflow's connections to two Stitches and to the ports of the stub."""

    def of_stitch(name: str, account: dict[str, Any]) -> dict[str, Any]:
        return {
            "conn_id": name,
            "conn_type": "stitch",
            "host": account["url"],
            "login": str(account["client_id"]),
            "password": account["token"],
        }

    return [
        of_stitch("stitch_fast", fast),
        of_stitch("stitch_slow", slow),
        {
            "conn_id": "airbyte",
            "conn_type": "airbyte",
            "host": f"http://127.0.0.1:{ports['http']}/api/public/v1/",
            "schema": "v1/applications/token",
            "login": "benchmark",
            "password": "of-the-benchmark",
        },
        {
            "conn_id": "dbt_cloud",
            "conn_type": "dbt_cloud",
            "host": f"127.0.0.1:{ports['https']}",
            "login": "1",
            "password": "of-the-benchmark",
        },
        {
            "conn_id": "fivetran",
            "conn_type": "fivetran",
            "login": "benchmark",
            "password": "of-the-benchmark",
        },
    ]
