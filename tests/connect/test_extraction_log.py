"""What an extraction log says, in every documented form, and in none."""

from __future__ import annotations

import tracemalloc
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.extraction_log import (
    MOST_STREAMS,
    ExtractionLog,
    PhaseExit,
    StreamLog,
    parse_extraction_log,
)

FLUSH = "com.stitchdata.target-stitch-avro.flush-pipeline - send-stream-record-count-impl"

SUCCESS = f"""\
2026-08-17 06:00:03,218Z   main - INFO Running tap in sync mode
2026-08-17 06:00:09,731Z    tap - INFO found current bookmark for commits:  2026-08-16T05:58:40Z
2026-08-17 06:02:33,870Z    tap - INFO replicated 412 records from "commits" endpoint
2026-08-17 06:02:33,990Z    tap - INFO replicated 0 records from "issues" endpoint
2026-08-17 06:02:34,307Z   main - INFO State update: adding bookmarks.commits.sha = "9fceb02"
2026-08-17 06:04:40,118Z target - INFO {FLUSH} commits
2026-08-17 06:04:51,012Z   main - INFO Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.
"""

FAILURE = """\
2026-08-17 06:30:08,162Z    tap - INFO HTTP request to "limits" endpoint took 0.211s, returned status code 401
2026-08-17 06:30:08,163Z    tap - CRITICAL 401 Client Error: Unauthorized for url: https://acme.example/limits
2026-08-17 06:30:08,164Z    tap - requests.exceptions.HTTPError: 401 Client Error
2026-08-17 06:30:08,183Z   main - INFO Tap exited abnormally with status 1
2026-08-17 06:30:08,841Z   main - INFO Exit status is: Discovery succeeded. \
Tap failed with code 1 and error message: \
"401 Client Error: Unauthorized for url: https://acme.example/limits". \
Target succeeded.
"""


def parsed(text: str | bytes) -> ExtractionLog:
    return parse_extraction_log([text if isinstance(text, bytes) else text.encode()])


def exit_line(clauses: str) -> str:
    return f"2026-08-17 06:04:51,012Z   main - INFO Exit status is: {clauses}\n"


def at(*parts: int) -> datetime:
    return datetime(2026, 8, 17, *parts, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]


def test_a_good_log_names_the_streams_with_rows_and_the_success():
    log = parsed(SUCCESS)

    assert log.streams == {
        "commits": StreamLog("commits", 412, 1, at(6, 4, 40, 118000), at(6, 4, 40, 118000)),
        "issues": StreamLog("issues", 0, 0, None, at(6, 2, 33, 990000)),
    }
    assert log.streams_known
    assert log.succeeded is True
    assert log.cause is None
    assert log.exited_at == at(6, 4, 51, 12000)
    assert log.exit_line == "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."
    assert log.problems == ()


def test_a_failed_log_names_the_cause_and_its_problems():
    log = parsed(FAILURE)

    message = "401 Client Error: Unauthorized for url: https://acme.example/limits"
    assert log.succeeded is False
    assert log.cause == PhaseExit("Tap", 1, message)
    assert log.problems == (f"2026-08-17 06:30:08,163Z    tap - CRITICAL {message}",)
    assert not log.streams_known


JSON_MESSAGE = "Error persisting data to Stitch: 400: {'error': 'Invalid JSON schema. Found: String'}"


