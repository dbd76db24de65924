"""Test how the outcome of a job is read from the exit line in its log."""

from __future__ import annotations

import tracemalloc

import pytest

from airflow_provider_stitch.connect.extraction_log import ExtractionLog, PhaseExit, parse_extraction_log

SUCCESS = """\
2026-08-17 06:00:03,218Z   main - INFO Running tap in sync mode
2026-08-17 06:00:09,731Z    tap - INFO found current bookmark for commits:  2026-08-16T05:58:40Z
2026-08-17 06:02:33,870Z    tap - INFO replicated 412 records from "commits" endpoint
2026-08-17 06:02:33,990Z    tap - INFO replicated 0 records from "issues" endpoint
2026-08-17 06:02:34,307Z   main - INFO State update: adding bookmarks.commits.sha = "9fceb02"
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


def test_failed_log_has_cause_and_problems():
    log = parsed(FAILURE)

    message = "401 Client Error: Unauthorized for url: https://acme.example/limits"
    assert log.succeeded is False
    assert log.cause == PhaseExit("Tap", 1, message)
    assert log.problems == (f"2026-08-17 06:30:08,163Z    tap - CRITICAL {message}",)


JSON_MESSAGE = "Error persisting data to Stitch: 400: {'error': 'Invalid JSON schema. Found: String'}"


@pytest.mark.parametrize(
    ("clauses", "succeeded", "exits", "cause"),
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
            id="tap killed without a message",
        ),
        pytest.param(
            "Discovery succeeded. Tap succeeded. "
            f'Target failed with code 1 and error message: "{JSON_MESSAGE}".',
            False,
            [("Discovery", 0, None), ("Tap", 0, None), ("Target", 1, JSON_MESSAGE)],
            "Target",
            id="target failed after the tap had ended",
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
            id="target failed and the tap was terminated",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a "b". c". Target succeeded.',
            False,
            [("Discovery", 0, None), ("Tap", 1, 'a "b". c'), ("Target", 0, None)],
            "Tap",
            id="quotes and a full stop in the message",
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
            id="truncated between phases",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "too lo',
            False,
            [("Discovery", 0, None), ("Tap", 1, "too lo")],
            "Tap",
            id="truncated within a message",
        ),
        pytest.param("all is well", None, [], None, id="another format"),
    ],
)
def test_exit_line_contains_the_outcome_of_each_phase(clauses, succeeded, exits, cause):
    log = parsed(exit_line(clauses))

    assert [(each.phase, each.code, each.message) for each in log.exits] == exits
    assert log.succeeded is succeeded
    assert (log.cause.phase if log.cause else None) == cause
    assert log.exit_line == f"Exit status is: {clauses}"


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a\nb". Target succeeded.',
            id="within the message",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error\nmessage: "a b". Target succeeded.',
            id="before the message",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a b".\nTarget succeeded.',
            id="after the message",
        ),
        pytest.param(
            'Discovery succeeded. Tap failed with code 1 and error message: "a b". Target succeeded.\n\nBye.',
            id="followed by something else",
        ),
    ],
)
def test_exit_line_may_be_wrapped_at_its_message(wrapped):
    log = parsed(exit_line(wrapped))

    assert log.exits == (PhaseExit("Discovery", 0), PhaseExit("Tap", 1, "a b"), PhaseExit("Target", 0))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            "2026-08-17 06:04:51,012Z tap - INFO Exit status is: Discovery succeeded.", id="from the tap"
        ),
        pytest.param("Exit status is: Discovery failed with code 1.", id="without a program name"),
        pytest.param(
            '2026-08-17 06:04:51,012Z main - INFO State update: adding x = "Exit status is: Tap failed."',
            id="in a value",
        ),
    ],
)
def test_exit_status_is_read_from_main_only(line):
    log = parsed(f"{SUCCESS}{line}\n")

    assert log.succeeded is True
    assert parsed(line).exit_line is None


def test_log_without_exit_line_has_no_outcome():
    log = parsed(SUCCESS.partition("2026-08-17 06:04:51,012Z")[0])

    assert (log.succeeded, log.exit_line, log.exited_at, log.exits) == (None, None, None, ())


def test_last_exit_line_takes_precedence():
    log = parsed(exit_line("Discovery failed with code 1.") + SUCCESS)

    assert log.succeeded is True
    assert log.exit_line == "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded."


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            b"\xef\xbb\xbf" + exit_line("Discovery failed with code 1.").encode(), id="byte order mark"
        ),
        pytest.param(b"\xff\xfe\x00\n" + exit_line("Discovery failed with code 1.").encode(), id="not UTF-8"),
        pytest.param(exit_line("Discovery failed with code 1.").replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(
            exit_line("Discovery failed with code 1.").strip().encode(), id="no line break at the end"
        ),
        pytest.param(
            exit_line("Discovery failed with code 1.").replace("   main", " main").encode(), id="one space"
        ),
    ],
)
def test_exit_line_is_found_in_any_encoding(raw):
    assert parsed(raw).succeeded is False


def test_very_long_line_is_parsed_in_bounded_memory():
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


def test_ambiguous_message_is_parsed_quickly():
    # Each message in this exit line could end at many places, so a naive parser would need minutes.
    nested = (
        'x". Tap failed with code 1 and error message: "y". Target failed with code 1 and error message: "'
    )

    log = parsed(exit_line(f'Discovery failed with code 1 and error message: "{nested * 300}'))

    assert log.succeeded is False
