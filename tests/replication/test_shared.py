"""A thousand who wait for one page cost one request."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import PhaseTimedOut, StitchUnauthorized
from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.replication.reader import AccountReader
from airflow_provider_stitch.replication.shared import SharedAnswers
from airflow_provider_stitch.replication.start import stop_job
from airflow_provider_stitch.replication.watch import Watch

NOTHING = float("-inf")


class Asked:
    """Something to ask, that answers when it is let to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times = 0
        self.error = error
        self.may_answer = asyncio.Event()

    async def __call__(self) -> int:
        self.times += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return self.times


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_all_who_want_the_same_wait_for_one_answer():
    async def story():
        shared, asked = SharedAnswers(), Asked()
        waiting = [asyncio.ensure_future(shared.newer_than(NOTHING, "page 1", asked)) for _ in range(1000)]
        await settled()
        asked.may_answer.set()
        return asked, {answer.value for answer in await asyncio.gather(*waiting)}

    asked, values = asyncio.run(story())

    assert asked.times == 1
    assert values == {1}


def test_who_knows_the_latest_answer_asks_for_a_newer_one():
    async def story():
        shared, asked = SharedAnswers(), Asked()
        asked.may_answer.set()
        first = await shared.newer_than(NOTHING, "page 1", asked)
        same = await shared.newer_than(first.asked_at - 1, "page 1", asked)
        newer = await shared.newer_than(first.asked_at, "page 1", asked)
        other = await shared.newer_than(first.asked_at, "page 2", asked)
        return first.value, same.value, newer.value, other.value

    assert asyncio.run(story()) == (1, 1, 2, 3)


def test_who_is_cancelled_leaves_the_answer_to_the_others():
    async def story():
        shared, asked = SharedAnswers(), Asked()
        first = asyncio.ensure_future(shared.newer_than(NOTHING, "page 1", asked))
        await settled()
        second = asyncio.ensure_future(shared.newer_than(NOTHING, "page 1", asked))
        await settled()
        first.cancel()
        asked.may_answer.set()
        return asked.times, (await second).value

    assert asyncio.run(story()) == (1, 1)


def test_who_has_more_time_asks_again_when_another_s_time_is_over():
    async def story():
        shared, hasty, patient = SharedAnswers(), Asked(PhaseTimedOut("time is over")), Asked()
        first = asyncio.ensure_future(shared.newer_than(NOTHING, "page 1", hasty))
        await settled()
        second = asyncio.ensure_future(shared.newer_than(NOTHING, "page 1", patient))
        await settled()
        hasty.may_answer.set()
        patient.may_answer.set()
        with pytest.raises(PhaseTimedOut):
            await first
        return (await second).value

    assert asyncio.run(story()) == 1


def test_a_refusal_is_the_same_for_all_who_want_the_answer():
    async def story():
        shared, refused = SharedAnswers(), Asked(StitchUnauthorized("no"))
        waiting = [asyncio.ensure_future(shared.newer_than(NOTHING, "page 1", refused)) for _ in range(100)]
        await settled()
        refused.may_answer.set()
        return refused.times, await asyncio.gather(*waiting, return_exceptions=True)

    times, answers = asyncio.run(story())

    assert times == 1
    assert {type(answer) for answer in answers} == {StitchUnauthorized}


def test_who_stops_a_job_goes_by_no_older_answer():
    """A trigger's `on_kill` shares its event loop with all who wait, whose answers are some seconds old."""
    with StitchEmulator(speed=1e-6) as stitch:
        github = stitch.add_source("github", streams={"commits": 1})
        client = StitchClient(stitch.access_token, base_url=stitch.url, client_id=stitch.client_id)
        ours = stitch.start_job(github)
        goal = Goal("end", github, "github", stitch.client_id, job_name=ours.job_name)

        async def story():
            await AccountReader(client).extraction_of(github)
            stitch.advance(600)
            stitch.start_job(github, tap_seconds=9999)
            return await stop_job(AccountReader(client, fresh=True), goal)

        assert asyncio.run(story()) is False
        assert not stitch.jobs(github)[-1].stopped


def test_250_who_wait_in_one_event_loop_stay_within_the_limit_of_one_account():
    with StitchEmulator(speed=600) as stitch:
        ids = [stitch.add_source(f"source_{n}", streams={"rows": 1}) for n in range(250)]
        jobs = {source_id: stitch.start_job(source_id).job_name for source_id in ids}
        client = StitchClient(
            stitch.access_token,
            base_url=stitch.url,
            client_id=stitch.client_id,
            requests_per_10_minutes=30 * 600,
        )

        async def wait(source_id):
            goal = Goal(
                "extraction", source_id, f"source_{source_id}", stitch.client_id, job_name=jobs[source_id]
            )
            return await Watch(AccountReader(client), goal).wait()

        async def wait_for_all():
            return await asyncio.gather(*(wait(source_id) for source_id in ids))

        outcomes = asyncio.run(wait_for_all())

    assert {outcome.result["job_name"] for outcome in outcomes if outcome.error is None} == set(jobs.values())
    assert stitch.busiest_window() <= 30
    assert len(stitch.limited_requests) < 250
