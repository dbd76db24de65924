"""The cases of the benchmark. Each case is a function that returns its figures."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects import Load, Page, Stream, format_time
from airflow_provider_stitch.replication.polling.queries import ANY_CACHED, LoadsQuery
from airflow_provider_stitch.replication.rules.evaluate import evaluate
from airflow_provider_stitch.replication.rules.goal import Goal
from airflow_provider_stitch.replication.rules.observations import Observations
from benchmarks.scale.account import DAY, VirtualAccount, wait_for_all
from simulated_stitch.large_account import AT, LargeAccount, load_of, loads_by_stream_name
from tests.support.builders import OURS, SOURCE_ID, extraction

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

#: One letter for each script. Some of the letters consist of several characters.
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


def long_name(script: str, length: int = 1000) -> str:
    """Return a long stream name in a given script.

    :param length: the number of characters.
    """
    return (SCRIPTS[script] * length)[:length]


def ten_days() -> dict[str, Any]:
    """Wait for a job that runs for ten days."""
    return wait_for_all({SOURCE_ID: 10 * DAY})


def waiters(number: int = 5000) -> dict[str, Any]:
    """Let many tasks wait for jobs that all end within half an hour."""
    rng = random.Random(1)
    return wait_for_all({310_000 + index: rng.uniform(600, 1800) for index in range(number)})


def loads(number: int = 100_000) -> dict[str, Any]:
    """Read a complete list of many loads."""
    pages = -(-number // 100)

    def list_loads(page: int) -> Page[Load]:
        records = [
            {
                "stitch_client_id": 104857,
                "source_name": f"source_{page}",
                "stream_name": f"stream_{index}",
                "last_batch_loaded_at": format_time(AT),
                "error_state": None,
            }
            for index in range(100)
        ]
        links = {"next": f"/v4/104857/loads?page={page + 1}"} if page < pages else {}
        body = json.loads(json.dumps({"data": records, "page": page, "total": number, "links": links}))
        return Page.from_json(body, Load.from_json, number=page, responded_at=AT)

    client = StitchClient("ac_token", client_id=104857)
    client.list_loads = list_loads  # type: ignore[method-assign, assignment]
    return {"found": len(client.all_loads(sources=[]))}


def load_among_many(number: int = 100_000) -> dict[str, Any]:
    """Find three loads of a source in a list of many loads."""
    sources = [f"source_{index:05d}" for index in range(number // 100)]
    listed = loads_by_stream_name(sources, [f"stream_{index:02d}" for index in range(100)])
    account = VirtualAccount(LargeAccount(loads=listed))
    expected = [((f"stream_{index:02d}",), 1) for index in (7, 42, 99)]

    async def find() -> Any:
        session = account.session()
        query = LoadsQuery(session.client, None, ANY_CACHED, "source_00700", expected)
        return await session.query(query, expires_at=None)

    result = account.run(find)
    return {"found": len(result.value), "limited_requests": len(account.client.requests)}


def streams(number: int = 10_000) -> dict[str, Any]:
    """Evaluate a job with many streams. Each stream has rows and a name of 1,000 characters."""
    scripts = list(SCRIPTS)
    names = [f"{index:05d}{long_name(scripts[index % len(scripts)], 995)}" for index in range(number)]
    log = log_with_rows(names)
    observations = loaded_streams(names, log, loaded_at=AT + timedelta(hours=1))
    started_at = time.process_time()
    evaluation = evaluate(Goal("loading", SOURCE_ID, "github", 104857, job_name=OURS), observations)
    return {
        "evaluation_seconds": time.process_time() - started_at,
        "streams_in_log": len(log.streams),
        "complete": log.complete,
        "evaluated_streams": len(evaluation.streams),
    }


def loaded_streams(names: list[str], log: ExtractionLog, *, loaded_at: datetime = AT) -> Observations:
    """Return the observations of a job after its extraction has ended and all its streams are loaded."""
    selected = [
        Stream.from_json({"stream_id": index, "tap_stream_id": name, "stream_name": name, "selected": True})
        for index, name in enumerate(names)
    ]
    observations = replace(Observations(log=log), streams=tuple(selected))
    observations = observations.with_extraction(extraction(), AT, is_ours=True)
    return observations.with_loads([load_of("github", name, loaded_at) for name in names], AT)


def log_with_rows(names: list[str]) -> ExtractionLog:
    """Return a parsed log in which all streams have rows."""
    lines = [
        f"2026-08-17 06:03:15,250Z target - INFO x - send-stream-record-count-impl {name}\n".encode()
        for name in names
    ]
    end = b"Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.\n"
    return parse_extraction_log([*lines, b"2026-08-17 06:04:51,012Z   main - INFO " + end])


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    case.__name__: case for case in (ten_days, waiters, loads, load_among_many, streams)
}
