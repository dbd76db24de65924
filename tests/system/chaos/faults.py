"""Inject faults into Airflow's processes and into the local Stitch.

Each fault is a generator, which calls `hit` once it has injected the fault. The generator yields the number
of real seconds after which the runner must resume it. If the condition for the fault never occurs, the
generator does not call `hit`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from local_airflow.waiting import NotAvailableYet
from tests.system.chaos.plan import FAULT_PERIOD
from tests.system.harness import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.chaos.plan import FaultPlan
    from tests.system.chaos.stitch_process import StitchProcess
    from tests.system.chaos.tasks import TaskProcesses
    from tests.system.harness import Airflow, Run

TRIGGERERS = ("triggerer", "second triggerer")

#: Number of real seconds for which a process is suspended. This time exceeds Airflow's heartbeat timeout in
#: `airflow_settings`.
SUSPEND_SECONDS = 20.0

#: Number of real seconds for which a triggerer is down. Another triggerer takes less time to adopt the
#: triggers.
ADOPTION_SECONDS = 12.0

#: Number of real seconds for which Stitch rejects requests. This time exceeds the grace period of a killed
#: task.
RATE_LIMIT_SECONDS = 10.0

#: Maximum number of real seconds for which Redis is down. Half of the outages are longer than a window of the
#: rate limit, which lasts 20 real seconds.
REDIS_SECONDS = 45.0

#: States in which a task can be waiting for its job.
WAITING_STATES = ("running", "deferred")

#: A task fault occurs within this number of real seconds after the task's process has started. The process of
#: a deferred task ends soon.
TASK_FAULT_PERIOD = {"in_worker": 15.0, "deferred": 3.0}


@dataclass(frozen=True)
class FaultContext:
    """The plan for a fault, the processes that the fault can disturb, and the callback `hit`."""

    airflow: Airflow
    stitch: StitchProcess
    plan: FaultPlan
    hit: Callable[[], None]

    @property
    def delay(self) -> float:
        """Number of real seconds from the start of the batch until the fault."""
        return self.plan.moment * FAULT_PERIOD


@dataclass(frozen=True)
class TaskTarget:
    """The DAG run that contains the task to disturb."""

    processes: TaskProcesses
    run: Run
    source_id: int
    where: str

    @property
    def process(self) -> psutil.Process | None:
        """The process that is executing the task, or None if no process is executing it."""
        return self.processes.find(self.run)


# --- Faults of one task ---------------------------------------------------------------------------------


def inject_nothing(_: FaultContext, __: TaskTarget) -> Iterator[float]:
    yield from ()


def kill_task(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    yield from _wait_until_running(context, target)
    _kill(context, target.process)


def kill_worker(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    yield from _wait_until_running(context, target)
    if (process := target.process) is not None:
        _kill(context, context.airflow.supervisor_of(process), process)


def suspend_worker(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    yield from _wait_until_running(context, target)
    process = target.process
    supervisor = context.airflow.supervisor_of(process) if process is not None else None
    if supervisor is not None:
        with suppress(psutil.NoSuchProcess):
            supervisor.suspend()
            context.hit()
            yield SUSPEND_SECONDS
            supervisor.resume()


def lose_start_response(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    context.stitch.fail(**_start_request(target), cut=True)
    context.hit()
    yield from ()


def kill_task_during_start(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    context.stitch.fail(**_start_request(target), delay=30)
    while not (context.stitch.is_running and context.stitch.call("jobs", source_id=target.source_id)):
        yield 0.0
    _kill(context, target.process)


def kill_task_at_rate_limit(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    """Kill the task while Stitch rejects all status requests.

    The task then cannot poll the state of its job.
    """
    yield from _wait_until_running(context, target)
    limit_exceeded = {"status": 429, "headers": {"Retry-After": "3"}, "times": None}
    fault = context.stitch.fail(path_regex="/(extractions|loads)", **limit_exceeded)
    _kill(context, target.process)
    yield RATE_LIMIT_SECONDS
    context.stitch.cancel_fault(fault)


def start_another_job(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    """Start a job on behalf of another user as soon as the task's job has ended."""
    while not _last_job_has_ended(context, target):
        yield 0.0
    context.stitch.call("start_other_job", source_id=target.source_id)
    context.hit()


def _last_job_has_ended(context: FaultContext, target: TaskTarget) -> bool:
    stitch = context.stitch
    jobs = stitch.call("jobs", source_id=target.source_id) if stitch.is_running else []
    return bool(jobs) and jobs[-1]["completion_time"] is not None


def _start_request(target: TaskTarget) -> dict[str, Any]:
    return {"method": "POST", "path_regex": f"/{target.source_id}/sync", "after_effect": True}


