"""Derive the events of each run and their times from the run number."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Runs that execute together, so that a fault of a component affects all these runs.
RUNS_PER_BATCH = 10

#: Real seconds from the start of a batch within which component faults are injected.
FAULT_PERIOD = 25.0

#: Kinds of faults that disturb the task of one run, with their relative frequencies.
TASK_FAULT_WEIGHTS = {
    "none": 4,
    "kill task": 4,  # kill the process that executes the task
    "kill worker": 2,  # kill the executor's worker and the task in it
    "suspend worker": 2,  # Airflow declares the task dead, then the worker resumes
    "lose start response": 2,  # Stitch starts a job, and the connection is cut
    "kill task during start": 2,  # Stitch starts a job, and the task is killed before the response arrives
    "kill task at rate limit": 2,  # Stitch rejects status requests when the task is killed
    "start another job": 2,  # another user starts a job of the same source as soon as our job has ended
}

#: Kinds of faults that disturb all runs of a batch.
COMPONENT_FAULT_KINDS = (
    "kill one triggerer",  # of two
    "kill both triggerers",
    "restart triggerer",  # gracefully
    "kill scheduler and workers",
    "kill scheduler only",
    "kill Stitch",
    "cut network",  # every connection to Stitch is cut for a few seconds
)


#: An additional fault for all runs of a batch if several hosts share their budget through Redis.
REDIS_FAULT_KIND = "kill Redis"


@dataclass(frozen=True)
class ExpectedOutcome:
    """The expected outcome of a run."""

    share: float  #: fraction of all runs
    dag: str = "plain"
    state: str = "success"
    jobs: int = 1
    is_stopped: bool = False  #: whether the task must stop its job


#: By name.
OUTCOMES = {
    # The destination rejects all rows.
    "refused": ExpectedOutcome(0.1, dag="failing", state="failed"),
    # The first extraction fails, and the retry succeeds.
    "extracted again": ExpectedOutcome(0.1, jobs=2),
    # A user marks the task failed after all faults.
    "given up": ExpectedOutcome(0.1, state="failed", is_stopped=True),
    "loaded": ExpectedOutcome(0.7),
}


@dataclass(frozen=True)
class FaultPlan:
    """A fault to inject."""

    kind: str
    moment: float  #: when to inject it, as a fraction (0 to 1) of the period for its kind
    choice: float  #: a number from 0 to 1 that selects the component or the duration


@dataclass(frozen=True)
class RunPlan:
    """One run of a DAG, and the fault that disturbs the task of the run."""

    number: int
    where: str  #: where the task waits, `in_worker` or `deferred`
    outcome_name: str
    tap_seconds: float  #: seconds of Stitch's time
    fault: FaultPlan

    @property
    def expected(self) -> ExpectedOutcome:
        return OUTCOMES[self.outcome_name]

    @property
    def dag_id(self) -> str:
        return f"{self.expected.dag}_{self.where}"


@dataclass(frozen=True)
class RunBatch:
    """Runs that start together, and the faults that disturb all these runs."""

    runs: tuple[RunPlan, ...]
    faults: tuple[FaultPlan, ...]


def plan_batches(runs: int, seed: int, *, kills_redis: bool = False) -> Iterator[RunBatch]:
    """Plan `runs` runs, numbered from `seed`. The same number always yields the same plan.

    :param kills_redis: whether to add one or two kills of Redis to each batch.
    """
    for first in range(seed, seed + runs, RUNS_PER_BATCH):
        numbers = range(first, min(first + RUNS_PER_BATCH, seed + runs))
        # The string is part of the seed, so another string would change the plans of all recorded seeds.
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
