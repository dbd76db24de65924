"""What is done to a running Airflow, and to the Stitch that it talks to.

Each blow is a generator that is asked for its next step after the real seconds that it yields. It calls `hit`
when it strikes; one that never finds what it is meant for does not.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from local_airflow.waiting import NotAvailableYet
from tests.system.chaos.plan import BLOWS_WITHIN
from tests.system.harness import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.chaos.plan import Blow
    from tests.system.chaos.stitch_process import StitchProcess
    from tests.system.chaos.tasks import Tasks
    from tests.system.harness import Airflow, Run

TRIGGERERS = ("triggerer", "second triggerer")

#: Longer than Airflow waits for a worker's heartbeat. See the harness's settings.
HELD_UP = 20.0

#: Longer than it takes a triggerer to take over the triggers of one that is gone.
TAKEN_OVER = 12.0

#: Real seconds for which a busy account has no free request: longer than a killed task has.
BUSY = 10.0

#: States of a task that can wait for its job.
WAITING = ("running", "deferred")

#: Real seconds after a task's begin in which it is struck. One that is deferred soon leaves its process.
TASK_WITHIN = {"in_worker": 15.0, "deferred": 3.0}


@dataclass(frozen=True)
class Scene:
    """Where a blow falls."""

    airflow: Airflow
    stitch: StitchProcess
    blow: Blow
    hit: Callable[[], None]

    def at_any_time(self) -> float:
        return self.blow.at * BLOWS_WITHIN


@dataclass(frozen=True)
class Target:
    """The task that is meant."""

    tasks: Tasks
    run: Run
    source_id: int
    where: str

    @property
    def process(self) -> psutil.Process | None:
        """The process in which the task is just now."""
        return self.tasks.process_of(self.run)


# --- To one task ----------------------------------------------------------------------------------------


def nothing(_: Scene, __: Target) -> Iterator[float]:
    yield from ()


def task(scene: Scene, target: Target) -> Iterator[float]:
    yield from _until_it_runs(scene, target)
    _kill_all(scene, target.process)


def worker(scene: Scene, target: Target) -> Iterator[float]:
    yield from _until_it_runs(scene, target)
    if (process := target.process) is not None:
        _kill_all(scene, scene.airflow.supervisor_of(process), process)


def held_up_worker(scene: Scene, target: Target) -> Iterator[float]:
    yield from _until_it_runs(scene, target)
    process = target.process
    supervisor = scene.airflow.supervisor_of(process) if process is not None else None
    if supervisor is not None:
        with suppress(psutil.NoSuchProcess):
            supervisor.suspend()
            scene.hit()
            yield HELD_UP
            supervisor.resume()


def lost_answer(scene: Scene, target: Target) -> Iterator[float]:
    scene.stitch.fail(**_start_of(target), cut=True)
    scene.hit()
    yield from ()


def task_in_its_start(scene: Scene, target: Target) -> Iterator[float]:
    scene.stitch.fail(**_start_of(target), delay=30)
    while not (scene.stitch.is_running and scene.stitch.call("jobs", source_id=target.source_id)):
        yield 0.0
    _kill_all(scene, target.process)


def task_in_a_busy_account(scene: Scene, target: Target) -> Iterator[float]:
    """Kill the task while Stitch refuses every status request, so that nothing shows whether its job runs."""
    yield from _until_it_runs(scene, target)
    busy = {"status": 429, "headers": {"Retry-After": "3"}, "times": None}
    fault = scene.stitch.fail(path_regex="/(extractions|loads)", **busy)
    _kill_all(scene, target.process)
    yield BUSY
    scene.stitch.mend(fault)


def next_job(scene: Scene, target: Target) -> Iterator[float]:
    """Start a job of another user as soon as a job of the task has ended, however it ended."""
    while not _has_ended(scene, target):
        yield 0.0
    scene.stitch.call("start_other_job", source_id=target.source_id)
    scene.hit()


def _has_ended(scene: Scene, target: Target) -> bool:
    jobs = scene.stitch.call("jobs", source_id=target.source_id) if scene.stitch.is_running else []
    return bool(jobs) and jobs[-1]["completion_time"] is not None


def _start_of(target: Target) -> dict[str, Any]:
    return {"method": "POST", "path_regex": f"/{target.source_id}/sync", "after_effect": True}


def _until_it_runs(scene: Scene, target: Target) -> Iterator[float]:
    """Wait for the task's process, and then for the moment."""
    while target.process is None:
        yield 0.0
    yield scene.blow.at * TASK_WITHIN[target.where]