def _wait_until_running(context: FaultContext, target: TaskTarget) -> Iterator[float]:
    """Wait until the task's process exists, and then until the planned moment of the fault."""
    while target.process is None:
        yield 0.0
    yield context.plan.moment * TASK_FAULT_PERIOD[target.where]


def _kill(context: FaultContext, *processes: psutil.Process | None) -> None:
    for process in processes:
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.kill()
                context.hit()


def mark_task_failed(target: TaskTarget) -> Iterator[float]:
    """Mark the task as failed after all faults, once the task has waited undisturbed for a while."""
    yield FAULT_PERIOD + ADOPTION_SECONDS
    previous, undisturbed_seconds = None, 0
    while undisturbed_seconds < SUSPEND_SECONDS + 5:
        yield 1.0
        with suppress(NotAvailableYet):
            state, waits = target.run.task_state, target.run.log().count("Waiting for ")
            is_undisturbed = (state, waits) == previous and state in WAITING_STATES and waits > 0
            previous, undisturbed_seconds = (state, waits), undisturbed_seconds + 1 if is_undisturbed else 0
    is_marked = False
    while not is_marked:
        with suppress(NotAvailableYet):
            target.run.mark("failed")
            is_marked = True
        yield 0.0


# --- Faults of components -------------------------------------------------------------------------------


def kill_one_triggerer(context: FaultContext) -> Iterator[float]:
    yield context.delay
    name = TRIGGERERS[round(context.plan.choice)]
    yield from _restart(context, (name,), context.airflow.processes.kill, ADOPTION_SECONDS)


def kill_both_triggerers(context: FaultContext) -> Iterator[float]:
    yield context.delay
    yield from _restart(context, TRIGGERERS, context.airflow.processes.kill, 3 * context.plan.choice)


def restart_triggerer(context: FaultContext) -> Iterator[float]:
    yield context.delay
    name = TRIGGERERS[round(context.plan.choice)]
    yield from _restart(context, (name,), context.airflow.processes.terminate, 0.0)


def kill_scheduler_and_workers(context: FaultContext) -> Iterator[float]:
    yield context.delay
    names = ("scheduler", *WORKERS)
    yield from _restart(context, names, context.airflow.processes.kill, 3 * context.plan.choice)


def kill_scheduler_only(context: FaultContext) -> Iterator[float]:
    yield context.delay
    kill = partial(context.airflow.processes.kill, leave_children=True)
    yield from _restart(context, ("scheduler",), kill, 3 * context.plan.choice)


def _restart(
    context: FaultContext, names: tuple[str, ...], end: Callable[[str], None], pause: float
) -> Iterator[float]:
    """Terminate or kill components, and start them again after a pause."""
    ended = [name for name in names if context.airflow.processes.is_running(name)]
    for name in ended:
        end(name)
        context.hit()
    yield pause
    for name in ended:
        context.airflow.processes.start_component(name.rpartition(" ")[2], name)


def kill_stitch(context: FaultContext) -> Iterator[float]:
    yield context.delay
    context.stitch.kill()
    context.hit()
    yield 1 + 4 * context.plan.choice
    context.stitch.start()


def cut_network(context: FaultContext) -> Iterator[float]:
    yield context.delay
    # In half of the cases, Stitch receives the requests and only the responses are lost.
    cut = {"times": None, "cut": True, "after_effect": context.plan.choice < 0.5}
    faults = [context.stitch.fail(**cut, host=host) for host in ("api", "log")]
    context.hit()
    yield 2 + 6 * context.plan.choice
    for fault in faults:
        context.stitch.cancel_fault(fault)


def kill_redis(context: FaultContext) -> Iterator[float]:
    yield context.delay
    redis = context.airflow.redis
    if redis is not None and redis.is_running:
        redis.kill()
        context.hit()
        yield REDIS_SECONDS * context.plan.choice
        redis.start()


TASK_FAULTS: dict[str, Callable[[FaultContext, TaskTarget], Iterator[float]]] = {
    "none": inject_nothing,
    "kill task": kill_task,
    "kill worker": kill_worker,
    "suspend worker": suspend_worker,
    "lose start response": lose_start_response,
    "kill task during start": kill_task_during_start,
    "kill task at rate limit": kill_task_at_rate_limit,
    "start another job": start_another_job,
}

COMPONENT_FAULTS: dict[str, Callable[[FaultContext], Iterator[float]]] = {
    "kill one triggerer": kill_one_triggerer,
    "kill both triggerers": kill_both_triggerers,
    "restart triggerer": restart_triggerer,
    "kill scheduler and workers": kill_scheduler_and_workers,
    "kill scheduler only": kill_scheduler_only,
    "kill Stitch": kill_stitch,
    "cut network": cut_network,
    "kill Redis": kill_redis,
}