@pytest.mark.parametrize(
    ("clauses", "succeeded", "exits", "blamed"),
    [
        pytest.param(
            "Discovery succeeded. Tap succeeded. Target succeeded.",
            True,
            [("Discovery", 0, None), ("Tap", 0, None), ("Target", 0, None)],
            None,
            id="all succeeded",
        ),
        pytest.param(
            'Discovery failed with code 1 and error message: "401 Client Error: Bad Credentials for url: '
            'https://api.acme.example/companies".',
            False,
            [
                (
                    "Discovery",
                    1,
                    "401 Client Error: Bad Credentials for url: https://api.acme.example/companies",
                )
            ],
            "Discovery",
            id="discovery failed, later phases not mentioned",
        ),
        pytest.param(
            "Discovery succeeded. Tap failed with code -9. Target succeeded.",
            False,
            [("Discovery", 0, None), ("Tap", -9, None), ("Target", 0, None)],
            "Tap",
            id="tap killed, without message",
        ),
        pytest.param(
            "Discovery succeeded. Tap succeeded. "
            f'Target failed with code 1 and error message: "{JSON_MESSAGE}".',
            False,
            [("Discovery", 0, None), ("Tap", 0, None), ("Target", 1, JSON_MESSAGE)],
            "Target",
            id="target failed after the tap was done",
        ),
        pytest.param(
            "Discovery succeeded. Tap failed with code -15. Target failed with code 1 and error message: "
            '"did not conform:\\n#: no subschema matched.\\n#/payload}".',
            False,
            [
                ("Discovery", 0, None),
                ("Tap", -15, None),
                ("Target", 1, "did not conform:\\n#: no subschema matched.\\n#/payload}"),
            ],
            "Target",
            id="target failed and took the tap with it",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a "b". c". Target succeeded.',
            False,
            [("Discovery", 0, None), ("Tap", 1, 'a "b". c'), ("Target", 0, None)],
            "Tap",
            id="quotes and a full stop within the message",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a". Target succeeded. b". '
            "Target succeeded.",
            False,
            [("Discovery", 0, None), ("Tap", 1, 'a". Target succeeded. b'), ("Target", 0, None)],
            "Tap",
            id="a message that looks like the next clause",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a". '
            'Target failed with code 2 and error message: "b".',
            False,
            [("Discovery", 0, None), ("Tap", 1, "a"), ("Target", 2, "b")],
            "Tap",
            id="both failed with a message",
        ),
        pytest.param(
            "Discovery succeeded. Tap failed with code 0. Target succeeded.",
            False,
            [("Discovery", 0, None), ("Tap", 0, "failed with code 0"), ("Target", 0, None)],
            "Tap",
            id="failed with code 0",
        ),
        pytest.param(
            "Discovery succeeded. Tap succ",
            None,
            [("Discovery", 0, None)],
            None,
            id="cut off within a good line",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "too lo',
            False,
            [("Discovery", 0, None), ("Tap", 1, "too lo")],
            "Tap",
            id="cut off within a message",
        ),
        pytest.param("all is well", None, [], None, id="words of another grammar"),
    ],
)
def test_the_exit_line_tells_how_each_phase_ended(clauses, succeeded, exits, blamed):
    log = parsed(exit_line(clauses))

    assert [(each.phase, each.code, each.message) for each in log.exits] == exits
    assert log.succeeded is succeeded
    assert (log.cause.phase if log.cause else None) == blamed
    assert log.exit_line == f"Exit status is: {clauses}"


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a\nb". Target succeeded.',
            id="in it",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error\nmessage: "a b". Target succeeded.',
            id="before it",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a b".\nTarget succeeded.',
            id="after it",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a b". Target succeeded.\n\nBye.',
            id="followed by something else",
        ),
    ],
)
def test_an_exit_line_may_be_wrapped_around_its_message(wrapped):
    log = parsed(exit_line(wrapped))

    assert log.exits == (PhaseExit("Discovery", 0), PhaseExit("Tap", 1, "a b"), PhaseExit("Target", 0))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            "2026-08-17 06:04:51,012Z tap - INFO Exit status is: Discovery succeeded.", id="from the tap"
        ),
        pytest.param("Exit status is: Discovery failed with code 1.", id="from nowhere"),
        pytest.param(
            '2026-08-17 06:04:51,012Z main - INFO State update: adding x = "Exit status is: Tap failed."',
            id="within a value",
        ),
    ],
)
def test_only_main_says_the_exit_status(line):
    log = parsed(f"{SUCCESS}{line}\n")

    assert log.succeeded is True
    assert parsed(line).exit_line is None


def test_a_log_without_exit_line_tells_no_verdict():
    log = parsed(SUCCESS.partition("2026-08-17 06:04:51,012Z")[0])

    assert (log.succeeded, log.exit_line, log.exited_at, log.exits) == (None, None, None, ())


def test_the_last_exit_line_counts():
    log = parsed(exit_line("Discovery failed with code 1.") + SUCCESS)

    assert log.succeeded is True
    assert log.exit_line == "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."


def test_rows_of_several_passes_add_up_and_the_last_flush_counts():
    log = parsed(
        '2026-08-17 06:00:00,000Z tap - INFO replicated 2 records from "commits" endpoint\n'
        f"2026-08-17 06:01:00,000Z target - INFO {FLUSH} commits\n"
        '2026-08-17 06:02:00,000Z tap - INFO replicated 3 records from "commits" endpoint\n'
        f"2026-08-17 06:03:00,000Z target - INFO {FLUSH} commits\n"
    )

    assert log.streams["commits"] == StreamLog("commits", 5, 2, at(6, 3), at(6, 3))