def _kill_all(scene: Scene, *processes: psutil.Process | None) -> None:
    for process in processes:
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.kill()
                scene.hit()


def user_fails_it(target: Target) -> Iterator[float]:
    """Wait until all blows are over, and the task has waited undisturbed for a while."""
    yield BLOWS_WITHIN + TAKEN_OVER
    seen, quiet = None, 0
    while quiet < HELD_UP + 5:
        yield 1.0
        with suppress(NotAvailableYet):
            now = (target.run.task_state, target.run.log().count("Waiting for "))
            is_calm = now == seen and now[0] in WAITING and now[1] > 0
            seen, quiet = now, quiet + 1 if is_calm else 0
    is_marked = False
    while not is_marked:
        with suppress(NotAvailableYet):
            target.run.mark("failed")
            is_marked = True
        yield 0.0


# --- To all ---------------------------------------------------------------------------------------------


def one_triggerer(scene: Scene) -> Iterator[float]:
    yield scene.at_any_time()
    name = TRIGGERERS[round(scene.blow.choice)]
    yield from _restart(scene, (name,), scene.airflow.processes.kill, TAKEN_OVER)


def both_triggerers(scene: Scene) -> Iterator[float]:
    yield scene.at_any_time()
    yield from _restart(scene, TRIGGERERS, scene.airflow.processes.kill, 3 * scene.blow.choice)


def triggerer_restart(scene: Scene) -> Iterator[float]:
    yield scene.at_any_time()
    name = TRIGGERERS[round(scene.blow.choice)]
    yield from _restart(scene, (name,), scene.airflow.processes.terminate, 0.0)


def scheduler(scene: Scene) -> Iterator[float]:
    yield scene.at_any_time()
    names = ("scheduler", *WORKERS)
    yield from _restart(scene, names, scene.airflow.processes.kill, 3 * scene.blow.choice)


def scheduler_alone(scene: Scene) -> Iterator[float]:
    yield scene.at_any_time()
    kill_alone = partial(scene.airflow.processes.kill, leave_children=True)
    yield from _restart(scene, ("scheduler",), kill_alone, 3 * scene.blow.choice)


def _restart(
    scene: Scene, names: tuple[str, ...], end: Callable[[str], None], pause: float
) -> Iterator[float]:
    """Components end, and are started again after a pause."""
    ended = [name for name in names if scene.airflow.processes.is_running(name)]
    for name in ended:
        end(name)
        scene.hit()
    yield pause
    for name in ended:
        scene.airflow.processes.start_component(name.rpartition(" ")[2], name)


def stitch(scene: Scene) -> Iterator[float]:
    yield scene.at_any_time()
    scene.stitch.kill()
    scene.hit()
    yield 1 + 4 * scene.blow.choice
    scene.stitch.start()


def network(scene: Scene) -> Iterator[float]:
    yield scene.at_any_time()
    # Requests may still come through, and only the answers be lost.
    cut = {"times": None, "cut": True, "after_effect": scene.blow.choice < 0.5}
    faults = [scene.stitch.fail(**cut, host=host) for host in ("api", "log")]
    scene.hit()
    yield 2 + 6 * scene.blow.choice
    for fault in faults:
        scene.stitch.mend(fault)


STRIKES_ON_A_TASK: dict[str, Callable[[Scene, Target], Iterator[float]]] = {
    "nothing": nothing,
    "task": task,
    "worker": worker,
    "held-up worker": held_up_worker,
    "lost answer": lost_answer,
    "task in its start": task_in_its_start,
    "task in a busy account": task_in_a_busy_account,
    "next job": next_job,
}

STRIKES_ON_ALL: dict[str, Callable[[Scene], Iterator[float]]] = {
    "one triggerer": one_triggerer,
    "both triggerers": both_triggerers,
    "triggerer restart": triggerer_restart,
    "scheduler": scheduler,
    "scheduler alone": scheduler_alone,
    "stitch": stitch,
    "network": network,
}
