"""The one way to wait: ask what the rules want to know, until they have a verdict.

A deferred task awaits `Watch.wait` in the triggerer, any other runs the same coroutine in its worker, and a
sensor's poke takes one step of it, `Watch.look` or, if it is rescheduled, `Watch.poke`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    ExtractionLogUnavailable,
    PhaseTimedOut,
    StitchError,
    StitchNotFound,
    UnexpectedAnswer,
)
from airflow_provider_stitch.replication.budget import WINDOW
from airflow_provider_stitch.replication.expectations import (
    Moment,
    begins_by_schedule,
    of_extraction,
    of_first_loads,
    of_loads,
    of_log,
)
from airflow_provider_stitch.replication.extraction import is_meant, log_is_final
from airflow_provider_stitch.replication.known import Known
from airflow_provider_stitch.replication.loading import MAX_LOAD_LAG
from airflow_provider_stitch.replication.never import why_no_check, why_no_end, why_no_job, why_no_load
from airflow_provider_stitch.replication.outcome import Outcome, plain_error, result_of
from airflow_provider_stitch.replication.phases import Assessment, Question, assess
from airflow_provider_stitch.replication.progress import describe, job_of, progress_of, timeout_message
from airflow_provider_stitch.replication.turns import NEWS, SIGNS_OF_LIFE
from airflow_provider_stitch.replication.wants import (
    FROM_NOW_ON,
    LATEST_KNOWN,
    ExtractionWant,
    LoadsWant,
    LogWant,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine, Sequence
    from datetime import datetime

    from airflow_provider_stitch.connect.objects import Extraction, Load, Stream
    from airflow_provider_stitch.replication.goals import Goal
    from airflow_provider_stitch.replication.loading import LoadStatus
    from airflow_provider_stitch.replication.prospects import Prospect
    from airflow_provider_stitch.replication.reader import AccountReader
    from airflow_provider_stitch.replication.wants import Told

# Sources may be asked about without limit, yet there is no need to do so at every look.
SOURCE_INTERVAL = 300.0

# Connection checks neither, and they end within a minute or so.
CHECK_INTERVAL = 20.0

# Seconds for which a look at the loads is worth waiting for, before the job is.
EARLY = 60.0

# Seconds between two lines that say that a task still waits, if not too many do.
SIGN_OF_LIFE = 600.0

# Who comes so many seconds after its turn to say so waits for another: many may be late together.
MISSED = 10.0


class Watch:
    """Waits for one goal.

    :param reader: reads the account.
    :param poll_interval: seconds between two polls at least; they are more if the task's fair share of the
        budget is smaller. None polls as often as that share allows.
    :param forgetful: this watch is gone before the job has ended, as that of a rescheduled sensor is.
    :param tell: given each line for the task's log, once.
    :param warn: given each warning, once.
    """

    # A thousand of these may be there.
    __slots__ = (
        *("goal", "known", "poll_interval", "reader"),
        *("_begins_at", "_extraction_told", "_has_turn", "_loads_told", "_next_sign_at", "_source_asked_at"),
        *("polls", "_stitch_is_ahead", "_tell", "_told", "_warn"),
    )

    def __init__(
        self,
        reader: AccountReader,
        goal: Goal,
        *,
        poll_interval: float | None = None,
        forgetful: bool = False,
        tell: Callable[[str], None] = lambda _: None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.reader = reader
        self.goal = goal
        self.poll_interval = poll_interval
        self.known = Known(looks_early=not forgetful)
        self.polls = 0
        self._tell = tell
        self._warn = warn
        self._told: dict[str, None] = {}  # lines: an empty set would take four times as much
        self._begins_at: datetime | None = None  # by Stitch's schedule
        self._source_asked_at = float("-inf")
        self._stitch_is_ahead = 0.0  # seconds from this machine's clock to Stitch's
        self._extraction_told: Told[Extraction | None] | None = None
        self._loads_told: Told[Any] | None = None
        self._next_sign_at = float("inf")
        self._has_turn = False

    async def wait(self) -> Outcome:
        """Return when the goal is reached, can't be reached, or the reader's deadline has passed."""
        self._give_first_sign()
        try:
            while True:
                outcome = await self._conclude(await self.look(planned=True))
                if outcome is not None:
                    return outcome
        except StitchError as error:
            assessment = assess(self.goal, self.known)
            result = result_of(self.goal, assessment)
            return Outcome(self.goal.to_dict(), result, self._placed(error), assessment.extraction.over)

    async def _conclude(self, assessment: Assessment) -> Outcome | None:
        """Return the outcome if there is one; if not, rest before the next look unless that is planned."""
        if assessment.state != "running":
            self._teach(assessment)
            return self.outcome(assessment)
        left = self.reader.seconds_left()
        if left <= 0:
            return await self._timed_out(assessment)
        self._give_sign(assessment)
        if self.poll_interval is not None or assessment.asks == (Question.CHECK,):
            await self._rest(min(self._pause(), left), assessment)
        return None

    async def _rest(self, seconds: float, assessment: Assessment) -> None:
        """Sleep, but for signs of life."""
        while seconds > 0:
            nap = min(seconds, max(SIGNS_OF_LIFE.pace, self._next_sign_at - self.reader.clock.time()))
            await self.reader.clock.sleep(nap)
            seconds -= nap
            self._give_sign(assessment)

    def _placed(self, error: StitchError) -> dict[str, Any]:
        """Return an error in plain values, with what was waited for if it does not name the source."""
        plain = plain_error(error)
        if f"{self.goal.source_name} ({self.goal.source_id})" not in plain["message"]:
            job = job_of(self.goal)
            plain["message"] += f"\nThis was while waiting for {describe(self.goal)}: {job}."
        return plain

    async def poke(self) -> Assessment:
        """Look once; or, of a matter that only several looks can tell, until it is told."""
        while True:
            assessment = await self.look()
            left = self.reader.seconds_left()
            if assessment.state != "running" or not assessment.needs_memory(self.known) or left <= 0:
                return assessment
            await self.reader.clock.sleep(min(self._pause(), left))

    async def look(self, *, planned: bool = False) -> Assessment:
        """Ask each question that the rules have, at most once, and return their verdict.

        :param planned: ask when it serves all who wait best, and not at once. What takes too long then is
            left to the next look.
        :raises StitchError: Stitch could not be asked, or the goal can never be reached.
        """
        # Here a thousand may wait, so nothing is kept that is not needed, and no coroutine stands in between.
        await self.reader.open(self.goal.source_id)
        asked: tuple[Question, ...] = ()
        while True:
            assessment = assess(self.goal, self.known)
            if self._has_news(assessment):
                await self.reader.clock.sleep(NEWS.take())
            self._report(assessment)
            self._learn_which_job(assessment)
            question = _first_of(assessment.asks, asked)
            if question is None:
                return assessment
            if self._has_to_see_source(assessment):
                why_not = partial(self._why_not, extraction_over=assessment.extraction.over)
                del assessment
                self._take_source(*await self.reader.ask(why_not))
                continue
            asked += (question,)
            until = self._until(assessment) if planned else None
            if question is Question.EXTRACTION:
                del assessment
                self._take_extraction(await self.reader.told(self._extraction_want(until), until))
            else:
                asking = self._ask(question, assessment, until)
                del assessment
                await asking

    def _until(self, assessment: Assessment) -> float:
        """Return when a look has to end, for there is something else to see to."""
        longest = CHECK_INTERVAL if Question.CHECK in assessment.asks else SOURCE_INTERVAL
        return min(self.reader.clock.time() + longest, self._next_sign_at)

    def fair_pause(self, polls: int) -> float:
        """Return the seconds in which this process's fair share of the budget has so many requests.

        This may read the budget's file.
        """
        if self.reader.client.known_client_id is None:
            return 0.0
        return WINDOW / self.reader.budget.window().share * polls

    def _pause(self) -> float:
        return self.poll_interval if self.poll_interval is not None else self.reader.budget.spacing

    # --- Asking -----------------------------------------------------------------------------------------

    def _ask(
        self, question: Question, assessment: Assessment, until: float | None
    ) -> Coroutine[Any, Any, None]:
        """Ask one question: at once, or when it serves best, up to an instant."""
        if question is Question.LOG:
            return self._ask_for_log(assessment.extraction.job_name or self.goal.job_name or "", until)
        if question is Question.STREAMS:
            return self._ask_for_streams()
        if question is Question.CHECK:
            return self._ask_for_check()
        return self._ask_for_loads(assessment, until) if assessment.streams else self._ask_early(until)

    async def _ask_for_streams(self) -> None:
        streams = await self.reader.ask(lambda: self.reader.client.list_streams(self.goal.source_id))
        self.known = replace(self.known, streams=tuple(_brief(stream) for stream in streams))

    def _extraction_want(self, until: float | None) -> ExtractionWant:
        latest = self._extraction_told
        experience = self.reader.watch.experience_of_jobs(self.goal.source_id)
        return ExtractionWant(
            self.reader.client,
            of_extraction(self.goal, self._moment(latest), experience, self._begins_at),
            latest.serial if latest else FROM_NOW_ON,
            self.goal.source_id,
            # Of many that come one after the other, each would ask: what is listed already is so for good.
            takes_known=latest is None and until is not None,
        )

    def _take_extraction(self, told: Told[Extraction | None] | None) -> None:
        if told is not None:
            self.polls += 1
            self._extraction_told = told
            is_ours = told.value is not None and is_meant(self.goal, told.value)
            self.known = self.known.with_extraction(
                told.value, self.reader.stitch_time(told), is_ours=is_ours
            )

    async def _ask_for_log(self, job_name: str, until: float | None) -> None:
        prospect = of_log(self.known, self._moment(None))
        try:
            told = await self.reader.told(
                LogWant(self.reader.client, prospect, LATEST_KNOWN, job_name), until
            )
        except (ExtractionLogNotFound, ExtractionLogUnavailable, UnexpectedAnswer) as error:
            self._warn_once(str(error))
            log = None
        else:
            if told is None:
                return
            log = told.value
        self.polls += 1
        self.known = replace(self.known, log=log or self.known.log)
        if not log_is_final(log):
            at = self.reader.stitch_time()
            self.known = replace(self.known, log_refused_at=(*self.known.log_refused_at, at))

    async def _ask_early(self, until: float | None) -> None:
        """Look at the loads so early that an old error can be told from a new one; if that can be had
        cheaply."""
        soon = None if until is None else min(until, self.reader.clock.time() + EARLY)
        prospect = of_first_loads(self._moment(None))
        told = await self._told_loads(prospect, None, soon)
        if told is None or told.value is None:
            self.known = replace(self.known, looks_early=False)
        else:
            self._take_loads(told, told.value)

    async def _ask_for_loads(self, assessment: Assessment, until: float | None) -> None:
        # What is not selected any longer may still be listed, and be found instead of its namesake.
        streams = (each for each in self.known.streams or () if each.selected is not None)
        times = Counter(stream.stream_name for stream in streams)
        waiting = (status for status in assessment.streams if status.state == "waiting")
        expected = [_load_of(status, times, self.known) for status in waiting]
        experience = self.reader.watch.experience_of_loads()
        prospect = of_loads(self.goal, self.known, assessment, self._moment(self._loads_told), experience)
        told = await self._told_loads(prospect, expected, until)
        if told is not None:
            looked_for = {name for names, _ in expected for name in names}
            self._take_loads(told, told.value or [], looked_for)

    async def _told_loads(
        self,
        prospect: Prospect,
        expected: list[tuple[tuple[str, ...], int]] | None,
        until: float | None,
    ) -> Told[list[Load] | None] | None:
        """Return what is told of the source's loads: see `LoadsWant`, and `AccountReader.told`."""
        asked_from = self.reader.watch.serial
        since = self._loads_told.serial if self._loads_told else LATEST_KNOWN
        told = await self.reader.told(self._loads_want(prospect, since, expected), until)
        # Who waits for others has looked before. What is loaded is so for good, an error may be over by now.
        if told is not None and told.serial <= asked_from and _has_error(told.value):
            told = await self.reader.told(self._loads_want(prospect, asked_from, expected), until)
        return told

    def _loads_want(
        self, prospect: Prospect, since: int, expected: list[tuple[tuple[str, ...], int]] | None
    ) -> LoadsWant:
        return LoadsWant(self.reader.client, prospect, since, self.goal.source_name, expected)

    def _take_loads(self, told: Told[Any], loads: list[Load], looked_for: set[str] | None = None) -> None:
        self.polls += 1
        self._loads_told = told
        self.known = self.known.with_loads(loads, self.reader.stitch_time(told), looked_for)

    def _moment(self, told: Told[Any] | None) -> Moment:
        now = self.reader.clock.time()
        known_at = min(now, told.asked_at) if told is not None else None  # the clock may have been set back
        return Moment(now, known_at, self.reader.budget.spacing, self._stitch_is_ahead)

    async def _ask_for_check(self) -> None:
        client = self.reader.client
        try:
            check = await self.reader.ask(lambda: client.get_last_connection_check(self.goal.source_id))
        except StitchNotFound:
            return  # the source has never been checked
        self.known = replace(self.known, check=check)

    def _has_to_see_source(self, assessment: Assessment) -> bool:
        """Return whether it is time to check again that the goal can still be reached."""
        if assessment.extraction.over and self.goal.phase not in ("preparation", "loading"):
            return False
        # A time in the future means that the clock was set back.
        return not 0 <= self.reader.clock.time() - self._source_asked_at < SOURCE_INTERVAL

    def _take_source(self, why_not: StitchError | None, begins_at: datetime | None) -> None:
        self._source_asked_at = self.reader.clock.time()
        self._begins_at = begins_at
        self._stitch_is_ahead = self.reader.stitch_time().timestamp() - self.reader.clock.time()
        if why_not is not None:
            raise why_not

    def _why_not(self, *, extraction_over: bool) -> tuple[StitchError | None, datetime | None]:
        """Return why the goal can never be reached, if so, and when Stitch's schedule starts the job.

        This sends requests, so it runs in a thread.
        """
        client = self.reader.client
        source = client.get_source(self.goal.source_id)
        begins_at = begins_by_schedule(self.goal, source)
        # A check, and the structure sync in it, are steps of the configuration itself.
        is_being_configured = self.goal.phase in ("connection_check", "structure_sync")
        if is_being_configured:
            return why_no_check(source), begins_at
        if extraction_over:
            return why_no_load(source, client.list_destinations()), begins_at
        if self.goal.started_after is not None:
            return why_no_job(source, client.list_destinations()), begins_at
        return why_no_end(source), begins_at

    # --- Telling ----------------------------------------------------------------------------------------

    # Structlog looks at the frame that writes a line; a coroutine would keep what that takes while it waits.

    def _give_first_sign(self) -> None:
        self._tell(f"Waiting for {describe(self.goal)}")
        self._next_sign_at = self.reader.clock.time() + SIGN_OF_LIFE

    def _give_sign(self, assessment: Assessment) -> None:
        now = self.reader.clock.time()
        if now < self._next_sign_at:
            return
        if not self._has_turn or now > self._next_sign_at + MISSED:
            self._next_sign_at, self._has_turn = now + SIGNS_OF_LIFE.take(), True
        if now >= self._next_sign_at:
            self._tell(
                f"Still waiting for {describe(self.goal)}: {progress_of(self.goal, assessment, self.known)}"
            )
            self._next_sign_at, self._has_turn = now + SIGN_OF_LIFE, False

    def _learn_which_job(self, assessment: Assessment) -> None:
        extraction = assessment.extraction
        if self.goal.job_name is None and extraction.job_name is not None:
            self._tell(f"The job is {extraction.job_name}")
            self.goal = self.goal.for_job(extraction.job_name, extraction.began_at)

    def _has_news(self, assessment: Assessment) -> bool:
        lines = (*assessment.remarks, *assessment.warnings)
        return assessment.state != "running" or any(line not in self._told for line in lines)

    def _report(self, assessment: Assessment) -> None:
        for line in assessment.remarks:
            self._say_once(line, self._tell)
        for line in assessment.warnings:
            self._warn_once(line)

    def _warn_once(self, line: str) -> None:
        self._say_once(line, self._warn)

    def _say_once(self, line: str, say: Callable[[str], None]) -> None:
        if line not in self._told:
            self._told[line] = None
            say(line)

    def _teach(self, assessment: Assessment) -> None:
        """Let those who wait for other loads know how long these took."""
        loaded = [status.loaded_at for status in assessment.streams if status.loaded_at is not None]
        if loaded:
            sent = max(status.expected.last_batch_at for status in assessment.streams)
            self.reader.watch.learn_lag((max(loaded) - sent).total_seconds())

    def outcome(self, assessment: Assessment) -> Outcome:
        """Return a verdict in plain values."""
        return Outcome.of(self.goal, assessment, assessment.failure)

    async def _timed_out(self, assessment: Assessment) -> Outcome:
        error = await asyncio.to_thread(self.timeout_error, assessment, self.reader.time_limit)
        return Outcome.of(self.goal, assessment, error)

    def timeout_error(self, assessment: Assessment, time_limit: str) -> PhaseTimedOut:
        """Return the error of a wait that a limit of the task ended. This may read the budget's file."""
        next_request_in = 0.0
        if self.reader.client.known_client_id is not None:
            next_request_in = self.reader.budget.window().free_in[0]
        return PhaseTimedOut(
            timeout_message(
                self.goal,
                assessment,
                self.known,
                time_limit=time_limit,
                polls=self.polls,
                next_request_in=next_request_in,
            ),
            source_id=self.goal.source_id,
            job_name=self.goal.job_name,
        )


def _first_of(asks: Sequence[Question], asked: Container[Question]) -> Question | None:
    return next((each for each in asks if each not in asked), None)


def _has_error(loads: Sequence[Load] | None) -> bool:
    return any(load.error_state is not None for load in loads or ())


def _load_of(status: LoadStatus, times: Counter[str], known: Known) -> tuple[tuple[str, ...], int]:
    """Return the names of a stream's load, and how many loads may be listed by that name.

    A deleted source of the same name may still have a load that is listed on another page. So if the load
    that was found does not change for long, another one is searched for.
    """
    names = status.expected.load_names
    number = max(1, *(times[name] for name in names))
    listed = sum(len((known.loads or {}).get(name, ())) for name in set(names))
    since = status.expected.last_batch_at
    is_overdue = listed > 0 and known.loads_at is not None and known.loads_at - since >= MAX_LOAD_LAG
    return names, max(number, listed + 1) if is_overdue else number


def _brief(stream: Stream) -> Stream:
    """Return a stream without what a wait does not need, because a thousand tasks may wait."""
    kept = {key: stream.metadata[key] for key in ("schema-name", "database-name") if key in stream.metadata}
    return replace(stream, metadata=kept, raw={})