@pytest.mark.parametrize(
    ("line", "name", "flushed_at"),
    [
        pytest.param(
            f"2026-08-17 06:01:00,000Z target - INFO {FLUSH} commits", "commits", at(6, 1), id="documented"
        ),
        pytest.param(
            f"{FLUSH} commits", "commits", at(6, 0), id="without a time, so that of the line before"
        ),
        pytest.param(f"2026-08-17 06:01:00,000Z INFO {FLUSH} commits", "commits", at(6, 1), id="no location"),
        pytest.param(
            f"2026-08-17 06:01:00,000Z target - DEBUG x {FLUSH}   my stream \t",
            "my stream",
            at(6, 1),
            id="spaces",
        ),
        pytest.param(
            f"2026-08-17 06:01:00,000Z\ttarget\t-\tINFO\t{FLUSH}\tcommits", "commits", at(6, 1), id="tabs"
        ),
        pytest.param(
            f"2026-08-17 06:01:00,000Z target - INFO {FLUSH} commits\r", "commits", at(6, 1), id="CRLF"
        ),
        pytest.param(
            f"2026-02-31 06:01:00,000Z target - INFO {FLUSH} commits", "commits", None, id="31 February"
        ),
    ],
)
def test_a_flush_is_found_wherever_it_stands(line, name, flushed_at):
    log = parsed(f"2026-08-17 06:00:00,000Z main - INFO Running\n{line}\n")

    assert {key: (each.flushes, each.last_flush_at) for key, each in log.streams.items()} == {
        name: (1, flushed_at)
    }


def test_a_flush_before_any_time_has_none():
    assert parsed(f"{FLUSH} commits").streams["commits"] == StreamLog("commits", None, 1, None, None)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            b"\xef\xbb\xbf" + exit_line("Discovery failed with code 1.").encode(), id="byte order mark"
        ),
        pytest.param(b"\xff\xfe\x00\n" + exit_line("Discovery failed with code 1.").encode(), id="not UTF-8"),
        pytest.param(exit_line("Discovery failed with code 1.").replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(exit_line("Discovery failed with code 1.").strip().encode(), id="no line end"),
        pytest.param(
            exit_line("Discovery failed with code 1.").replace("   main", " main").encode(), id="one space"
        ),
    ],
)
def test_the_exit_line_is_found_whatever_surrounds_it(raw):
    assert parsed(raw).succeeded is False


def test_only_the_last_problems_are_kept_and_capped():
    log = parsed(
        "".join(f"2026-08-17 06:00:00,000Z tap - ERROR {number} {'x' * 900}\n" for number in range(30))
    )

    assert len(log.problems) == 20
    assert " ERROR 10 " in log.problems[0]
    assert {len(problem) for problem in log.problems} == {500}


def test_too_many_streams_are_not_kept_and_the_log_says_so():
    lines = (f"{FLUSH} stream{number}\n".encode() for number in range(MOST_STREAMS + 1))

    log = parse_extraction_log(lines)

    assert len(log.streams) == MOST_STREAMS
    assert not log.streams_known


def test_a_line_of_any_length_is_read_in_bounded_memory_and_its_end_is_seen():
    long_message = (
        exit_line('Discovery succeeded. Tap failed with code 1 and error message: "').strip().encode()
    )

    def chunks():
        yield long_message
        for _ in range(800):
            yield b"x" * 65536
        yield b'". Target succeeded.\n'

    tracemalloc.start()
    log = parse_extraction_log(chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2_000_000
    assert [(each.phase, each.code) for each in log.exits] == [("Discovery", 0), ("Tap", 1), ("Target", 0)]
    assert len(log.exits[1].message or "") == 2000


def test_a_message_made_to_confuse_is_read_in_reasonable_time():
    # Every end of every message could be the right one; a naive reading takes minutes here.
    nested = (
        'x". Tap failed with code 1 and error message: "y". Target failed with code 1 and error message: "'
    )

    log = parsed(exit_line(f'Discovery failed with code 1 and error message: "{nested * 300}'))

    assert log.succeeded is False


@given(st.binary())
def test_no_bytes_break_the_reading(raw):
    parsed(raw)


pieces = st.sampled_from(
    [
        b"2026-08-17 06:00:00,000Z ",
        b" main - INFO ",
        b"tap - ERROR ",
        b"Exit status is: ",
        b"Discovery succeeded. ",
        b'Tap failed with code -15 and error message: "',
        b'". ',
        b"Target failed with code 1.",
        FLUSH.encode() + b" ",
        b'replicated 3 records from "',
        b'" endpoint',
        b"\n",
        b"\r\n",
        b"\xc3\xbc",
        b"\xff",
    ]
)


@given(st.lists(pieces, max_size=30).map(b"".join), st.lists(st.integers(1, 20), min_size=1))
def test_it_does_not_matter_where_the_log_is_cut_into_chunks(raw, sizes):
    chunks, rest, number = [], raw, 0
    while rest:
        size = sizes[number % len(sizes)]
        chunks.append(rest[:size])
        rest, number = rest[size:], number + 1

    assert parse_extraction_log(chunks) == parsed(raw)
