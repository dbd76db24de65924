"""Execute batches of DAG runs, inject faults, and check how each run has ended."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_airflow.waiting import NotAvailableYet
from tests.system.chaos.faults import (
    COMPONENT_FAULTS,
    TASK_FAULTS,
    TRIGGERERS,
    FaultContext,
    TaskTarget,
    mark_task_failed,
)
from tests.system.chaos.stitch_process import STREAM
from tests.system.chaos.tasks import TaskProcesses
from tests.system.harness import FINISHED_STATES, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.chaos.plan import FaultPlan, RunBatch, RunPlan
    from tests.system.chaos.stitch_process import StitchProcess
    from tests.system.harness import Airflow, Run

#: Number of real seconds after which a DAG run counts as unfinished.
BATCH_TIMEOUT = 300.0

#: Number of real seconds between two steps of a fault.
STEP_INTERVAL = 0.25

#: Number of real seconds after which the states of all DAG runs are queried again.
STATE_INTERVAL = 1.5

UNFINISHED = "unfinished"

NEVER = float("inf")


@dataclass(frozen=True)
class RunResult:
    """The outcome of a DAG run."""

    plan: RunPlan
    run_id: str
    hit_by: tuple[str, ...]  #: the kinds of faults that were injected before the run ended
    state: str  #: the final state of the run, or `UNFINISHED`
    jobs: int  #: number of jobs that Stitch has run
    seconds: float  #: duration in real seconds from the start of the batch
    errors: tuple[str, ...]  #: differences from the expected outcome


@dataclass
class _ActiveRun:
    """A DAG run in the current batch."""

    plan: RunPlan
    run: Run
    source_id: int
    state: str = UNFINISHED
    seconds: float = BATCH_TIMEOUT


@dataclass
class _ActiveFault:
    """A planned or injected fault."""

    kind: str
    target: _ActiveRun | None  #: the run that the fault disturbs, or None if the fault disturbs all runs
    steps: Iterator[float]
    hits: list[float]  #: real seconds at which the fault was injected
    due: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the fault has been injected but has not been undone yet."""
        return bool(self.hits) and self.due != NEVER

    def advance(self, now: float) -> None:
        """Execute the fault's next step if this step is due."""
        if now >= self.due:
            pause = next(self.steps, None)
            self.due = NEVER if pause is None else now + pause

    def has_hit(self, run: _ActiveRun) -> bool:
        """Return whether the fault can disturb a DAG run and was injected before the run ended."""
        return self.target in (None, run) and any(hit <= run.seconds for hit in self.hits)


