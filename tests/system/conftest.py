"""Fixtures for one Airflow installation and one local Stitch, which all tests in this folder share."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import JobPlan, JobRecord, StitchEmulator
from tests.support.secret_encodings import ENCODING_SENSITIVE_TOKEN
from tests.system.harness import Airflow, Run, running_airflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Duration of a job, in seconds of the emulator's clock. A job lasts longer than any test, unless the test
#: advances the clock.
VERY_LONG = 20 * 3600.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the search for secrets last, because it searches the files that all earlier tests wrote."""
    items.sort(key=lambda item: item.path.name == "test_secret_leaks.py")


@pytest.fixture(scope="session")
def stitch() -> Iterator[StitchEmulator]:
    with StitchEmulator(speed=60, access_token=ENCODING_SENSITIVE_TOKEN) as stitch:
        yield stitch


@pytest.fixture(scope="session")
def airflow(stitch: StitchEmulator) -> Iterator[Airflow]:
    with running_airflow(stitch.connection_json()) as airflow:
        yield airflow


_numbers = itertools.count(1)


class Source:
    """A source for one test.

    Each job for the source runs until the test finishes this job.
    """

    def __init__(self, stitch: StitchEmulator, airflow: Airflow) -> None:
        self._stitch = stitch
        self._airflow = airflow
        self.name = f"source_{next(_numbers)}"
        self.id = stitch.add_source(self.name, streams={"commits": 120}, job=JobPlan(tap_seconds=VERY_LONG))

    @property
    def jobs(self) -> list[JobRecord]:
        """All jobs of this source, oldest first."""
        return self._stitch.jobs(self.id)

    def run(self, dag_id: str) -> Run:
        """Start a DAG run that replicates this source."""
        return self._airflow.run(dag_id, self.name)

    def run_until_waiting(self, dag_id: str) -> Run:
        """Start a DAG run, and return the run once its task waits for its job."""
        run = self.run(dag_id)
        run.wait_until_waiting()
        return run

    def wait_until_job(self, number: int = 1) -> JobRecord:
        """Wait until Stitch has started a given number of jobs for this source, and return the latest job."""
        self._airflow.wait_until(lambda: len(self.jobs) == number, f"job {number} of {self.name}")
        return self.jobs[-1]

    def wait_until_stopped(self, job: JobRecord) -> None:
        """Wait until a job has been stopped."""

        def is_stopped() -> bool:
            return next(each.stopped for each in self.jobs if each.job_name == job.job_name)

        self._airflow.wait_until(is_stopped, f"job {job.job_name} to be stopped")

    def set_new_rows(self, number: int) -> None:
        """Make the next job short, and set the number of its rows.

        Later jobs do not change.
        """
        self._stitch.plan_next_job(self.id, JobPlan(rows={"commits": number}))

    def finish_jobs(self) -> None:
        """Make later jobs short, and advance the emulator's clock past the end of the running job."""
        self._stitch.plan_jobs(self.id, JobPlan())
        self._stitch.advance(VERY_LONG + 300)


@pytest.fixture(scope="session")
def new_source(stitch: StitchEmulator, airflow: Airflow) -> Callable[[], Source]:
    return lambda: Source(stitch, airflow)


@pytest.fixture
def source(new_source: Callable[[], Source]) -> Source:
    return new_source()


@pytest.fixture(params=["in_worker", "deferred"])
def where(request: pytest.FixtureRequest) -> str:
    """The place where a task waits: `in_worker` or `deferred`."""
    return str(request.param)
