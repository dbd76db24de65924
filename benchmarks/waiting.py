"""What a waiting task costs a real Airflow triggerer: requests, a blocked event loop, memory.

A thousand of our sensors wait in one triggerer. Once they do, time runs faster there, as it does in the local
Stitch, so that several of the ten minutes for which Stitch limits requests pass in a minute. Then, in time as
it is, fewer of ours and of other providers' triggers, one provider after the other.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.children import Servant
from benchmarks.cost_of_waiting import Measured, Stall, Subject, longest, measure
from benchmarks.results import Result
from benchmarks.triggerer import Home, Triggerer
from benchmarks.waiters import connections, idle, others, ours
from benchmarks.waiting_tables import Alone, Limit, misses, table_of_few, table_of_many

if TYPE_CHECKING:
    from rich.console import Console

MANY = 1000  #: of ours
LOADING_ONE_IN = 50  #: of them wait for the loading, which takes a limited request for each one's log
SPEED = 15.0  #: of the clocks, once many wait
ENDS_SPREAD = 600.0  #: Stitch's seconds over which the jobs end
LONGEST_WAIT = 900.0  #: Stitch's seconds from the end of the last job until all tasks must know
STEADY_OF_MANY = 45.0  #: seconds
STEADY_OF_NOBODY = 5.0
FEW = 200  #: of each provider, in its turn
STEADY_OF_FEW = 25.0
SHORTEST_JOB = 30.0  #: seconds
LONGEST_ENDING = 300.0  #: seconds in which all must know that their jobs have ended
DELAY = 0.05  #: seconds until a server answers the few

NOTE = (
    "Blocked: the longest time in which the triggerer's event loop did not get round, without what it had to "
    "wait for a core that other processes had. Memory: what the process has more than without waiting tasks, "
    "after a garbage collection. A task's is that of nine tenths of them, divided: when they come, a tenth "
    "waits already, so that modules are imported, threads begun, connections open. Once "
    f"{MANY} wait, their clocks run {SPEED:g} times as fast. One in {LOADING_ONE_IN} of them waits for its "
    "rows to be loaded, the others for the end of the extraction."
)


def run(console: Console) -> Result:
    """Measure, print tables, and return what was found, with the targets that were missed."""
    with tempfile.TemporaryDirectory(prefix="stitch-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with console.status("Making Airflow's database") as status:
            home = Home(folder / "airflow")
            home.set_up()
            stitch = Servant("child_stitch.py", folder / "stitch.out")
            fast_stitch = Servant("child_stitch.py", folder / "fast_stitch.out")
            stub = Servant("child_stub.py", folder / "stub.out")
            with home.rows, fast_stitch, stitch, stub:
                fast = fast_stitch.ask("set_up", count=MANY, speed=SPEED, delay=0.0)
                slow = stitch.ask("set_up", count=FEW, speed=1.0, delay=DELAY)
                certificate = folder / "certificate.pem"
                ports = stub.ask("set_up", delay=DELAY, certificate=str(certificate))
                home.rows.ask("set_up", connections=connections(fast, slow, ports))
                status.update(f"{MANY} of our sensors wait")
                many, limit = _many(home, fast_stitch, fast)
                status.update(f"{MANY} tasks of nobody's wait")
                alone = Alone(_nobody(home), _nobody(home, "IdleWithRequests"))
                few = []
                for subject in (_few_of_ours(stitch, slow), *others(FEW, stub, ports, certificate)):
                    status.update(f"{FEW} tasks wait: {subject.name}")
                    few.append(_few(home, subject, None if few else stitch))
    console.print(table_of_many(many, alone, limit, few[0]))
    console.print(table_of_few(few))
    console.print(NOTE, style="dim", highlight=False)
    figures = {
        "many": asdict(many),
        "alone": asdict(alone),
        "limit": asdict(limit),
        "few": [{**asdict(each), "blocked": each.stall.own} for each in few],
    }
    return Result(misses(many, alone, limit, few[0]), figures)


def _many(home: Home, stitch: Servant, account: dict[str, Any]) -> tuple[Measured, Limit]:
    half = MANY // 2
    # What waits for a named job began before; its end comes when all is steady.
    before = _ends(half, first=SPEED * 120.0)
    jobs = stitch.ask("start_jobs", first=0, durations=before)["jobs"]
    began = datetime.fromisoformat(account["now"])
    waiters = [
        ours(
            "stitch_fast",
            account,
            number,
            jobs[number] if number < half else began,
            loading=number % LOADING_ONE_IN == 0,
        )
        for number in range(MANY)
    ]
    subject = Subject("Stitch", waiters, lambda: int(stitch.ask("asked")["requests"]))
    with home.triggerer("many") as triggerer:
        measured = measure(triggerer, subject, STEADY_OF_MANY, SPEED)
        started_at = stitch.ask("asked")["now"]
        after = _ends(MANY - half, first=60.0)
        stitch.ask("start_jobs", first=half, durations=after)
        ends = [began.timestamp() + each for each in before] + [started_at + each for each in after]
        return measured, _limit(triggerer, stitch, ends, began.timestamp())


def _nobody(home: Home, kind: str = "Idle") -> Measured:
    """Measure what Airflow itself takes for as many."""
    subject = Subject(kind, [idle(kind)] * MANY, lambda: 0)
    with home.triggerer(kind) as triggerer:
        return measure(triggerer, subject, STEADY_OF_NOBODY)


def _ends(count: int, first: float) -> list[float]:
    """Return durations that are spread evenly."""
    return [first + ENDS_SPREAD * number / count for number in range(count)]


def _limit(triggerer: Triggerer, stitch: Servant, ends: list[float], began_at: float) -> Limit:
    began, asked = time.time(), stitch.ask("asked")
    patience = (max(ends) - asked["now"] + LONGEST_WAIT) / SPEED
    gives_up_at = time.monotonic() + patience
    while triggerer.deferred() and time.monotonic() < gives_up_at:
        time.sleep(1.0)
    outcomes, asked = triggerer.outcomes(), stitch.ask("asked")
    errors = [each["event"]["error"]["message"] for each in outcomes if each["event"]["error"]]
    learned = [asked["now"] + (each["at"] - asked["at"]) * SPEED for each in outcomes]
    return Limit(
        minutes=(asked["now"] - began_at) / 60,
        limited=asked["limited"],
        busiest_window=asked["busiest_window"],
        jobs_ended_in=max(ends) - min(ends),
        missing=MANY - len(outcomes),
        failed=len(errors),
        errors=errors[:3],
        stall=longest(triggerer.samples(), began, time.time()),
        # The probe is the first task.
        learned_after=[at - ends[each["index"] - 1] for at, each in zip(learned, outcomes, strict=True)],
    )


def _few_of_ours(stitch: Servant, account: dict[str, Any]) -> Subject:
    began = datetime.fromisoformat(account["now"])
    waiters = [ours("stitch_slow", account, number, began) for number in range(FEW)]
    return Subject("Stitch", waiters, lambda: int(stitch.ask("asked")["requests"]))


def _few(home: Home, subject: Subject, stitch: Servant | None) -> Measured:
    """Measure what a provider's tasks cost.

    :param stitch: in which their jobs are to end then, if they are ours.
    """
    with home.triggerer(subject.name.partition(":")[0].replace(" ", "_"), **subject.environment) as triggerer:
        measured = measure(triggerer, subject, STEADY_OF_FEW)
        if triggerer.deferred() != FEW:
            outcomes = triggerer.outcomes()
            raise RuntimeError(f"{subject.name}: {len(outcomes)} tasks wait no more: {outcomes[:1]}")
        if stitch is not None:
            measured.stall_ending = _ending(triggerer, stitch)
        return measured


def _ending(triggerer: Triggerer, stitch: Servant) -> Stall:
    """Let all jobs end at once, in time as it is; return the longest stall until all tasks know."""
    began = time.time()
    stitch.ask("start_jobs", first=0, durations=[SHORTEST_JOB] * FEW)
    triggerer.until(lambda: triggerer.deferred() == 0, f"{FEW} jobs to end", LONGEST_ENDING)
    return longest(triggerer.samples(), began, time.time())
