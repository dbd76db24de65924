"""What happens in which run and when: all of it follows from the runs' numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Runs that are under way together, so that one blow to a component strikes them all.
RUNS_IN_A_WAVE = 10

#: Real seconds after a wave's begin in which components are struck.
BLOWS_WITHIN = 25.0

#: What strikes the task of one run, and how often beside the others.
TO_A_TASK = {
    "nothing": 4,
    "task": 4,  # the process in which the task runs
    "worker": 2,  # the executor's worker, with the task in it
    "held-up worker": 2,  # Airflow gives the task up, and then it goes on
    "lost answer": 2,  # Stitch starts a job, and the connection is cut
    "task in its start": 2,  # Stitch starts a job, and the task is killed before the answer is there
    "task in a busy account": 2,  # no status request is free when the task is killed, and for a while after
    "next job": 2,  # a job of the same source starts right after ours has ended, started by another user
}

#: What strikes all that run.
TO_ALL = (
    "one triggerer",  # of two
    "both triggerers",
    "triggerer restart",  # an orderly one
    "scheduler",  # with all workers
    "scheduler alone",  # its workers live on
    "stitch",
    "network",  # every connection to Stitch is cut for some seconds
)


@dataclass(frozen=True)
class Fate:
    """What becomes of a run's rows, and what must have become of the run then."""

    share: float  #: of all runs
    dag: str = "plain"
    state: str = "success"
    jobs: int = 1
    is_stopped: bool = False  #: the job


#: By name.
FATES = {
    "refused": Fate(0.1, dag="failing", state="failed"),  # by the destination, for good
    "extracted again": Fate(0.1, jobs=2),  # the first extraction fails, the next try's does not
    "given up": Fate(0.1, state="failed", is_stopped=True),  # a user fails the task once all is calm
    "loaded": Fate(0.7),
}


@dataclass(frozen=True)
class Blow:
    """Something that goes wrong."""

    kind: str
    at: float  #: from 0 to 1: when
    choice: float  #: from 0 to 1: which one of several is struck, or for how long


@dataclass(frozen=True)
class RunPlan:
    """One run of a DAG, and what strikes its task."""

    number: int
    where: str  #: `in_worker` or `deferred`
    fate_name: str
    tap_seconds: float  #: of Stitch's time
    blow: Blow

    @property
    def fate(self) -> Fate:
        return FATES[self.fate_name]

    @property
    def dag_id(self) -> str:
        return f"{self.fate.dag}_{self.where}"


@dataclass(frozen=True)
class Wave:
    """Runs that begin together, and what strikes all of them."""

    runs: tuple[RunPlan, ...]
    blows: tuple[Blow, ...]


def waves(runs: int, seed: int) -> Iterator[Wave]:
    """Plan so many runs, numbered from the seed on. The same numbers have the same plans."""
    for first in range(seed, seed + runs, RUNS_IN_A_WAVE):
        numbers = range(first, min(first + RUNS_IN_A_WAVE, seed + runs))
        dice = random.Random(f"wave {first}")
        kinds = dice.sample(TO_ALL, 3)
        yield Wave(tuple(map(_run, numbers)), tuple(_blow(kind, dice) for kind in kinds))


def _run(number: int) -> RunPlan:
    dice = random.Random(f"run {number}")
    return RunPlan(
        number=number,
        where=dice.choice(["in_worker", "deferred"]),
        fate_name=_one_of({name: fate.share for name, fate in FATES.items()}, dice),
        tap_seconds=dice.uniform(60, 600),
        blow=_blow(_one_of(TO_A_TASK, dice), dice),
    )


def _one_of(weights: Mapping[str, float], dice: random.Random) -> str:
    (kind,) = dice.choices(list(weights), list(weights.values()))
    return kind


def _blow(kind: str, dice: random.Random) -> Blow:
    return Blow(kind, dice.random(), dice.random())
