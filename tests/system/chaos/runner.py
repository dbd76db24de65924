"""Plays a wave of runs and blows, and judges what has become of each run."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_airflow.waiting import NotAvailableYet
from tests.system.chaos.faults import (
    STRIKES_ON_A_TASK,
    STRIKES_ON_ALL,
    TRIGGERERS,
    Scene,
    Target,
    user_fails_it,
)
from tests.system.chaos.stitch_process import STREAM
from tests.system.chaos.tasks import Tasks
from tests.system.harness import OVER, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.chaos.plan import Blow, RunPlan, Wave
    from tests.system.chaos.stitch_process import StitchProcess
    from tests.system.harness import Airflow, Run

#: Real seconds after which a run that has not ended is said to hang.
LONGEST_WAVE = 300.0

#: Real seconds between two steps.
PAUSE = 0.25

#: Real seconds between two looks at the runs' states.
LOOK = 1.5

HANGS = "hangs"

NEVER = float("inf")


@dataclass(frozen=True)
class Judged:
    """What has become of a run."""

    plan: RunPlan
    run_id: str
    struck: tuple[str, ...]  #: the kinds of blows that came before its end
    state: str  #: at its end, or `HANGS`
    jobs: int  #: in Stitch's record
    seconds: float  #: real ones, from the wave's begin
    faults: tuple[str, ...]  #: what is wrong; none if all is well


@dataclass
class _Act:
    """A run under way."""

    plan: RunPlan
    run: Run
    source_id: int
    state: str = HANGS
    seconds: float = LONGEST_WAVE


@dataclass
class _Action:
    """A blow under way."""

    kind: str
    of: _Act | None  #: the run whose task is meant; None: all
    steps: Iterator[float]
    hits: list[float]  #: when it struck
    due: float = 0.0

    @property
    def strikes_on(self) -> bool:
        """Whether it has struck and is not over."""
        return bool(self.hits) and self.due != NEVER

    def advance(self, now: float) -> None:
        """Take the next step if it is due."""
        if now >= self.due:
            pause = next(self.steps, None)
            self.due = NEVER if pause is None else now + pause

    def struck(self, act: _Act) -> bool:
        """Whether it struck a run before its end."""
        return self.of in (None, act) and any(hit <= act.seconds for hit in self.hits)


class Chaos:
    """Plays waves in an Airflow with two triggerers, whose tasks talk to a Stitch that can be killed.

    :param conf: what each run's configuration has besides its source.
    """

    def __init__(self, airflow: Airflow, stitch: StitchProcess, conf: dict[str, str] | None = None) -> None:
        self._airflow = airflow
        self._stitch = stitch
        self._tasks = Tasks(airflow)
        self._conf = conf or {}
        self._began = 0.0

    def play(self, wave: Wave) -> list[Judged]:
        """Start the runs, strike the blows, wait for all, and judge."""
        acts = [_Act(plan, self._airflow.new_run(plan.dag_id), self._add_source(plan)) for plan in wave.runs]
        self._began = time.monotonic()
        actions = [self._against_all(blow) for blow in wave.blows]
        for act in acts:
            actions.append(self._against(act))
            if act.plan.fate.is_stopped:
                actions.append(self._user_of(act))
        self._step(actions)  # what strikes the start of a job is arranged before it
        for act in acts:
            act.run.begin(_source(act.plan), **self._conf)
        next_look = 0.0
        while self._now() < LONGEST_WAVE and any(act.state == HANGS for act in acts):
            self._step(actions)
            if self._now() >= next_look:
                self._note_ends(acts)
                next_look = self._now() + LOOK
        self._let_end(actions)
        patience_until = self._now() + PATIENCE
        return [self._judge(act, actions, patience_until) for act in acts]

    # --- Runs -------------------------------------------------------------------------------------------

    def _add_source(self, plan: RunPlan) -> int:
        source_id: int = self._stitch.call(
            "add_source", name=_source(plan), tap_seconds=plan.tap_seconds, fate=plan.fate_name
        )
        return source_id

    def _note_ends(self, acts: list[_Act]) -> None:
        with suppress(NotAvailableYet):  # the database may be locked; it is asked again
            states = self._airflow.control.states_of_runs()
            for act in acts:
                state = states.get(act.run.run_id, "")
                if act.state == HANGS and state in OVER:
                    act.state, act.seconds = state, self._now()

    # --- Blows ------------------------------------------------------------------------------------------

    def _against_all(self, blow: Blow) -> _Action:
        hits: list[float] = []
        return _Action(blow.kind, None, STRIKES_ON_ALL[blow.kind](self._scene(blow, hits)), hits)

    def _against(self, act: _Act) -> _Action:
        hits: list[float] = []
        blow = act.plan.blow
        steps = STRIKES_ON_A_TASK[blow.kind](self._scene(blow, hits), self._target(act))
        return _Action(blow.kind, act, steps, hits)

    def _user_of(self, act: _Act) -> _Action:
        return _Action("user", act, user_fails_it(self._target(act)), [])

    def _target(self, act: _Act) -> Target:
        return Target(self._tasks, act.run, act.source_id, act.plan.where)

    def _scene(self, blow: Blow, hits: list[float]) -> Scene:
        return Scene(self._airflow, self._stitch, blow, lambda: hits.append(self._now()))

    def _step(self, actions: list[_Action]) -> None:
        self._airflow.heed()
        for action in actions:
            action.advance(self._now())
        time.sleep(PAUSE)

    def _let_end(self, actions: list[_Action]) -> None:
        """Let come back what is down; what was still to come does not."""
        begun = [action for action in actions if action.strikes_on]
        while any(action.strikes_on for action in begun):
            self._step(begun)
        self._airflow.processes.kill_orphans()

    def _now(self) -> float:
        return time.monotonic() - self._began

    # --- The judgement ----------------------------------------------------------------------------------

    def _judge(self, act: _Act, actions: list[_Action], patience_until: float) -> Judged:
        all_jobs = self._jobs(act, patience_until)
        jobs = [job for job in all_jobs if job["started_by"] == "api"]
        faults = list(_faults(act, jobs))
        if any(job["stopped"] for job in all_jobs if job not in jobs):
            faults.append("another user's job was stopped")
        if not faults and act.state == "success":
            loaded_at = self._stitch.call("loaded_at", name=_source(act.plan))
            faults += _faults_of_xcom(self._xcom(act), jobs[-1]["job_name"], loaded_at)
        struck = tuple(action.kind for action in actions if action.struck(act))
        return Judged(act.plan, act.run.run_id, struck, act.state, len(jobs), act.seconds, tuple(faults))

    def _jobs(self, act: _Act, patience_until: float) -> list[dict[str, Any]]:
        """Return the run's jobs, once there has been time to stop the one that nobody waits for any more."""
        while True:
            jobs: list[dict[str, Any]] = self._stitch.call("jobs", source_id=act.source_id)
            awaits_a_stop = act.state != HANGS and _ends_with_a_stop(act)
            ours = [job for job in jobs if job["started_by"] == "api"]
            if not awaits_a_stop or all(job["stopped"] for job in ours) or self._now() > patience_until:
                return jobs
            self._step([])

    def _xcom(self, act: _Act) -> dict[str, Any]:
        told: list[dict[str, Any]] = []
        self._airflow.until(lambda: told.append(act.run.xcom()) or told, f"the XCom of {act.run.run_id}")
        return told[0]


