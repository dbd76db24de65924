"""Choose the expected outcome and the faults of each DAG run from the number of the run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Number of DAG runs that execute together. A component fault affects all of these runs.
RUNS_PER_BATCH = 10

#: Component faults are injected within this number of real seconds after the start of a batch.
FAULT_PERIOD = 25.0

#: Relative frequencies of faults that disturb the task of one DAG run, by kind of fault.
TASK_FAULT_WEIGHTS = {
    "none": 4,
    "kill task": 4,  # kill the process that executes the task
    "kill worker": 2,  # kill the executor's worker process and the task that runs in it
    "suspend worker": 2,  # Airflow declares the task dead, and then the worker resumes
    "lose start response": 2,  # Stitch starts a job, and the connection is interrupted
    "kill task during start": 2,  # kill the task before Stitch's response to the start request arrives
    "kill task at rate limit": 2,  # kill the task while Stitch rejects status requests
    "start another job": 2,  # another user starts a job for the same source as soon as our job has ended
}

#: Kinds of faults that disturb all DAG runs of a batch.
COMPONENT_FAULT_KINDS = (
    "kill one triggerer",  # of two
    "kill both triggerers",
    "restart triggerer",  # gracefully
    "kill scheduler and workers",
    "kill scheduler only",
    "kill Stitch",
    "cut network",  # interrupt all connections to Stitch for a few seconds
)


#: Another fault that disturbs a whole batch, if several hosts share their request budget through Redis.
REDIS_FAULT_KIND = "kill Redis"


@dataclass(frozen=True)
class ExpectedOutcome:
    """The expected outcome of a DAG run."""

    share: float  #: fraction of all DAG runs with this outcome
    dag: str = "plain"
    state: str = "success"
    jobs: int = 1
    is_stopped: bool = False  #: whether the task is expected to stop its job


#: By name.
OUTCOMES = {
    # The destination rejects all rows of the job.
    "refused": ExpectedOutcome(0.1, dag="failing", state="failed"),
    # The extraction of the first job fails, and the retry of the task succeeds.
    "extracted again": ExpectedOutcome(0.1, jobs=2),
    # A user marks the task as failed after all faults.
    "given up": ExpectedOutcome(0.1, state="failed", is_stopped=True),
    "loaded": ExpectedOutcome(0.7),
}


@dataclass(frozen=True)
class FaultPlan:
    """A fault to inject."""

    kind: str
    moment: float  #: when to inject the fault, as a fraction (0 to 1) of its period
    choice: float  #: a number from 0 to 1 that selects the component or the duration


@dataclass(frozen=True)
class RunPlan:
    """The plan for one DAG run, and for the fault that disturbs the run's task."""

    number: int
    where: str  #: where the task waits: `in_worker` or `deferred`
    outcome_name: str
    tap_seconds: float  #: how long the tap runs, in seconds of Stitch's time
    fault: FaultPlan

    @property
    def expected(self) -> ExpectedOutcome:
        return OUTCOMES[self.outcome_name]

    @property
    def dag_id(self) -> str:
        return f"{self.expected.dag}_{self.where}"


@dataclass(frozen=True)
class RunBatch:
    """DAG runs that start together, and the faults that disturb all of these runs."""

    runs: tuple[RunPlan, ...]
    faults: tuple[FaultPlan, ...]


def plan_batches(runs: int, seed: int, *, kills_redis: bool = False) -> Iterator[RunBatch]:
    """Plan DAG runs in batches.

    The same run number always yields the same plan.

    :param runs: how many runs to plan.
    :param seed: the number of the first run.
    :param kills_redis: whether to kill Redis once or twice in each batch.
    """
    for first in range(seed, seed + runs, RUNS_PER_BATCH):
        numbers = range(first, min(first + RUNS_PER_BATCH, seed + runs))
        # The seed contains the string `wave`. Another string would change the plans for all recorded run
        # numbers.
        rng = random.Random(f"wave {first}")
        kinds = rng.sample(COMPONENT_FAULT_KINDS, 3)
        faults = [_plan_fault(kind, rng) for kind in kinds]
        if kills_redis:
            rng = random.Random(f"redis {first}")
            faults += [_plan_fault(REDIS_FAULT_KIND, rng) for _ in range(rng.choice([1, 2]))]
        yield RunBatch(tuple(map(_plan_run, numbers)), tuple(faults))


def _plan_run(number: int) -> RunPlan:
    rng = random.Random(f"run {number}")
    return RunPlan(
        number=number,
        where=rng.choice(["in_worker", "deferred"]),
        outcome_name=_choose({name: outcome.share for name, outcome in OUTCOMES.items()}, rng),
        tap_seconds=rng.uniform(60, 600),
        fault=_plan_fault(_choose(TASK_FAULT_WEIGHTS, rng), rng),
    )


def _choose(weights: Mapping[str, float], rng: random.Random) -> str:
    (kind,) = rng.choices(list(weights), list(weights.values()))
    return kind


def _plan_fault(kind: str, rng: random.Random) -> FaultPlan:
    return FaultPlan(kind, rng.random(), rng.random())
