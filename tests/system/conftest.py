"""One Airflow and one local Stitch for all tests of this folder."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import JobPlan, JobRecord, StitchEmulator
from tests.support.secret_encodings import TELLING_TOKEN
from tests.system.harness import Airflow, Run, running_airflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Virtual seconds that a job takes: far more than pass in a test, unless it lets them pass.
ENDLESS = 20 * 3600.0


@pytest.fixture(scope="session")
def stitch() -> Iterator[StitchEmulator]:
    with StitchEmulator(speed=60, access_token=TELLING_TOKEN) as stitch:
        yield stitch


@pytest.fixture(scope="session")
def airflow(stitch: StitchEmulator) -> Iterator[Airflow]:
    with running_airflow(stitch.connection_json()) as airflow:
        yield airflow


_numbers = itertools.count(1)


class Source:
    """A source of a test's own, whose jobs run until the test ends them."""

    def __init__(self, stitch: StitchEmulator, airflow: Airflow) -> None:
        self._stitch = stitch
        self._airflow = airflow
        self.name = f"source_{next(_numbers)}"
        self.id = stitch.add_source(self.name, streams={"commits": 120}, job=JobPlan(tap_seconds=ENDLESS))

    @property
    def jobs(self) -> list[JobRecord]:
        """All jobs that there ever were of this source."""
        return self._stitch.jobs(self.id)

    def run(self, dag_id: str) -> Run:
        """Start a run of a DAG that replicates this source."""
        return self._airflow.run(dag_id, self.name)

    def run_until_it_waits(self, dag_id: str) -> Run:
        """Start a run, and return it once its task waits for its job."""
        run = self.run(dag_id)
        run.until_it_waits()
        return run

    def until_job(self, number: int = 1) -> JobRecord:
        """Wait until so many jobs have begun, and return the last."""
        self._airflow.until(lambda: len(self.jobs) == number, f"job {number} of {self.name}")
        return self.jobs[-1]

    def until_stopped(self, job: JobRecord) -> None:
        """Wait until somebody has stopped a job."""

        def is_stopped() -> bool:
            return next(now.stopped for now in self.jobs if now.job_name == job.job_name)

        self._airflow.until(is_stopped, f"job {job.job_name} to be stopped")

    def let_jobs_end(self) -> None:
        """Let the time pass that the running job still needs, and later jobs be short."""
        self._stitch.plan_jobs(self.id, JobPlan())
        self._stitch.advance(ENDLESS + 300)


@pytest.fixture(scope="session")
def new_source(stitch: StitchEmulator, airflow: Airflow) -> Callable[[], Source]:
    return lambda: Source(stitch, airflow)


@pytest.fixture
def source(new_source: Callable[[], Source]) -> Source:
    return new_source()


@pytest.fixture(params=["in_worker", "deferred"])
def where(request: pytest.FixtureRequest) -> str:
    """Where a task waits."""
    return str(request.param)