def _source(plan: RunPlan) -> str:
    return f"chaos_{plan.number}"


def _faults(act: _Act, jobs: list[dict[str, Any]]) -> Iterator[str]:
    fate = act.plan.fate
    if act.state == HANGS:
        yield HANGS
    elif act.state != fate.state:
        yield f"{act.state}, and should be {fate.state}"
    if len(jobs) != fate.jobs:
        yield f"jobs: {len(jobs)}, and should be {fate.jobs}"
    if any(job["stopped"] for job in jobs) and not fate.is_stopped:
        yield "a job was stopped"
    if not all(job["stopped"] for job in jobs) and _ends_with_a_stop(act):
        yield "its job goes on"


def _ends_with_a_stop(act: _Act) -> bool:
    """A job whose start had no answer has no name while it runs: nobody knows if it is the one to stop."""
    return act.plan.fate.is_stopped and act.run.waits > 0


def _faults_of_xcom(xcom: dict[str, Any], job_name: str, loaded_at: str | None) -> Iterator[str]:
    """Nobody but Stitch says when rows are loaded, and only afterwards: who knows it has waited for it."""
    if xcom["job_name"] != job_name:
        yield "another job's name"
    if xcom["streams"].get(STREAM, {}).get("loaded_at") != loaded_at:
        yield "not loaded"


@contextmanager
def two_triggerers(airflow: Airflow) -> Iterator[None]:
    """Start the second one, and end it with the context."""
    first, second = TRIGGERERS
    airflow.processes.start_component(first, second)
    try:
        yield
    finally:
        if airflow.processes.is_running(second):
            airflow.processes.terminate(second)
