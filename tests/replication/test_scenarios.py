"""Test waiters in random scenarios.

No waiter may finish before its phase ends, every waiter must finish, and the requests must stay within the
rate limit. The API does not always provide enough information to detect a load, for example if rows from
another job or batch are loaded in the meantime. The checks exclude the cases in which a load cannot be
detected (see `SourceOracle.is_observable`). The README explains which loads cannot be detected.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.emulator import Flush, JobPlan, LoadError, LogPlan, Quirks
from airflow_provider_stitch.replication.rules.goal import DEFAULT_LOAD_SETTLE
from tests.support.oracle import NEVER, SourceOracle
from tests.support.scenarios import (
    FAULTS,
    STREAMS,
    Event,
    Job,
    Scenario,
    ScenarioResult,
    WaiterPlan,
    WaiterResult,
    run_scenario,
)

MAX_DELAY = 2700.0
"""Maximum seconds until a waiter detects the end of its phase, even after outages and old load errors."""


# --- Random scenarios -----------------------------------------------------------------------------------

SHORT_SECONDS = st.sampled_from([1.0, 5.0, 30.0, 75.0])
TAP_SECONDS = st.sampled_from([0.0, 20.0, 100.0, 290.0, 700.0, 1500.0])


@st.composite
def flushes(draw, job_seconds: float):
    number = draw(st.sampled_from([0, 1, 1, 1, 2, 3]))
    return tuple(
        Flush(
            at=round(draw(st.floats(0, job_seconds)), 3),
            rows=3,
            prepare=draw(st.sampled_from([0.0, 5.0, 40.0, 100.0, 400.0])),
            load=0.0,
            error=draw(st.sampled_from([None] * 12 + [LoadError("locked", 200.0), LoadError("disk full")])),
        )
        for _ in range(number)
    )


LOGS = [LogPlan()] * 4 + [
    LogPlan(target_version="1.8"),
    LogPlan(target_version="3.0", tap_counters="none"),
    LogPlan(retries=2),
    LogPlan(target="avro"),
    LogPlan(target="avro", flush_markers="last"),
    LogPlan(target="avro", flush_markers="none"),
    LogPlan(target="avro", flush_markers="none", tap_counters="none"),
    LogPlan(available=False),
    LogPlan(exit_line=False),
    LogPlan(runner_crashes=True),
    LogPlan(cut_after_lines=2),
]

FAILURES = [{}] * 6 + [
    {"discovery_exit_status": 1},
    {"tap_exit_status": 1, "tap_description": "401 Client Error"},
    {"tap_exit_status": -15, "target_exit_status": 1},
    {"terminated": True},
]


@st.composite
def jobs(draw):
    durations = {
        "discovery_seconds": draw(SHORT_SECONDS),
        "tap_seconds": draw(TAP_SECONDS),
        "target_seconds": draw(SHORT_SECONDS),
    }
    # Half of the jobs run undisturbed. Only the results of undisturbed jobs can be checked strictly.
    is_undisturbed = draw(st.booleans())
    plan = JobPlan(
        **durations,
        **({} if is_undisturbed else draw(st.sampled_from(FAILURES))),
        flushes={stream: draw(flushes(sum(durations.values()))) for stream in STREAMS},
        log=LogPlan() if is_undisturbed else draw(st.sampled_from(LOGS)),
    )
    return Job(
        delay=draw(st.sampled_from([1.0, 10.0, 130.0, 900.0, 2000.0])),
        plan=plan,
        stopped_after=None if is_undisturbed else draw(st.sampled_from([None] * 6 + [7.0, 60.0, 400.0])),
    )


@st.composite
def waiter_plans(draw, sources):
    source = draw(st.integers(0, len(sources) - 1))
    identified_by = draw(st.sampled_from(["name", "name", "name", "instant", "running"]))
    phase = draw(
        st.sampled_from(["extraction", "loading", "loading", "loading", "preparation", "structure_sync"])
    )
    return WaiterPlan(
        source=source,
        job=draw(st.integers(0, len(sources[source]) - 1)),
        phase="extraction_end" if identified_by == "running" else phase,
        delay=draw(st.sampled_from([0.0, 0.0, 3.0, 61.0, 300.0, 2500.0])),
        identified_by=identified_by,
        poll_interval=draw(st.sampled_from([None] * 8 + [2.0, 45.0])),
        streams=draw(st.sampled_from([None, None, None, STREAMS[:1], STREAMS[1:]])),
        restarts=tuple(draw(st.lists(st.sampled_from([0.0, 2.0, 33.0, 250.0]), max_size=2))),
        token=draw(st.sampled_from([0, 0, 1])),
    )


@st.composite
def events(draw):
    kind = draw(
        st.sampled_from(
            [
                *FAULTS,
                "rate limit",
                "set clock",
                "set clock",
                "add sources",
                "add sources",
                "records expire",
                "restart process",
                "revoke token",
                "pause source",
                "load error",
            ]
        )
    )
    value = draw(st.sampled_from([-7200.0, -600.0, -45.0, 30.0, 3600.0])) if kind == "set clock" else 0.0
    if kind in ("add sources", "records expire"):
        value = draw(st.sampled_from([1, 20, 130, 260]))
    if kind == "load error":
        value = draw(st.integers(0, 2))
    max_duration = 60.0 if kind.startswith("pages") else 1500.0
    return Event(
        at=draw(st.floats(1, 3000).map(round)),
        kind=kind,
        duration=draw(
            st.sampled_from([1.0, 10.0, 60.0, 400.0, 1500.0]).map(lambda seconds: min(seconds, max_duration))
        ),
        value=value,
        source=draw(st.integers(0, 2)),
    )


QUIRKS = st.builds(
    Quirks,
    list_running_jobs=st.booleans(),
    listing_delay=st.sampled_from([0.0, 0.0, 3.0, 90.0]),
    partial_logs=st.booleans(),
    loads_order=st.sampled_from(["stream_name", "stream_id"]),
    retry_after=st.booleans(),
)


@st.composite
def scenarios(draw):
    sources = tuple(
        tuple(draw(st.lists(jobs(), min_size=1, max_size=3))) for _ in range(draw(st.integers(1, 3)))
    )
    return Scenario(
        sources=sources,
        waiters=tuple(draw(st.lists(waiter_plans(sources), min_size=1, max_size=5))),
        events=tuple(draw(st.lists(events(), max_size=draw(st.sampled_from([0, 4]))))),
        other_sources=draw(st.sampled_from([0, 0, 0, 120, 320])),
        quirks=draw(QUIRKS),
        enforce_limit=draw(st.booleans()),
        max_latency=draw(st.sampled_from([0.0, 0.3, 25.0])),
        seed=draw(st.integers(0, 1000)),
    )


# --- Checks ---------------------------------------------------------------------------------------------


class Check:
    """Compares the result of one waiter with the actual events in the scenario."""

    def __init__(self, result: ScenarioResult, waiter: WaiterResult) -> None:
        self.result = result
        self.waiter = waiter
        self.plan = waiter.plan
        self.truth = SourceOracle(result, waiter.plan.source)
        self.index = self._job()
        self.job = self.truth.jobs[self.index]

    def _job(self) -> int:
        """Return the index of the waiter's job.

        If the goal contains an instant instead of a job name, the job name is taken from the outcome.
        """
        outcome = self.waiter.outcome
        if self.plan.identified_by == "instant" and outcome is not None and outcome.result["job_name"]:
            names = [
                job.job_name for job in self.result.stitch.jobs(self.result.source_ids[self.plan.source])
            ]
            index = names.index(outcome.result["job_name"])
            assert index >= self.plan.job, "the job started before the instant"
            return index
        return min(self.plan.job, len(self.truth.jobs) - 1)

    def run(self) -> None:
        outcome = self.waiter.outcome
        assert outcome is not None, f"never finished: {self.plan}"
        if outcome.error is not None:
            self._check_failure(outcome.error["kind"], outcome.error["message"])
        else:
            self._check_success()
            self._check_result(outcome.result)
        assert self.waiter.ended_at <= self._deadline(), f"finished too late: {self.plan}"

    def _check_success(self) -> None:
        ended_at, phase = self.waiter.ended_at, self.plan.phase
        if phase == "structure_sync":
            assert self.job.plan.discovery_exit_status == 0
            assert ended_at >= self.truth.started_at[self.index] + min(
                self.job.duration, self.job.plan.discovery_seconds
            )
            return
        assert ended_at >= self.truth.ended_at(self.index), "the extraction was still running"
        if phase == "extraction_end":
            return
        assert not self.truth.fails(self.index), "the extraction failed"
        for batch in self.truth.batches_of(self.index, self.plan.streams):
            if phase == "preparation":
                seen = self.truth.in_error(batch.stream, self.waiter.started_at, ended_at)
                assert seen or not self._is_observable(batch.stream) or batch.attempted <= ended_at
            elif phase == "loading":
                assert not self._is_observable(batch.stream) or batch.loaded <= ended_at, (
                    f"{batch} not loaded"
                )

    def _check_result(self, result) -> None:
        if self.plan.phase == "loading" and self._has_log():
            assert set(result["streams"]) == {
                batch.stream for batch in self.truth.batches_of(self.index, self.plan.streams)
            }

    def _check_failure(self, kind: str, message: str) -> None:
        kinds = {event.kind for event in self.result.scenario.events}
        reasons = {
            "ExtractionFailed": self.truth.fails(self.index),
            "JobTerminated": self.job.plan.terminated or self.job.is_stopped,
            "StructureSyncFailed": self.job.plan.discovery_exit_status != 0,
            "JobOutcomeUnknown": self.truth.fails(self.index)
            or not self._has_log()
            or not self.job.plan.log.exit_line,
            "LoadingFailed": self.plan.phase == "loading" and self._saw_load_error(),
            "StitchUnauthorized": self.plan.token == 1 and "revoke token" in kinds,
            "CannotFinish": self.plan.identified_by == "instant" and self.truth.was_paused,
            "UnexpectedResponse": bool({"down", "lists cut off", "lists garbled", "lists not JSON"} & kinds),
            "StitchBadRequest": "pages rejected" in kinds,
        }
        assert reasons.get(kind), f"{kind}: {message}"
        if kind not in ("StitchUnauthorized", "CannotFinish", "UnexpectedResponse", "StitchBadRequest"):
            assert self.waiter.ended_at >= self.truth.ended_at(self.index), (
                f"{kind} while the job was running"
            )

    def _saw_load_error(self) -> bool:
        return any(
            self.truth.in_error(batch.stream, self.waiter.started_at, self.waiter.ended_at)
            for batch in self.truth.batches_of(self.index, self.plan.streams)
        )

    def _has_log(self) -> bool:
        """Return whether the job's log shows which streams had rows."""
        log = self.job.plan.log
        disturbed = any(
            event.kind in FAULTS and not event.kind.startswith(("pages", "sources"))
            for event in self.result.scenario.events
        )
        if disturbed or not log.available or log.cut_after_lines is not None or log.runner_crashes:
            return False
        if log.target == "avro":
            return (
                log.flush_markers != "none"
                and log.exit_line
                and bool(self.truth.batches_of(self.index, None))
            )
        return True

    def _is_observable(self, stream: str) -> bool:
        with_log = self.truth.is_observable(self.index, stream, DEFAULT_LOAD_SETTLE, has_log=True)
        without_log = self.truth.is_observable(self.index, stream, DEFAULT_LOAD_SETTLE, has_log=False)
        # The Avro target may write a marker late, so an earlier load is accepted after the quiet period.
        is_exact = self._has_log() and self.job.plan.log.target != "avro" and not self.job.plan.log.retries
        return with_log if is_exact else with_log and without_log

    def _deadline(self) -> float:
        ended_at = self.truth.ended_at(self.index) + self.result.scenario.quirks.listing_delay
        if self.plan.phase in ("loading", "preparation"):
            # Loads from later jobs can hide whether the loads from this job have settled.
            ended_at = max(
                [ended_at, *(b.loaded if b.loaded < NEVER else b.attempted for b in self.truth.batches)]
            )
        outages = sum(
            event.duration
            for event in self.result.scenario.events
            if event.kind in FAULTS or event.kind == "rate limit"
        )
        return max(ended_at, self.waiter.started_at + sum(self.plan.restarts)) + outages + MAX_DELAY


EXAMPLES = int(os.environ.get("SCENARIOS", "0"))
"""Number of new random scenarios. If the number is 0, the same few scenarios run every time."""


@settings(
    max_examples=EXAMPLES or settings.default.max_examples // 2,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios())
def test_waiters_finish_neither_early_nor_late_in_random_scenarios(scenario):
    with pytest.MonkeyPatch.context() as monkeypatch:
        result = run_scenario(scenario, monkeypatch, timeout=4 * MAX_DELAY)

    assert result.stitch.busiest_window() <= 30
    for waiter in result.waiters:
        Check(result, waiter).run()
