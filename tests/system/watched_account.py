"""Record loads in an emulated account, and read the asset events that announce these loads."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_stitch.emulator import StitchEmulator
    from airflow_provider_stitch.emulator.control.account import EmulatedAccount
    from tests.system.harness import Airflow

# These names must match the names in tests/system/dags/loads.py.
CONNECTION = "stitch_events"
WATCHED, HOOKED = "watched_source", "hooked_source"
STREAMS = ("commits", "issues", "pulls", "stars")
SECRET = "the-webhook-secret-of-the-system-tests"
LONG_AGO = 7200.0  #: virtual seconds


class WatchedAccount:
    """The account to which the Airflow connection `stitch_events` refers.

    :param account: an emulated account, to which this class adds the sources for the DAGs.
    """

    def __init__(self, airflow: Airflow, stitch: StitchEmulator, account: EmulatedAccount) -> None:
        self._airflow = airflow
        self.stitch = stitch
        self.account = account
        self.watched = account.add_source(WATCHED, streams=dict.fromkeys(STREAMS, 10))
        self.hooked = account.add_source(HOOKED, streams={"commits": 10})
        for stream in STREAMS[:-1]:  # no load exists for the last stream yet
            account.record_load(self.watched, stream, seconds_ago=LONG_AGO)
        self.loads: list[tuple[str, datetime]] = []  #: streams and times of all recorded loads, in order

    def connection(self) -> dict[str, Any]:
        """Return the Airflow connection for this account, including a webhook secret."""
        fields: dict[str, Any] = json.loads(self.stitch.connection_json(self.account))
        fields["extra"]["webhook_secret"] = SECRET
        return fields

    def load(self, stream: str) -> None:
        """Load rows of a stream that belongs to the watched source."""
        self.account.record_load(self.watched, stream)
        self.loads.append((stream, self.stitch.now().replace(microsecond=0)))

    def last_loads(self) -> dict[str, datetime]:
        """Return the time of each stream's last load."""
        return dict(self.loads)

    def announced(self, stream: str | None) -> list[datetime]:
        """Return the times of all announced loads, in the order of their events.

        :param stream: a stream of the watched source. If `stream` is None, return the loads that the source's
            asset announces.
        """
        uri = f"stitch://{CONNECTION}/{WATCHED}" + (f"/{stream}" if stream else "")
        payloads = (extra["payload"] for extra in self.events(uri))
        return [parse_time(payload["loaded_at"]) for payload in payloads]

    def events(self, uri: str) -> list[dict[str, Any]]:
        """Return the `extra` of each event for an asset.

        If the request to Airflow's API server fails, retry the request.
        """
        control, events = self._airflow.control, []
        self._airflow.wait_until(lambda: events.append(control.asset_events(uri)) is None, f"events of {uri}")
        return events[-1]

    def finished_runs(self, dag_id: str) -> int:
        """Return how many runs of a DAG have succeeded.

        If the request to Airflow's API server fails, retry the request.
        """
        control, counts = self._airflow.control, []

        def count() -> bool:
            states = [control.state_of_run(dag_id, run_id) for run_id in control.runs(dag_id)]
            counts.append(states.count("success"))
            return True

        self._airflow.wait_until(count, f"the runs of {dag_id}")
        return counts[-1]

    def missing(self) -> dict[str, datetime]:
        """Return the last load of each stream, unless an event has announced this load.

        The time of a load and the time in its event may differ by one second.
        """
        return {
            stream: at
            for stream, at in self.last_loads().items()
            if not any(abs((each - at).total_seconds()) <= 1 for each in self.announced(stream))
        }

    def duplicates(self) -> int:
        """Return the number of events that announce a load that an earlier event has already announced."""
        counts = [Counter(self.announced(stream)) for stream in (*STREAMS, None)]
        return sum(number - 1 for each in counts for number in each.values())

    def rejected_requests(self) -> int:
        """Return how many requests Stitch has rejected because of an invalid token."""
        return sum(request.status == 401 for request in self.stitch.requests)

    def wait_until_polled(self, number: int = 1) -> None:
        """Wait until the watchers have started and have polled the loads again."""
        expected = len(self._polls()) + number
        self._airflow.wait_until(lambda: len(self._polls()) >= expected, "a poll of the watchers", 600)

    def _polls(self) -> list[Any]:
        return [
            each for each in self.account.limited_requests if "/loads" in each.path and each.status == 200
        ]

    def wait_until_announced(self, timeout: float = 180.0) -> None:
        """Wait until an event has announced the last load of each stream."""
        self._airflow.wait_until(lambda: not self.missing(), "the last load of each stream", timeout)


@contextmanager
def watched_account(airflow: Airflow, stitch: StitchEmulator) -> Iterator[WatchedAccount]:
    """Add an account to the emulator, and a connection for this account to Airflow."""
    watched = WatchedAccount(airflow, stitch, stitch.add_account())
    airflow.add_connection(CONNECTION, watched.connection())
    airflow.secrets.append(SECRET)
    try:
        watched.wait_until_polled()
        yield watched
    finally:
        airflow.remove_connection(CONNECTION)
