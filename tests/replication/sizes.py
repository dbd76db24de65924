"""What large things cost: `python -m tests.replication.sizes` measures each in a process of its own.

The figures of docs/sizes.md are from here. Time is virtual, Stitch is in memory; what waits is the real
thing.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects import Extraction, Load, Page, Source, Stream, format_time
from airflow_provider_stitch.replication.budget import WINDOW, Budget
from airflow_provider_stitch.replication.goals import Goal
from airflow_provider_stitch.replication.known import Known
from airflow_provider_stitch.replication.phases import assess
from airflow_provider_stitch.replication.reader import AccountReader
from airflow_provider_stitch.replication.wants import LATEST_KNOWN, LoadsWant
from airflow_provider_stitch.replication.watch import Outcome, Watch
from simulated_stitch.virtual_time import START, VirtualClock, VirtualLoop, run
from tests.replication.facts import OURS, SOURCE_ID, extraction, job_name
from tests.replication.long_lists import AT, LongLists, extraction_of, load_of, loads_by_stream_name

DAY = 86_400.0
SCRIPTS = {
    "Latin": "é",
    "Greek": "λ",
    "Cyrillic": "щ",
    "Arabic": "ع",
    "Hebrew": "ש",
    "Devanagari": "क्ष",
    "Thai": "ที่",
    "Han": "資料",
    "Hangul": "한",
    "Kana": "データ",
    "Ethiopic": "ለ",
    "Gothic": "𐌰",
    "Emoji": "👩‍🚀",
}


def name_in(script: str, length: int = 1000) -> str:
    """A stream's name of so many characters of a script."""
    return (SCRIPTS[script] * length)[:length]


class Rounds(VirtualLoop):
    """An event loop that notes for how long it was at work at a stretch, and threads with it."""

    longest = 0.0  #: CPU seconds

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # asyncio's own, which no stub has
        # All begin in the first round here, and never in a triggerer.
        if self.time() > 0:
            self.longest = max(self.longest, time.thread_time() - began)


@dataclass
class Account:
    """An account in memory, whose time is the event loop's."""

    client: Any
    loop: Rounds = field(default_factory=lambda: Rounds(30 * DAY))

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.loop)
        self.budget = Budget(30, monotonic=self.loop.time)

    def reader(self, *, deadline: float | None = None) -> AccountReader:
        return AccountReader(self.client, deadline=deadline, clock=self.clock, budget=self.budget)

    def run(self, story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return run(self.loop, story())


class Jobs(LongLists):
    """Each source has one job, which is listed when it has ended."""

    def __init__(self, ends: dict[int, float]) -> None:
        super().__init__()
        self.ends = ends  #: seconds from the beginning, by source
        self.now: Callable[[], float] = lambda: 0.0
        self.sources_asked_for = 0
        self.asked_at: list[float] = []

    @property
    def stitch_time(self) -> datetime:  # type: ignore[override]
        return START + timedelta(seconds=self.now())

    def list_extractions(self, page: int = 1) -> Page[Extraction]:
        now = self.now()
        self.asked_at.append(now)
        self.extractions = _Lazy(self.ends, now)
        return replace(super().list_extractions(page), answered_at=self.stitch_time)

    def get_source(self, source_id: int) -> Source:
        self.sources_asked_for += 1
        return Source.from_json({"id": source_id, "name": f"source_{source_id}", "display_name": "Source"})


class _Lazy:
    """The list of extractions: each source's job if it has ended, else the one before."""

    def __init__(self, ends: dict[int, float], now: float) -> None:
        self._ids, self._ends, self._now = list(ends), ends, now

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, part: slice) -> list[Extraction]:
        return [
            extraction_of(
                each,
                ended=START + timedelta(seconds=self._ends[each]) if self._ends[each] <= self._now else AT,
                job_name=_job(each) if self._ends[each] <= self._now else None,
            )
            for each in self._ids[part]
        ]


def _job(source_id: int) -> str:
    return job_name(START, source_id)


def goal_of(source_id: int) -> Goal:
    return Goal("extraction", source_id, f"source_{source_id}", 104857, job_name=_job(source_id))


def wait_for_all(ends: dict[int, float]) -> dict[str, Any]:
    """Wait for the job of each source, all in one event loop."""
    account = Account(Jobs(ends))
    account.client.now = account.loop.time
    late: list[float] = []

    async def wait(source_id: int) -> Outcome:
        outcome = await Watch(account.reader(), goal_of(source_id)).wait()
        late.append(account.loop.time() - ends[source_id])
        return outcome

    async def story() -> list[Outcome]:
        return await asyncio.gather(*map(wait, ends))

    outcomes = account.run(story)
    asked_at = account.client.asked_at
    return {
        "finished": sum(outcome.error is None for outcome in outcomes),
        "limited_requests": len(asked_at),
        "in_10_minutes": max(
            bisect_left(asked_at, at + WINDOW) - number for number, at in enumerate(asked_at)
        ),
        "other_requests": account.client.sources_asked_for,
        "hours": account.loop.time() / 3600,
        "mean_delay": sum(late) / len(late),
        "longest_delay": max(late),
        "longest_round": account.loop.longest,
    }


