"""Test the log parser with logs from several target versions, logs with many streams, and random logs."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.extraction_log import StreamLog, parse_extraction_log
from airflow_provider_stitch.connect.log_parser.streams import MAX_STREAMS
from tests.connect.extraction_log_lines import (
    FIRST,
    LAST,
    MARKER,
    STITCH_4,
    SUCCEEDED,
    URL,
    found,
    line,
    of_target,
    parsed,
    request,
    sent_old,
    serialized,
)

LOGS = Path(__file__).parent.parent / "fixtures" / "extraction_logs"
EXPECTED: dict[str, Any] = json.loads((LOGS / "expected.json").read_text())


def counter(second: int, name: str, rows: int, location: str = "target") -> str:
    tags = json.dumps({"endpoint": name, "num_bytes": 255})
    metric = f'{{"type": "counter", "metric": "record_count", "value": {rows}, "tags": {tags}}}'
    return line(second, location, f"METRIC: {metric}")


@pytest.mark.parametrize("name", EXPECTED)
def test_sample_log_has_expected_values(name):
    log = parse_extraction_log([(LOGS / name).read_bytes()])

    assert {
        "target": log.target,
        "complete": log.complete,
        "streams": {
            stream: {
                "rows": each.rows,
                "batches": each.batches,
                "last_batch_at": each.last_batch_at and f"{each.last_batch_at:%F %T,%f}"[:-3],
                "certain": each.certain,
            }
            for stream, each in log.streams.items()
        },
    } == EXPECTED[name]


def test_outcome_of_crash_missing_discovery_and_failed_target():
    crashed = parse_extraction_log([(LOGS / "22_runner_crash.log").read_bytes()])
    without_discovery = parse_extraction_log([(LOGS / "23_no_discovery_clause.log").read_bytes()])
    failed = parse_extraction_log([(LOGS / "20_target_400.log").read_bytes()])

    assert (crashed.succeeded, crashed.exit_line) == (None, None)
    assert without_discovery.succeeded is True
    assert failed.succeeded is False
    assert failed.cause is not None
    assert failed.cause.phase == "Target"


# --- Versions of target-stitch --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(f"Using Stitch import URL {URL}", "Exiting normally", id="1.0 to 1.9"),
        pytest.param(f"Using Stitch import URL {URL}", LAST, id="2.0"),
        pytest.param("Using turbo_boost_factor of 10", LAST, id="3.0.1"),
        pytest.param(FIRST, LAST, id="3.0.2 and later"),
    ],
)
def test_log_with_first_and_last_line_of_target_is_complete(first, last):
    log = of_target(sent_old(10, "deals", 30), first=first, last=last)

    assert log.complete
    assert found(log) == {"deals": (None, 1, 10, True)}
    assert (
        parsed(line(0, "main", STITCH_4), sent_old(10, "deals", 30), line(20, "target", last)).complete
        is False
    )
    assert (
        parsed(line(1, "target", first), sent_old(10, "deals", 30), line(20, "main", SUCCEEDED)).complete
        is False
    )


def test_log_is_incomplete_if_a_batch_follows_the_last_line():
    log = parsed(line(1, "target", FIRST), line(2, "target", LAST), sent_old(3, "deals", 30))

    assert not log.complete


def test_target_is_detected_from_its_own_lines():
    assert parsed(line(1, "target", FIRST)).target == "target-stitch"
    assert parsed(sent_old(1, "deals", 3)).target == "target-stitch"
    assert parsed(line(1, "target", f"{MARKER} deals")).target == "avro"
    assert (
        parsed(line(1, "main", "Starting target: target-env/bin/target-stitch --config x")).target
        == "target-stitch"
    )
    assert parsed(line(1, "tap", 'replicated 3 records from "deals" endpoint')).target is None


def test_rows_are_unknown_before_version_3_2():
    batches = [serialized(10, "deals", 20000), request(10), serialized(20, "deals", 12), request(20)]

    assert found(of_target(*batches)) == {"deals": (None, 2, 20, True)}


@pytest.mark.parametrize(
    ("messages", "tap_rows", "certain"),
    [
        pytest.param([1], None, False, id="one message"),
        pytest.param([1, 1], None, False, id="two batches of one message"),
        pytest.param([2], 0, False, id="a tap counter of 0 proves nothing"),
        pytest.param([3], None, True, id="three messages: at most two are version messages"),
        pytest.param([1, 2], None, True, id="three messages in two batches"),
        pytest.param([1], 1, True, id="the tap counted a row"),
    ],
)
def test_few_uncounted_messages_are_not_certain_rows(messages, tap_rows, certain):
    tap = (
        [] if tap_rows is None else [line(9, "tap", f'replicated {tap_rows} records from "labels" endpoint')]
    )

    log = of_target(*tap, *(sent_old(10, "labels", each) for each in messages))

    assert found(log) == {"labels": (None, len(messages), 10, certain)}


def test_batch_of_version_messages_has_no_rows():
    version_only = [serialized(10, "labels", 1), request(10), counter(10, "labels", 0)]
    rows = [serialized(20, "labels", 6), request(20), counter(21, "labels", 5)]

    assert found(of_target(*version_only)) == {}
    assert found(of_target(*version_only, *rows, *version_only)) == {"labels": (5, 1, 21, True)}


def test_several_requests_of_one_batch_count_as_one_batch():
    log = of_target(
        serialized(10, "events", 20000),
        *(request(10), counter(11, "events", 12000)),
        *(request(12), counter(13, "events", 8000)),
    )

    assert found(log) == {"events": (20000, 1, 13, True)}
    assert not log.streams["events"].one_request


def test_counter_may_follow_the_next_request():
    log = of_target(
        *(serialized(10, "events", 20000), request(10), serialized(11, "pulls", 5), request(11)),
        *(counter(12, "events", 20000), serialized(13, "events", 7), request(13)),
        *(counter(14, "pulls", 5), counter(15, "events", 7)),
    )

    assert found(log) == {"events": (20007, 2, 15, True), "pulls": (5, 1, 14, True)}
    assert log.streams["pulls"].one_request


def test_rows_are_unknown_if_a_counter_is_missing():
    log = parsed(
        *(line(1, "target", FIRST), serialized(10, "events", 9), request(10), counter(10, "events", 9)),
        *(serialized(20, "events", 4), request(20)),
    )

    assert found(log) == {"events": (None, 2, 20, True)}


def test_longest_gap_between_batches_is_measured():
    log = of_target(*(sent_old(second, "events", 9) for second in (10, 310, 400, 460)))

    assert log.streams["events"].longest_gap == timedelta(seconds=300)


@pytest.mark.parametrize(
    "name", ["data_extension.New subscribers", "a to b", 'it\'s "quoted"', "Größe", "a/b?c=d"]
)
def test_stream_name_may_contain_any_characters(name):
    old = of_target(sent_old(10, name, 9))
    new = of_target(serialized(10, name, 9), request(10), counter(10, name, 9))

    assert found(old) == {name: (None, 1, 10, True)}
    assert found(new) == {name: (9, 1, 10, True)}


# --- Limits ---------------------------------------------------------------------------------------------


def test_log_with_too_many_streams_is_incomplete():
    lines = (sent_old(10, f"stream{number}", 9) for number in range(MAX_STREAMS + 1))

    log = of_target(*lines)

    assert len(log.streams) == MAX_STREAMS
    assert not log.complete


def test_only_the_last_problems_are_kept_and_shortened():
    log = parsed(*(line(0, "tap", f"{number} {'x' * 900}", "ERROR") for number in range(30)))

    assert len(log.problems) == 20
    assert " ERROR 10 " in log.problems[0]
    assert {len(problem) for problem in log.problems} == {500}


# --- Properties -----------------------------------------------------------------------------------------

LOCATIONS = {
    "main": [
        line(0, "main", STITCH_4),
        line(300, "main", "State update: adding bookmarks.a.x = 1"),
        line(901, "main", SUCCEEDED),
    ],
    "tap": [
        line(2, "tap", 'replicated 12 records from "events" endpoint'),
        line(3, "tap", 'replicated 4 records from "endpoint" endpoint'),
        counter(4, "pulls", 3, "tap"),
    ],
    "target": [
        line(1, "target", FIRST),
        *(serialized(10, "events", 12), request(10), counter(11, "events", 12)),
        *(serialized(12, "labels", 1), request(12), counter(13, "labels", 0)),
        *(serialized(20, "pulls", 3), request(20), counter(21, "pulls", 3)),
        *(
            serialized(320, "events", 5),
            request(320),
            request(321),
            counter(322, "events", 4),
            counter(323, "events", 1),
        ),
        line(900, "target", LAST),
    ],
}


@given(st.randoms(use_true_random=False), st.sampled_from(["whole", "no last line", "no first line"]))
def test_order_of_lines_of_different_programs_does_not_matter(chance: random.Random, form: str):
    target = LOCATIONS["target"][1 if form == "no first line" else 0 : -1 if form == "no last line" else None]
    queues = {**LOCATIONS, "target": target}
    in_order = parsed(*(each for lines in queues.values() for each in lines))
    slots = [location for location, lines in queues.items() for _ in lines]
    chance.shuffle(slots)
    iterators = {location: iter(lines) for location, lines in queues.items()}

    shuffled = parsed(*(next(iterators[location]) for location in slots))

    assert (found(shuffled), shuffled.complete, shuffled.target) == (
        found(in_order),
        in_order.complete,
        in_order.target,
    )


@given(st.binary())
def test_parser_accepts_arbitrary_bytes(raw):
    parse_extraction_log([raw])


pieces = st.sampled_from(
    [
        b"2026-08-17 06:00:00,000Z ",
        b" main - INFO ",
        b"tap - ERROR ",
        b"target - INFO ",
        b"Exit status is: ",
        b"Discovery succeeded. ",
        b'Tap failed with code -15 and error message: "',
        b'". ',
        b"Target failed with code 1.",
        MARKER.encode() + b" ",
        b"Serializing batch with 3 messages for table ",
        b"Sending batch with 3 messages for table ",
        b"Sending batch of 3 bytes to ",
        b"Backing off post_coroutine(",
        FIRST.encode(),
        LAST.encode(),
        b"State update: ",
        b"METRIC Point(metric_type='counter', metric='record_count', value=3, tags={'endpoint': '",
        b'METRIC: {"type": "counter", "metric": "record_count", "value": 3, "tags": {"endpoint": "',
        b'replicated 3 records from "',
        b'" endpoint',
        b"'})",
        b'"}}',
        b"\n",
        b"\r\n",
        b"\xc3\xbc",
        b"\xff",
    ]
)


@given(st.lists(pieces, max_size=30).map(b"".join), st.lists(st.integers(1, 20), min_size=1))
def test_chunk_boundaries_do_not_matter(raw, sizes):
    chunks, rest, number = [], raw, 0
    while rest:
        size = sizes[number % len(sizes)]
        chunks.append(rest[:size])
        rest, number = rest[size:], number + 1

    assert parse_extraction_log(chunks) == parse_extraction_log([raw])


def test_stream_log_has_documented_defaults():
    assert StreamLog("commits") == StreamLog(
        "commits", rows=None, batches=0, last_batch_at=None, certain=True
    )
