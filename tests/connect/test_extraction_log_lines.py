"""Test how counters, Avro target markers and quoted lines in extraction logs are parsed."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.extraction_log import parse_extraction_log
from tests.connect.extraction_log_lines import (
    FIRST,
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

AVRO = "Running tap-hp-postgres version 2.4.0 and target-stitch-avro version 1.9.0"


# --- Counters -------------------------------------------------------------------------------------------

FORMS = [
    pytest.param(
        'METRIC: {"type": "counter", "metric": "record_count", "value": 7, "tags": {"endpoint": "a"}}'
    ),
    pytest.param(
        "METRIC Point(metric_type='counter', metric='record_count', value=7, tags={'endpoint': 'a'})"
    ),
    pytest.param('replicated 7 records from "a" endpoint'),
]


@pytest.mark.parametrize("form", FORMS)
def test_each_counter_format_is_parsed_for_tap_and_target(form):
    batch = [serialized(10, "a", 7), request(10), line(10, "target", form)]

    assert found(of_target(line(5, "tap", form), *batch, line(20, "tap", form))) == {"a": (7, 1, 10, True)}
    assert found(parsed(line(5, "tap", form), line(65, "tap", form))) == {"a": (14, 0, None, True)}


def test_database_counter_has_the_table_name():
    tags = "{'database': 'shop', 'table': 'x'}"
    point = f"METRIC Point(metric_type='counter', metric='record_count', value=30, tags={tags})"

    assert found(parsed(line(5, "tap", point))) == {"x": (30, 0, None, True)}


@pytest.mark.parametrize(
    "text",
    [
        'METRIC: {"type": "counter", "metric": "record_count", "value": 7, "tags": {}}',
        'METRIC: {"type": "counter", "metric": "record_count", "value": 7}',
        'METRIC: {"type": "counter", "metric": "record_count", "value": "7", "tags": {"endpoint": "a"}}',
        'METRIC: {"type": "counter", "metric": "record_count", "value": -7, "tags": {"endpoint": "a"}}',
        'METRIC: {"type": "counter", "metric": "record_count", "value": true, "tags": {"endpoint": "a"}}',
        'METRIC: {"type": "counter", "metric": "job_count", "value": 7, "tags": {"endpoint": "a"}}',
        'METRIC: {"type": "timer", "metric": "http_request_duration", "value": 7, "tags": {"endpoint": "a"}}',
        'METRIC: {"type": "counter", "metric": "record_count", "value": 7, "tags": {"endpoint": "a"',
        "METRIC Point(metric_type='timer', metric='http_request_duration', value=7, tags={'endpoint': 'a'})",
        "METRIC Point(metric_type='counter', metric='record_count', value=7, tags={'endpoint': a})",
        "METRIC Point(metric_type='counter', metric='record_count', value=7, tags={'endpoint': 'a'",
        f"METRIC Point(metric_type='counter', metric='record_count', value=7, tags={'{' * 3000}{'}' * 3000})",
        "METRIC Point(metric_type='counter', metric='record_count', value=7, tags={[]: 1})",
        "METRIC Point(metric_type='counter', metric='record_count', value=7, tags={{}})",
        f'METRIC: {{"tags": {"[" * 9000}{"]" * 9000}}}',
        'replicated 0 records from "a" endpoint',
        'replicated many records from "a" endpoint',
        'Completed sync (7 rows) of "a"',
        'Wrote 7 records for table "a".',
    ],
)
def test_other_text_is_not_a_counter(text):
    assert found(parsed(line(5, "tap", text), line(6, "target", text))) == {}


def test_tap_counter_is_ignored_in_a_complete_log_without_batches():
    tap = line(5, "tap", 'replicated 7 records from "a" endpoint')

    assert found(of_target(tap)) == {}
    assert found(parsed(line(1, "target", FIRST), tap)) == {"a": (7, 0, None, True)}


# --- The Avro target ------------------------------------------------------------------------------------


def test_avro_marker_is_a_batch_with_rows_from_the_tap():
    log = parsed(
        line(0, "main", AVRO),
        line(3, "tap", 'replicated 5 records from "orders" endpoint'),
        line(4, "tap", 'replicated 9 records from "never_sent" endpoint'),
        line(5, "target", f"{MARKER} orders"),
        line(9, "target", f"{MARKER} orders"),
        line(9, "target", f"{MARKER} customers"),
        line(10, "main", SUCCEEDED),
    )

    assert (log.target, log.complete) == ("avro", True)
    assert found(log) == {"orders": (5, 2, 9, True), "customers": (None, 1, 9, True)}
    assert not log.streams["customers"].one_request


@pytest.mark.parametrize(
    ("ending", "complete"),
    [
        pytest.param(SUCCEEDED, True, id="all succeeded"),
        pytest.param(
            "Exit status is: Discovery succeeded. Tap failed with code 1. Target succeeded.", True, id="tap"
        ),
        pytest.param(
            "Exit status is: Discovery succeeded. Tap succeeded. Target failed with code 1.",
            False,
            id="target",
        ),
        pytest.param("Target exited normally with status 0", True, id="the runner crashed later"),
        pytest.param("Running tap in sync mode", False, id="truncated"),
    ],
)
def test_avro_log_is_complete_if_the_target_succeeded(ending, complete):
    log = parsed(line(0, "main", AVRO), line(5, "target", f"{MARKER} orders"), line(9, "main", ending))

    assert log.complete is complete


def test_avro_log_without_marker_is_incomplete():
    assert not parsed(line(0, "main", AVRO), line(9, "main", SUCCEEDED)).complete


# --- Quoted lines ---------------------------------------------------------------------------------------

QUOTES = [
    f"{MARKER} quoted",
    "Serializing batch with 9 messages for table quoted",
    f"Sending batch with 9 messages for table quoted to {URL}",
    'replicated 9 records from "quoted" endpoint',
    'METRIC: {"type": "counter", "metric": "record_count", "value": 9, "tags": {"endpoint": "quoted"}}',
]


@pytest.mark.parametrize("quote", QUOTES)
def test_quoted_line_creates_no_stream(quote):
    quoting = [
        line(5, "target", f"Error persisting data: {quote}", "CRITICAL"),
        line(5, "target", quote, "ERROR"),
        line(5, "target", quote, "DEBUG"),
        line(5, "main", quote),
        line(5, "tap", f'HTTP request to "{quote}" endpoint took 0.2s'),
        line(5, "tap", f"https://api.example/?q={quote}"),
        line(5, "target", f'Record: {{"text": "{quote}"}}'),
        line(5, "target", f"https://api.example/ - {quote}"),
        f"    target - INFO {quote}",
        f"  {line(5, 'target', quote)}",
        f"  {quote}",
        quote,
        f"2026-08-17 06:00:05,000Z {quote}",
        line(5, "main", f'State update: adding bookmarks.x = "{quote}"'),
    ]
    if not quote.startswith(("replicated", "METRIC")):
        quoting.append(line(5, "tap", quote))

    assert found(parsed(line(0, "main", STITCH_4), line(1, "target", FIRST), *quoting)) == {}


def test_line_may_contain_tabs_and_carriage_returns():
    log = parsed(f"2026-08-17 06:00:05,000Z\ttarget\t-\tINFO\t{MARKER}\torders  \r")

    assert found(log) == {"orders": (None, 1, 5, True)}


@pytest.mark.parametrize("stamp", ["", "2026-02-31 06:00:05,000Z "])
def test_batch_without_valid_timestamp_has_no_time(stamp):
    log = parsed(line(1, "target", FIRST), f"{stamp}target - INFO {MARKER} orders")

    assert found(log) == {"orders": (None, 1, None, True)}


@pytest.mark.parametrize(
    "last",
    [serialized(10, "comm", 9), line(10, "target", f"{MARKER} comm")],
)
def test_name_at_the_end_of_a_truncated_log_is_ignored(last):
    whole = "".join(f"{each}\n" for each in (line(0, "main", STITCH_4), line(1, "target", FIRST)))

    assert found(parse_extraction_log([f"{whole}{last}".encode()])) == {}
    assert list(found(parse_extraction_log([f"{whole}{last}\n".encode()]))) == ["comm"]


def test_names_that_differ_in_invalid_utf_8_bytes_stay_different():
    lines = [
        sent_old(10, name, 9).encode().replace(b"?", raw)
        for name, raw in (("caf?", b"\xe9"), ("caf?", b"\xe8"))
    ]

    assert len(parse_extraction_log([line + b"\n" for line in lines]).streams) == 2