def ten_days() -> dict[str, Any]:
    """A job that goes on for ten days."""
    return wait_for_all({SOURCE_ID: 10 * DAY})


def waiters(number: int = 5000) -> dict[str, Any]:
    """As many mapped tasks, whose jobs end within half an hour."""
    chance = random.Random(1)
    return wait_for_all({310_000 + each: chance.uniform(600, 1800) for each in range(number)})


def loads(number: int = 100_000) -> dict[str, Any]:
    """A list of as many loads, read to its end."""
    pages = -(-number // 100)

    def list_loads(page: int) -> Page[Load]:
        records = [
            {
                "stitch_client_id": 104857,
                "source_name": f"source_{page}",
                "stream_name": f"stream_{at}",
                "last_batch_loaded_at": format_time(AT),
                "error_state": None,
            }
            for at in range(100)
        ]
        links = {"next": f"/v4/104857/loads?page={page + 1}"} if page < pages else {}
        body = json.loads(json.dumps({"data": records, "page": page, "total": number, "links": links}))
        return Page.from_json(body, Load.from_json, number=page, answered_at=AT)

    client = StitchClient("ac_token", client_id=104857)
    client.list_loads = list_loads  # type: ignore[method-assign, assignment]
    return {"found": len(client.all_loads())}


def load_among_many(number: int = 100_000) -> dict[str, Any]:
    """The loads of one source, searched in a list of as many."""
    sources = [f"source_{each:05d}" for each in range(number // 100)]
    listed = loads_by_stream_name(sources, [f"stream_{each:02d}" for each in range(100)])
    account = Account(LongLists(loads=listed))
    wanted = [((f"stream_{each:02d}",), 1) for each in (7, 42, 99)]

    async def story() -> Any:
        reader = AccountReader(account.client, clock=account.clock, budget=account.budget)
        want = LoadsWant(reader.client, None, LATEST_KNOWN, "source_00700", wanted)
        return await reader.told(want, until=None)

    told = account.run(story)
    return {"found": len(told.value), "limited_requests": len(account.client.asked)}


def streams(number: int = 10_000) -> dict[str, Any]:
    """A source of as many streams, with names of 1,000 characters; all of them have rows."""
    scripts = list(SCRIPTS)
    names = [f"{each:05d}{name_in(scripts[each % len(scripts)], 995)}" for each in range(number)]
    log = log_of(names)
    known = replace(
        Known(log=log),
        streams=tuple(
            Stream.from_json({"stream_id": at, "tap_stream_id": each, "stream_name": each, "selected": True})
            for at, each in enumerate(names)
        ),
    )
    known = known.with_extraction(extraction(), AT, is_ours=True)
    known = known.with_loads([load_of("github", each, AT + timedelta(hours=1)) for each in names], AT)
    began = time.process_time()
    assessment = assess(Goal("loading", SOURCE_ID, "github", 104857, job_name=OURS), known)
    return {
        "look": time.process_time() - began,
        "kept": len(log.streams),
        "complete": log.complete,
        "verdicts": len(assessment.streams),
    }


def log_of(names: list[str]) -> ExtractionLog:
    """A log in which all streams have rows."""
    lines = [
        f"2026-08-17 06:03:15,250Z target - INFO x - send-stream-record-count-impl {name}\n".encode()
        for name in names
    ]
    end = b"Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.\n"
    return parse_extraction_log([*lines, b"2026-08-17 06:04:51,012Z   main - INFO " + end])


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    each.__name__: each for each in (ten_days, waiters, loads, load_among_many, streams)
}


def _memory(field_name: str) -> int:
    """Return bytes of this process (Linux): `VmRSS` now, or `VmHWM` at most so far."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field_name)).split()[1]) * 1024


def main() -> None:
    for name in sys.argv[2:] if sys.argv[1:2] == ["--here"] else ():
        before, began = _memory("VmRSS"), time.process_time()
        result = CASES[name]()
        used = {"cpu_seconds": time.process_time() - began, "megabytes": (_memory("VmHWM") - before) / 1e6}
        print(json.dumps({"case": name, **used, **result}))
    if sys.argv[1:2] != ["--here"]:
        for name in sys.argv[1:] or CASES:
            subprocess.run([sys.executable, "-m", "tests.replication.sizes", "--here", name], check=True)


if __name__ == "__main__":
    main()
