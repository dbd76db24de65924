"""Whatever happens: nobody passes before its phase has ended, nobody waits for ever, and the limit is kept.

Left out is what nobody can know from outside, as the README tells: rows of other jobs, or batches, that are
loaded in between (see `SourceOracle.can_be_told`).
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
    QueryResult,
    Story,
    TaskEndOptions,
    Waiting,
    tell,
)

PATIENCE = 2700.0
"""Seconds after which, at the latest, one knows what has happened: after outages, and with old errors."""


# --- Stories by chance ----------------------------------------------------------------------------------

SHORT = st.sampled_from([1.0, 5.0, 30.0, 75.0])
MINUTES = st.sampled_from([0.0, 20.0, 100.0, 290.0, 700.0, 1500.0])


@st.composite
def flushes(draw, longest: float):
    number = draw(st.sampled_from([0, 1, 1, 1, 2, 3]))
    return tuple(
        Flush(
            at=round(draw(st.floats(0, longest)), 3),
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
    parts = {
        "discovery_seconds": draw(SHORT),
        "tap_seconds": draw(MINUTES),
        "target_seconds": draw(SHORT),
    }
    longest = sum(parts.values())
    # Where much goes wrong, nobody can tell much: only of what goes well is a verdict strict.
    goes_well = draw(st.booleans())
    plan = JobPlan(
        **parts,
        **({} if goes_well else draw(st.sampled_from(FAILURES))),
        flushes={stream: draw(flushes(longest)) for stream in STREAMS},
        log=LogPlan() if goes_well else draw(st.sampled_from(LOGS)),
    )
    return Job(
        after=draw(st.sampled_from([1.0, 10.0, 130.0, 900.0, 2000.0])),
        plan=plan,
        stopped_after=None if goes_well else draw(st.sampled_from([None] * 6 + [7.0, 60.0, 400.0])),
    )


@st.composite
def waitings(draw, sources):
    source = draw(st.integers(0, len(sources) - 1))
    told_by = draw(st.sampled_from(["name", "name", "name", "instant", "running"]))
    phase = draw(
        st.sampled_from(["extraction", "loading", "loading", "loading", "preparation", "structure_sync"])
    )
    return Waiting(
        source=source,
        job=draw(st.integers(0, len(sources[source]) - 1)),
        phase="extraction_end" if told_by == "running" else phase,
        begins=draw(st.sampled_from([0.0, 0.0, 3.0, 61.0, 300.0, 2500.0])),
        told_by=told_by,
        poll_interval=draw(st.sampled_from([None] * 8 + [2.0, 45.0])),
        streams=draw(st.sampled_from([None, None, None, STREAMS[:1], STREAMS[1:]])),
        restarts=tuple(draw(st.lists(st.sampled_from([0.0, 2.0, 33.0, 250.0]), max_size=2))),
        token=draw(st.sampled_from([0, 0, 1])),
    )


@st.composite
def events(draw):
    what = draw(
        st.sampled_from(
            [
                *FAULTS,
                "too many",
                "clock",
                "clock",
                "come",
                "come",
                "go",
                "restart",
                "revoke",
                "pause",
                "load error",
            ]
        )
    )
    number = draw(st.sampled_from([-7200.0, -600.0, -45.0, 30.0, 3600.0])) if what == "clock" else 0.0
    if what in ("come", "go"):
        number = draw(st.sampled_from([1, 20, 130, 260]))
    if what == "load error":
        number = draw(st.integers(0, 2))
    longest = 60.0 if what.startswith("pages") else 1500.0
    return Event(
        at=draw(st.floats(1, 3000).map(round)),
        what=what,
        lasts=draw(st.sampled_from([1.0, 10.0, 60.0, 400.0, 1500.0]).map(lambda each: min(each, longest))),
        number=number,
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
def stories(draw):
    sources = tuple(
        tuple(draw(st.lists(jobs(), min_size=1, max_size=3))) for _ in range(draw(st.integers(1, 3)))
    )
    return Story(
        sources=sources,
        waitings=tuple(draw(st.lists(waitings(sources), min_size=1, max_size=5))),
        events=tuple(draw(st.lists(events(), max_size=draw(st.sampled_from([0, 4]))))),
        others=draw(st.sampled_from([0, 0, 0, 120, 320])),
        quirks=draw(QUIRKS),
        enforced=draw(st.booleans()),
        latency=draw(st.sampled_from([0.0, 0.3, 25.0])),
        seed=draw(st.integers(0, 1000)),
    )


# --- What must hold -------------------------------------------------------------------------------------


class Verdict:
    """Judges how somebody's waiting ended by what really happened."""

    def __init__(self, told: QueryResult, ending: TaskEndOptions) -> None:
        self.told = told
        self.ending = ending
        self.waiting = ending.waiting
        self.truth = SourceOracle(told, ending.waiting.source)
        self.index = self._job()
        self.job = self.truth.jobs[self.index]

    def _job(self) -> int:
        """The job that is waited for; of one told by an instant, that which it passed with."""
        outcome = self.ending.outcome
        if self.waiting.told_by == "instant" and outcome is not None and outcome.result["job_name"]:
            names = [each.job_name for each in self.told.stitch.jobs(self.told.ids[self.waiting.source])]
            index = names.index(outcome.result["job_name"])
            assert index >= self.waiting.job, "the job began before the instant"
            return index
        return min(self.waiting.job, len(self.truth.jobs) - 1)

    def check(self) -> None:
        outcome = self.ending.outcome
        assert outcome is not None, f"waits for ever: {self.waiting}"
        if outcome.error is not None:
            self._check_failure(outcome.error["kind"], outcome.error["message"])
        else:
            self._check_success()
            self._check_result(outcome.result)
        assert self.ending.ended <= self._ends_at_the_latest(), f"waits for too long: {self.waiting}"

    def _check_success(self) -> None:
        ended, phase = self.ending.ended, self.waiting.phase
        if phase == "structure_sync":
            assert self.job.plan.discovery_exit_status == 0
            assert ended >= self.truth.began[self.index] + min(
                self.job.lasts, self.job.plan.discovery_seconds
            )
            return
        assert ended >= self.truth.ends(self.index), "the extraction still ran"
        if phase == "extraction_end":
            return
        assert not self.truth.fails(self.index), "the extraction failed"
        for batch in self.truth.of(self.index, self.waiting.streams):
            if phase == "preparation":
                seen = self.truth.in_error(batch.stream, self.ending.began, ended)
                assert seen or self._cannot_be_told(batch.stream) or batch.attempted <= ended
            elif phase == "loading":
                assert self._cannot_be_told(batch.stream) or batch.loaded <= ended, f"{batch} was not loaded"

    def _check_result(self, result) -> None:
        if self.waiting.phase == "loading" and self._has_log():
            assert set(result["streams"]) == {
                batch.stream for batch in self.truth.of(self.index, self.waiting.streams)
            }

    def _check_failure(self, kind: str, message: str) -> None:
        happened = {event.what for event in self.told.story.events}
        reasons = {
            "ExtractionFailed": self.truth.fails(self.index),
            "JobTerminated": self.job.plan.terminated or self.job.is_stopped,
            "StructureSyncFailed": self.job.plan.discovery_exit_status != 0,
            "JobOutcomeUnknown": self.truth.fails(self.index) or not self._has_log(),
            "LoadingFailed": self.waiting.phase == "loading" and self._saw_load_error(),
            "StitchUnauthorized": self.waiting.token == 1 and "revoke" in happened,
            "CannotFinish": self.waiting.told_by == "instant" and self.truth.paused,
            "UnexpectedAnswer": bool({"down", "lists cut off", "lists garbled", "lists not JSON"} & happened),
            "StitchBadRequest": "pages refused" in happened,
        }
        assert reasons.get(kind), f"{kind}: {message}"
        if kind not in ("StitchUnauthorized", "CannotFinish", "UnexpectedAnswer", "StitchBadRequest"):
            assert self.ending.ended >= self.truth.ends(self.index), f"{kind}, while the job ran"

    def _saw_load_error(self) -> bool:
        return any(
            self.truth.in_error(batch.stream, self.ending.began, self.ending.ended)
            for batch in self.truth.of(self.index, self.waiting.streams)
        )

    def _has_log(self) -> bool:
        """Return whether the log shows which streams had rows."""
        log = self.job.plan.log
        disturbed = any(
            event.what in FAULTS and not event.what.startswith(("pages", "sources"))
            for event in self.told.story.events
        )
        if disturbed or not log.available or log.cut_after_lines is not None or log.runner_crashes:
            return False
        if log.target == "avro":
            return log.flush_markers != "none" and log.exit_line and bool(self.truth.of(self.index, None))
        return True

    def _cannot_be_told(self, stream: str) -> bool:
        whole = self.truth.can_be_told(self.index, stream, DEFAULT_LOAD_SETTLE, has_log=True)
        without = self.truth.can_be_told(self.index, stream, DEFAULT_LOAD_SETTLE, has_log=False)
        # The Avro target may write its marker late, so an earlier load counts once the source is quiet.
        is_exact = self._has_log() and self.job.plan.log.target != "avro" and not self.job.plan.log.retries
        return not (whole if is_exact else whole and without)

    def _ends_at_the_latest(self) -> float:
        ends = self.truth.ends(self.index) + self.told.story.quirks.listing_delay
        if self.waiting.phase in ("loading", "preparation"):
            # Later jobs' loads can keep one from telling whether ours stand still.
            ends = max([ends, *(b.loaded if b.loaded < NEVER else b.attempted for b in self.truth.batches)])
        outages = sum(
            event.lasts
            for event in self.told.story.events
            if event.what in FAULTS or event.what == "too many"
        )
        return max(ends, self.ending.began + sum(self.waiting.restarts)) + outages + PATIENCE


MANY = int(os.environ.get("STORIES", "0"))
"""So many other stories are told, each time others; without it always the same few."""


@settings(
    max_examples=MANY or 50,
    derandomize=not MANY,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(stories())
def test_nobody_passes_too_early_and_nobody_waits_for_ever(story):
    with pytest.MonkeyPatch.context() as monkeypatch:
        told = tell(story, monkeypatch, patience=4 * PATIENCE)

    assert told.stitch.busiest_window() <= 30
    for ending in told.endings:
        Verdict(told, ending).check()
