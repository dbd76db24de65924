"""Wait for the goal of one task. Poll until the goal is reached or can no longer be reached.

A deferred task awaits `Waiter.wait` in the triggerer, and any other task runs the same coroutine in its
worker. A sensor's poke calls `Waiter.poll_once`, or `Waiter.poke` if the sensor is rescheduled.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    ExtractionLogUnavailable,
    PhaseTimedOut,
    StitchError,
    StitchNotFound,
    UnexpectedResponse,
)
from airflow_provider_stitch.replication.estimates import (
    EstimateContext,
    estimate_baseline,
    estimate_extraction_end,
    estimate_loads_done,
    estimate_log_ready,
    poke_pause,
)
from airflow_provider_stitch.replication.load_queries import expected_load_names, query_loads
from airflow_provider_stitch.replication.outcome import Outcome, job_result
from airflow_provider_stitch.replication.polling.log_throttle import HEARTBEAT_LOG, PROGRESS_LOG
from airflow_provider_stitch.replication.polling.queries import (
    ANY_CACHED,
    FRESH_ONLY,
    ExtractionQuery,
    LogQuery,
)
from airflow_provider_stitch.replication.progress import ProgressLog, error_in_context, timeout_message
from airflow_provider_stitch.replication.rules.evaluate import Evaluation, Need, evaluate
from airflow_provider_stitch.replication.rules.extraction import (
    evaluate_extraction,
    is_log_conclusive,
    matches_goal,
)
from airflow_provider_stitch.replication.rules.loading import record_progress
from airflow_provider_stitch.replication.rules.observations import Observations
from airflow_provider_stitch.replication.rules.streams import without_unused_fields
from airflow_provider_stitch.replication.source_check import check_source, count_deleted_namesakes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Extraction, Load
    from airflow_provider_stitch.replication.load_queries import LoadNames
    from airflow_provider_stitch.replication.polling.completion import CompletionEstimate
    from airflow_provider_stitch.replication.polling.queries import QueryResult
    from airflow_provider_stitch.replication.rules.extraction import ExtractionStatus
    from airflow_provider_stitch.replication.rules.goal import Goal
    from airflow_provider_stitch.replication.session import AccountSession

# Seconds between two requests for the source, which are not rate-limited. A source rarely changes.
SOURCE_INTERVAL = 300.0

# Seconds between two requests for a connection check, which are not rate-limited. A connection check ends
# within about a minute.
CHECK_INTERVAL = 20.0

# Maximum seconds to wait for the baseline poll of the loads (see `_fetch_baseline_loads`).
BASELINE_MAX_WAIT = 60.0


class Waiter:
    """Waits for one goal on behalf of one task.

    :param session: the task's access to its account.
    :param poll_interval: minimum number of seconds between two polls. The actual interval is longer if the
        task's fair share of the budget requires it. If None, the fair share determines the interval.
    :param stateless: whether the waiter is discarded before the job ends, as in a rescheduled sensor.
    :param log_info: a function that is called with each line for the task's log.
    :param log_warning: a function that is called with each warning for the task's log.
    """

    def __init__(
        self,
        session: AccountSession,
        goal: Goal,
        *,
        poll_interval: float | None = None,
        stateless: bool = False,
        log_info: Callable[[str], None] = lambda _: None,
        log_warning: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.session = session
        self.goal = goal
        self.poll_interval = poll_interval
        self.observations = Observations(needs_baseline=not stateless)
        self._log = ProgressLog(session.clock, log_info, log_warning)
        self._scheduled_start: datetime | None = None  # when Stitch's schedule starts the job
        self._source_checked_at = float("-inf")
        self._clock_offset = 0.0  # Stitch's clock minus this machine's clock, in seconds
        self._last_extraction: QueryResult[Extraction | None] | None = None
        self._last_loads: QueryResult[Any] | None = None

    async def wait(self) -> Outcome:
        """Wait until the goal is reached or can no longer be reached, or until the session's deadline."""
        self._log.log_wait_started(self.goal)
        try:
            while True:
                outcome = await self._outcome_or_sleep(await self.poll_once(scheduled=True))
                if outcome is not None:
                    return outcome
        except StitchError as error:
            evaluation = evaluate(self.goal, self.observations)
            result = job_result(self.goal, evaluation)
            error_fields = error_in_context(self.goal, error)
            return Outcome(self.goal.to_dict(), result, error_fields, evaluation.extraction.ended)

    async def _outcome_or_sleep(self, evaluation: Evaluation) -> Outcome | None:
        """Return the outcome of a finished wait. Otherwise, pause unless the next poll is scheduled."""
        if evaluation.state != "running":
            self._record_load_lag(evaluation)
            return self.outcome(evaluation)
        seconds_left = self.session.seconds_left()
        if seconds_left <= 0:
            return await self._timed_out(evaluation)
        self._log.log_heartbeat(self.goal, evaluation, self.observations)
        if self.poll_interval is not None or evaluation.needs == (Need.CHECK,):
            await self._sleep(min(self._seconds_between_polls(), seconds_left), evaluation)
        return None

    async def _sleep(self, seconds: float, evaluation: Evaluation) -> None:
        """Sleep for a number of seconds, and log the heartbeats that become due."""
        clock = self.session.clock
        while seconds > 0:
            min_pause = HEARTBEAT_LOG.interval  # seconds between two heartbeat lines of this process
            until_heartbeat = max(min_pause, self._log.next_heartbeat_at - clock.time())
            await clock.sleep(min(seconds, until_heartbeat))
            seconds -= min(seconds, until_heartbeat)
            self._log.log_heartbeat(self.goal, evaluation, self.observations)

    async def poke(self) -> Evaluation:
        """Poll once, or several times if a single poll is not conclusive."""
        while True:
            evaluation = await self.poll_once()
            seconds_left = self.session.seconds_left()
            is_decided = evaluation.state != "running"
            if is_decided or not evaluation.needs_several_polls(self.observations) or seconds_left <= 0:
                return evaluation
            pause = max(poke_pause(self.session.budget.even_interval), self._seconds_between_polls())
            await self.session.clock.sleep(min(pause, seconds_left))

    async def poll_once(self, *, scheduled: bool = False) -> Evaluation:
        """Fetch each missing piece of information at most once, and return the evaluation.

        :param scheduled: whether the shared scheduler chooses the time of each request. If the scheduler does
            not send a request in time, the evaluation does not include the response.
        :raises StitchError: if Stitch is unavailable, or the goal can never be reached.
        """
        await self.session.resolve_account(self.goal.source_id)
        fetched: tuple[Need, ...] = ()
        while True:
            evaluation = evaluate(self.goal, self.observations)
            if self._log.has_news(evaluation):
                # Limit the rate of log lines, because all deferred tasks write to the same pipe.
                await self.session.clock.sleep(PROGRESS_LOG.reserve_slot())
            self._log.log_evaluation(evaluation)
            self.observations = record_progress(self.observations, evaluation.streams)
            self._identify_job(evaluation.extraction)
            need = next((each for each in evaluation.needs if each not in fetched), None)
            if need is None:
                return evaluation
            if self._source_check_due(evaluation):
                await self._check_source(evaluation)
                continue
            fetched += (need,)
            await self._fetch(need, evaluation, self._poll_deadline(evaluation) if scheduled else None)

    def _identify_job(self, extraction: ExtractionStatus) -> None:
        if self.goal.job_name is None and extraction.job_name is not None:
            self._log.log_job_name(extraction.job_name)
            self.goal = self.goal.for_job(extraction.job_name, extraction.started_at)

    def _poll_deadline(self, evaluation: Evaluation) -> float:
        """Return when a scheduled poll must end, because a source check or a heartbeat is due."""
        interval = CHECK_INTERVAL if Need.CHECK in evaluation.needs else SOURCE_INTERVAL
        return min(self.session.clock.time() + interval, self._log.next_heartbeat_at)

    def _seconds_between_polls(self) -> float:
        return self.poll_interval if self.poll_interval is not None else self.session.budget.even_interval

    # --- The source -------------------------------------------------------------------------------------

    def _source_check_due(self, evaluation: Evaluation) -> bool:
        """Return whether it is time to check again that the goal can be reached."""
        if evaluation.extraction.ended and self.goal.phase not in ("preparation", "loading"):
            return False
        # A time in the future means that the clock was set back.
        return not 0 <= self.session.clock.time() - self._source_checked_at < SOURCE_INTERVAL

    async def _check_source(self, evaluation: Evaluation) -> None:
        """Raise an error if the goal can no longer be reached.

        The scheduled start of the job and the offset of Stitch's clock are recorded.
        """
        client, ended = self.session.client, evaluation.extraction.ended
        check = await self.session.call(lambda: check_source(client, self.goal, extraction_ended=ended))
        now = self.session.clock.time()
        self._source_checked_at, self._scheduled_start = now, check.scheduled_start
        self._clock_offset = self.session.stitch_time().timestamp() - now
        if check.blocker is None:
            return
        if check.blocks_only_new_jobs:
            await self._fetch_extraction(None)
            self._identify_job(evaluate_extraction(self.goal, self.observations))
        if self.goal.job_name is None or not check.blocks_only_new_jobs:
            raise check.blocker
        self._source_checked_at = float("-inf")  # check whether the identified job can reach the goal

    # --- Requests ---------------------------------------------------------------------------------------

    def _fetch(
        self, need: Need, evaluation: Evaluation, expires_at: float | None
    ) -> Coroutine[Any, Any, None]:
        """Return the coroutine that fetches one piece of information.

        This method is not a coroutine, because each nested coroutine uses 0.3 kB of memory during the wait.

        :param expires_at: see `AccountSession.query`.
        """
        if need is Need.EXTRACTION:
            return self._fetch_extraction(expires_at)
        if need is Need.LOG:
            return self._fetch_log(evaluation.extraction.job_name or self.goal.job_name or "", expires_at)
        unlimited = {
            Need.STREAMS: self._fetch_streams,
            Need.SOURCES: self._fetch_deleted_namesakes,
            Need.CHECK: self._fetch_check,
        }
        if need in unlimited:
            return unlimited[need]()
        # The remaining need is `Need.LOADS`.
        if evaluation.streams:  # the log has been read, so the expected loads are known
            return self._fetch_expected_loads(evaluation, expires_at)
        return self._fetch_baseline_loads(expires_at)

    async def _fetch_streams(self) -> None:
        streams = await self.session.call(lambda: self.session.client.list_streams(self.goal.source_id))
        self.observations = replace(
            self.observations, streams=tuple(without_unused_fields(stream) for stream in streams)
        )

    async def _fetch_deleted_namesakes(self) -> None:
        sources = await self.session.list_sources()
        namesakes = count_deleted_namesakes(sources, self.goal, self.session.stitch_time())
        self.observations = replace(self.observations, deleted_namesakes=namesakes)

    async def _fetch_check(self) -> None:
        client = self.session.client
        try:
            check = await self.session.call(lambda: client.get_last_connection_check(self.goal.source_id))
        except StitchNotFound:
            return  # the source has never been checked
        self.observations = replace(self.observations, check=check)

    async def _fetch_extraction(self, expires_at: float | None) -> None:
        last = self._last_extraction
        context = self._estimate_context(last)
        durations = self.session.poller.durations.jobs(self.goal.source_id)
        query = ExtractionQuery(
            self.session.client,
            estimate_extraction_end(self.goal, context, durations, self._scheduled_start),
            # Only a fresh page proves that the source is not listed. If a cached page lists the source, the
            # first query accepts this page, because a completed extraction never changes.
            last.sequence if last else FRESH_ONLY,
            self.goal.source_id,
            accept_cached=last is None and expires_at is not None,
        )
        result = await self.session.query(query, expires_at)
        if result is not None:
            self._last_extraction = result
            is_ours = result.value is not None and matches_goal(self.goal, result.value)
            self.observations = self.observations.with_extraction(
                result.value, self.session.stitch_time(result), is_ours=is_ours
            )

    async def _fetch_log(self, job_name: str, expires_at: float | None) -> None:
        estimate = estimate_log_ready(self.observations, self._estimate_context(None))
        query = LogQuery(self.session.client, estimate, ANY_CACHED, job_name)
        try:
            result = await self.session.query(query, expires_at)
        except (ExtractionLogNotFound, ExtractionLogUnavailable, UnexpectedResponse) as error:
            self._log.warn(str(error))
            log = None
        else:
            if result is None:
                return
            log = result.value
        self.observations = replace(self.observations, log=log or self.observations.log)
        if not is_log_conclusive(self.goal, self.observations, log):
            incomplete_at = (*self.observations.incomplete_log_times, self.session.stitch_time())
            self.observations = replace(self.observations, incomplete_log_times=incomplete_at)

    async def _fetch_baseline_loads(self, expires_at: float | None) -> None:
        """Poll the loads before the job ends, to distinguish old load errors from new errors.

        The poll is skipped if the list is long, or if the scheduler does not send the request soon.
        """
        if expires_at is not None:
            expires_at = min(expires_at, self.session.clock.time() + BASELINE_MAX_WAIT)
        result = await self._query_loads(estimate_baseline(self._estimate_context(None)), None, expires_at)
        if result is None or result.value is None:
            self.observations = replace(self.observations, needs_baseline=False)
        else:
            self._record_loads(result, result.value)

    async def _fetch_expected_loads(self, evaluation: Evaluation, expires_at: float | None) -> None:
        seconds_to_read_all = self.session.poller.load_page_count * self.session.budget.even_interval
        expected, is_full = expected_load_names(
            self.goal, evaluation, self.observations, self.session.stitch_time(), seconds_to_read_all
        )
        load_lags = self.session.poller.durations.load_lags()
        context = self._estimate_context(self._last_loads)
        estimate = estimate_loads_done(self.goal, self.observations, evaluation, context, load_lags)
        result = await self._query_loads(estimate, expected, expires_at)
        if result is not None:
            stream_names = {name for names, _ in expected for name in names}
            self._record_loads(result, result.value or [], stream_names, is_full=is_full)

    async def _query_loads(
        self, estimate: CompletionEstimate, expected: list[LoadNames] | None, expires_at: float | None
    ) -> QueryResult[list[Load] | None] | None:
        return await query_loads(
            self.session,
            self.goal.source_name,
            estimate,
            after_sequence=self._last_loads.sequence if self._last_loads else ANY_CACHED,
            expected_loads=expected,
            expires_at=expires_at,
        )

    def _record_loads(
        self,
        result: QueryResult[Any],
        loads: list[Load],
        names: set[str] | None = None,
        *,
        is_full: bool = True,
    ) -> None:
        self._last_loads = result
        stitch_time = self.session.stitch_time(result)
        self.observations = self.observations.with_loads(loads, stitch_time, names, is_full=is_full)

    def _estimate_context(self, last: QueryResult[Any] | None) -> EstimateContext:
        now = self.session.clock.time()
        # The clock may have been set back since the last request.
        last_checked_at = None if last is None else min(now, last.requested_at)
        return EstimateContext(now, last_checked_at, self.session.budget.even_interval, self._clock_offset)

    # --- The outcome ------------------------------------------------------------------------------------

    def _record_load_lag(self, evaluation: Evaluation) -> None:
        """Record how long loading took, to improve the estimates of other waiters."""
        loaded = [status.loaded_at for status in evaluation.streams if status.loaded_at is not None]
        if loaded:
            last_batch_at = max(status.expected.last_batch_at for status in evaluation.streams)
            self.session.poller.durations.record_load_lag((max(loaded) - last_batch_at).total_seconds())

    def outcome(self, evaluation: Evaluation) -> Outcome:
        """Return the JSON-serializable outcome of an evaluation."""
        return Outcome.from_evaluation(self.goal, evaluation, evaluation.failure)

    async def _timed_out(self, evaluation: Evaluation) -> Outcome:
        error = await asyncio.to_thread(self.timeout_error, evaluation, self.session.time_limit)
        return Outcome.from_evaluation(self.goal, evaluation, error)

    def timeout_error(self, evaluation: Evaluation, time_limit: str) -> PhaseTimedOut:
        """Return the error for a wait that reached a time limit. This method may read the budget's file."""
        next_request_in = 0.0
        if self.session.client.known_client_id is not None:
            next_request_in = self.session.budget.window().available_in[0]
        return PhaseTimedOut(
            timeout_message(
                self.goal,
                evaluation,
                self.observations,
                time_limit=time_limit,
                requests_sent=self.session.requests_sent,
                next_request_in=next_request_in,
            ),
            source_id=self.goal.source_id,
            job_name=self.goal.job_name,
        )