class ChaosRunner:
    """Executes batches of DAG runs with two triggerers, against an emulator that can be killed.

    :param conf: values to add to the configuration of each DAG run.
    """

    def __init__(self, airflow: Airflow, stitch: StitchProcess, conf: dict[str, str] | None = None) -> None:
        self._airflow = airflow
        self._stitch = stitch
        self._task_processes = TaskProcesses(airflow)
        self._conf = conf or {}
        self._started_at = 0.0

    def execute(self, batch: RunBatch) -> list[RunResult]:
        """Start the DAG runs, inject faults, wait until all runs have finished, and check each run."""
        runs = [self._prepare(plan) for plan in batch.runs]
        self._started_at = time.monotonic()
        faults = [self._component_fault(plan) for plan in batch.faults]
        for run in runs:
            faults.append(self._task_fault(run))
            if run.plan.expected.is_stopped:
                faults.append(self._user_action(run))
        self._step(faults)  # faults that affect a start request must be set up before this request is sent
        for run in runs:
            run.run.trigger(_source_name(run.plan), **self._conf)
        next_query = 0.0
        while self._now() < BATCH_TIMEOUT and any(run.state == UNFINISHED for run in runs):
            self._step(faults)
            if self._now() >= next_query:
                self._record_finished(runs)
                next_query = self._now() + STATE_INTERVAL
        self._undo(faults)
        stop_deadline = self._now() + TIMEOUT
        return [self._check(run, faults, stop_deadline) for run in runs]

    # --- Runs -------------------------------------------------------------------------------------------

    def _prepare(self, plan: RunPlan) -> _ActiveRun:
        source_id: int = self._stitch.call(
            "add_source", name=_source_name(plan), tap_seconds=plan.tap_seconds, outcome=plan.outcome_name
        )
        return _ActiveRun(plan, self._airflow.new_run(plan.dag_id), source_id)

    def _record_finished(self, runs: list[_ActiveRun]) -> None:
        with suppress(NotAvailableYet):  # a query may fail because the database is locked
            states = self._airflow.control.states_of_runs()
            for run in runs:
                state = states.get(run.run.run_id, "")
                if run.state == UNFINISHED and state in FINISHED_STATES:
                    run.state, run.seconds = state, self._now()

    # --- Faults -----------------------------------------------------------------------------------------

    def _component_fault(self, plan: FaultPlan) -> _ActiveFault:
        hits: list[float] = []
        return _ActiveFault(plan.kind, None, COMPONENT_FAULTS[plan.kind](self._context(plan, hits)), hits)

    def _task_fault(self, run: _ActiveRun) -> _ActiveFault:
        hits: list[float] = []
        plan = run.plan.fault
        steps = TASK_FAULTS[plan.kind](self._context(plan, hits), self._target(run))
        return _ActiveFault(plan.kind, run, steps, hits)

    def _user_action(self, run: _ActiveRun) -> _ActiveFault:
        return _ActiveFault("user", run, mark_task_failed(self._target(run)), [])

    def _target(self, run: _ActiveRun) -> TaskTarget:
        return TaskTarget(self._task_processes, run.run, run.source_id, run.plan.where)

    def _context(self, plan: FaultPlan, hits: list[float]) -> FaultContext:
        return FaultContext(self._airflow, self._stitch, plan, lambda: hits.append(self._now()))

    def _step(self, faults: list[_ActiveFault]) -> None:
        self._airflow.check_health()
        for fault in faults:
            fault.advance(self._now())
        time.sleep(STEP_INTERVAL)

    def _undo(self, faults: list[_ActiveFault]) -> None:
        """End all injected faults, so that all components are running again.

        Faults that have not been injected yet are dropped.
        """
        injected = [fault for fault in faults if fault.is_open]
        while any(fault.is_open for fault in injected):
            self._step(injected)
        self._airflow.processes.kill_orphans()

    def _now(self) -> float:
        return time.monotonic() - self._started_at

    # --- Checks -----------------------------------------------------------------------------------------

    def _check(self, run: _ActiveRun, faults: list[_ActiveFault], stop_deadline: float) -> RunResult:
        all_jobs = self._jobs(run, stop_deadline)
        jobs = [job for job in all_jobs if job["started_by"] == "api"]
        errors = list(_job_errors(run, jobs))
        if any(job["stopped"] for job in all_jobs if job not in jobs):
            errors.append("another user's job was stopped")
        if not errors and run.state == "success":
            loaded_at = self._stitch.call("loaded_at", name=_source_name(run.plan))
            errors += _xcom_errors(self._xcom(run), jobs[-1]["job_name"], loaded_at)
        hit_by = tuple(fault.kind for fault in faults if fault.has_hit(run))
        return RunResult(run.plan, run.run.run_id, hit_by, run.state, len(jobs), run.seconds, tuple(errors))

    def _jobs(self, run: _ActiveRun, stop_deadline: float) -> list[dict[str, Any]]:
        """Return the jobs of a DAG run's source.

        If the run is expected to stop its job, wait until the job is stopped or the deadline has passed.
        """
        while True:
            jobs: list[dict[str, Any]] = self._stitch.call("jobs", source_id=run.source_id)
            needs_stop = run.state != UNFINISHED and _must_stop_job(run)
            ours = [job for job in jobs if job["started_by"] == "api"]
            if not needs_stop or all(job["stopped"] for job in ours) or self._now() > stop_deadline:
                return jobs
            self._step([])

    def _xcom(self, run: _ActiveRun) -> dict[str, Any]:
        results: list[dict[str, Any]] = []
        self._airflow.wait_until(
            lambda: results.append(run.run.xcom()) or results, f"the XCom of {run.run.run_id}"
        )
        return results[0]


def _source_name(plan: RunPlan) -> str:
    return f"chaos_{plan.number}"


def _job_errors(run: _ActiveRun, jobs: list[dict[str, Any]]) -> Iterator[str]:
    expected = run.plan.expected
    if run.state == UNFINISHED:
        yield UNFINISHED
    elif run.state != expected.state:
        yield f"{run.state} instead of {expected.state}"
    if len(jobs) != expected.jobs:
        yield f"{len(jobs)} jobs instead of {expected.jobs}"
    if any(job["stopped"] for job in jobs) and not expected.is_stopped:
        yield "a job was stopped"
    if not all(job["stopped"] for job in jobs) and _must_stop_job(run):
        yield "its job is still running"


def _must_stop_job(run: _ActiveRun) -> bool:
    """Return whether a DAG run is expected to stop its job.

    If the response to the start request was lost and the task never waited, the task does not know the job
    name. The task then cannot determine whether the running job is its own.
    """
    return run.plan.expected.is_stopped and run.run.waiter_count > 0


def _xcom_errors(xcom: dict[str, Any], job_name: str, loaded_at: str | None) -> Iterator[str]:
    """Compare a task's XCom with Stitch, and yield the differences.

    The XCom contains the load time only if the task has waited for the load.
    """
    if xcom["job_name"] != job_name:
        yield "the name of another job"
    if xcom["streams"].get(STREAM, {}).get("loaded_at") != loaded_at:
        yield "not loaded"


@contextmanager
def two_triggerers(airflow: Airflow) -> Iterator[None]:
    """Run a second triggerer until the context ends."""
    first, second = TRIGGERERS
    airflow.processes.start_component(first, second)
    try:
        yield
    finally:
        if airflow.processes.is_running(second):
            airflow.processes.terminate(second)
