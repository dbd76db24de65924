"""Test the URLs, access control and content of extraction logs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import pytest
import requests

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LogPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}Z (  main|   tap|target) - "
    r"((DEBUG|INFO|WARNING|ERROR|CRITICAL) )?.+"
)
REPLICATED, SENT, EXIT = "replicated 120 records", "Serializing batch", "Exit status is"
MARKER = "target - INFO com.stitchdata.target-stitch-avro.flush-pipeline - send-stream-record-count-impl "
BATCH = re.compile(r"(?m)^\S+ (\S+),.*target - INFO Serializing batch with (\d+) messages for table (.+)$")


def avro_markers(log: str) -> list[tuple[str, str]]:
    """Return the time and the stream name from each Avro marker."""
    return [(line[11:19], line.partition(MARKER)[2]) for line in log.splitlines() if MARKER in line]


def sent_batches(log: str) -> list[tuple[str, str, str]]:
    """Return the time, the number of messages and the stream name of each target-stitch batch."""
    return BATCH.findall(log)


def test_log_request_redirects_to_another_host(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = stitch.complete_job(github).job_name
    response = api.log_response(job_name)
    assert (response.status_code, response.content) == (302, b"")
    assert response.headers["Content-Length"] == "0"
    assert response.headers["Connection"].lower() == "close"
    assert response.headers["Location"].startswith(f"{stitch.log_url}/{job_name}?x-amz-security-token=")
    assert stitch.log_url != stitch.url


def test_log_host_rejects_and_records_a_bearer_token(api: Api, stitch: StitchEmulator, github: int) -> None:
    location = api.log_response(stitch.complete_job(github).job_name).headers["Location"]
    assert requests.get(location, timeout=10).status_code == 200
    refused = requests.get(location, headers={"Authorization": f"Bearer {stitch.access_token}"}, timeout=10)
    assert refused.status_code == 400
    assert [(r.status, r.authorization) for r in stitch.log_host_requests] == [(200, False), (400, True)]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda url: url[:-1] + ("A" if url[-1] != "A" else "B"), id="wrong key"),
        pytest.param(lambda url: url.partition("?")[0], id="no key"),
    ],
)
def test_log_requires_its_own_key(
    api: Api, stitch: StitchEmulator, github: int, spoil: Callable[[str], str]
) -> None:
    location = api.log_response(stitch.complete_job(github).job_name).headers["Location"]
    assert requests.get(spoil(location), timeout=10).status_code == 403


def test_key_gives_no_access_to_another_log(api: Api, stitch: StitchEmulator, github: int) -> None:
    one = stitch.complete_job(github, seconds_ago=7200).job_name
    other = stitch.complete_job(github, seconds_ago=3600).job_name
    location = api.log_response(one).headers["Location"]
    assert requests.get(location.replace(one, other), timeout=10).status_code == 403


def test_log_url_expires(api: Api, stitch: StitchEmulator, github: int) -> None:
    location = api.log_response(stitch.complete_job(github).job_name).headers["Location"]
    stitch.advance(3599)
    assert requests.get(location, timeout=10).status_code == 200
    stitch.advance(1)
    assert requests.get(location, timeout=10).status_code == 403


def test_log_contains_batches_with_rows_and_times(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 412, "issues": 0, "teams": 3})
    job_name = api.start(source_id)
    stitch.advance(150)
    log = api.log(job_name)
    assert all(LINE.fullmatch(line) for line in log.splitlines())
    times = [line[:23] for line in log.splitlines()]
    assert times == sorted(times)
    assert re.findall(r'replicated (\d+) records from "(\w+)" endpoint', log) == [
        ("412", "commits"),
        ("0", "issues"),
        ("3", "teams"),
    ]
    assert sent_batches(log) == [("06:01:02", "412", "commits"), ("06:02:22", "3", "teams")]
    assert log.splitlines()[-1] == (
        "2026-08-17 06:02:32,250Z   main - INFO Exit status is: "
        "Discovery succeeded. Tap succeeded. Target succeeded."
    )


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param(
            JobPlan(discovery_exit_status=1, discovery_description='no "x"'),
            'Discovery failed with code 1 and error message: "no "x"".',
            id="discovery failed",
        ),
        pytest.param(
            JobPlan(tap_exit_status=-9),
            "Discovery succeeded. Tap failed with code -9. Target succeeded.",
            id="tap killed",
        ),
        pytest.param(
            JobPlan(tap_exit_status=1, tap_description="one\ntwo"),
            'Discovery succeeded. Tap failed with code 1 and error message: "one\\ntwo". Target succeeded.',
            id="tap failed with a message of two lines",
        ),
        pytest.param(
            JobPlan(target_exit_status=1, target_description="400"),
            'Discovery succeeded. Tap succeeded. Target failed with code 1 and error message: "400".',
            id="target failed",
        ),
        pytest.param(
            JobPlan(tap_exit_status=-15, target_exit_status=1, target_description="400"),
            "Discovery succeeded. Tap failed with code -15. "
            'Target failed with code 1 and error message: "400".',
            id="target failed and ended the tap",
        ),
    ],
)
def test_exit_line_contains_the_result(
    api: Api, stitch: StitchEmulator, github: int, plan: JobPlan, expected: str
) -> None:
    log = api.log(stitch.complete_job(github, plan).job_name)
    location, _, body = log.splitlines()[-1][25:].partition(" - ")
    assert (location, body) == ("  main", f"INFO Exit status is: {expected}")


def test_failed_target_ends_the_tap(api: Api, stitch: StitchEmulator, github: int) -> None:
    log = api.log(stitch.complete_job(github, tap_exit_status=-15, target_exit_status=1).job_name)
    assert "main - ERROR Target exited abnormally with status 1. Terminating tap.\n" in log
    assert "Tap exited abnormally" not in log


def test_only_incremental_streams_have_a_bookmark(api: Api, stitch: StitchEmulator) -> None:
    whole = EmulatedStream(5, replication_method="FULL_TABLE")
    table = EmulatedStream(5, schema_name="public", database_name="d")
    database = stitch.add_source("pg", type="platform.hp-postgres", streams={"whole": whole, "table": table})
    entry = {"selected": True, "replication-method": "INCREMENTAL", "replication-key": "name"}
    streams = [{"tap_stream_id": "table", "metadata": [{"breadcrumb": [], "metadata": entry}]}]
    api("PUT", f"/v4/sources/{database}/streams/metadata", json={"streams": streams})
    log = api.log(stitch.complete_job(database).job_name)
    assert re.findall(r"State update: adding (\S+) = ", log) == ["bookmarks.table.name"]
    assert 'Current state: {"bookmarks": {}}\n' in log


def test_failure_message_precedes_the_exit_line(api: Api, stitch: StitchEmulator, github: int) -> None:
    plan = JobPlan(tap_exit_status=1, tap_description="401 Client Error\nTraceback")
    tail = [line[25:] for line in api.log(stitch.complete_job(github, plan).job_name).splitlines()[-5:-1]]
    assert tail == [
        "   tap - CRITICAL 401 Client Error",
        "   tap - Traceback",
        "  main - INFO Tap exited abnormally with status 1",
        "  main - INFO No tunnel subprocess to tear down",
    ]


@pytest.mark.parametrize("end", [pytest.param(True, id="by Stitch"), pytest.param(False, id="by a user")])
def test_log_of_a_terminated_job_has_no_exit_line(
    api: Api, stitch: StitchEmulator, github: int, end: bool
) -> None:
    job = stitch.start_job(github, terminated=end)
    stitch.advance(100)
    if not end:
        stitch.stop_job(github)
    stitch.advance(100)
    log = api.log(job.job_name)
    assert sent_batches(log) == [("06:01:22", "120", "commits")]
    assert "Requests complete" not in log
    assert "Exit status is" not in log
    ended = api.extraction(github)
    phases = ("discovery", "tap", "target")
    assert [ended[f"{phase}_exit_status"] for phase in phases] == [None, None, None]
    assert [ended[f"{phase}_description"] for phase in phases] == ["Terminated"] * 3
    assert ended["completion_time"] is not None


def test_log_of_a_running_job_is_404_or_partial(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = api.start(github)
    stitch.advance(75)
    assert api.log_response(job_name).status_code == 404
    stitch.quirks.partial_logs = True
    log = api.log(job_name)
    assert "replicated 120 records" in log
    assert sent_batches(log) == []
    assert "Exit status is" not in log
    stitch.advance(75)
    assert "Exit status is" in api.log(job_name)


def test_logs_of_older_jobs_remain_available(api: Api, stitch: StitchEmulator, github: int) -> None:
    older = stitch.complete_job(github, seconds_ago=7200, tap_exit_status=1).job_name
    newer = stitch.complete_job(github, seconds_ago=3600).job_name
    assert api.extraction(github)["job_name"] == newer
    assert "Tap failed" in api.log(older)


@pytest.mark.parametrize(
    ("plan", "there", "missing"),
    [
        pytest.param(LogPlan(tap_counters="none"), [SENT, EXIT], [REPLICATED], id="no tap counters"),
        pytest.param(LogPlan(exit_line=False), [REPLICATED, SENT], [EXIT], id="no exit line"),
        pytest.param(LogPlan(cut_after_lines=11), [REPLICATED], [SENT, EXIT], id="cut off"),
        pytest.param(
            LogPlan(extra_lines=["what is this?"]), ["\nwhat is this?\n", EXIT], [], id="extra lines"
        ),
        pytest.param(
            LogPlan(target="avro"), [MARKER, REPLICATED, EXIT], [SENT, "Requests complete"], id="Avro"
        ),
        pytest.param(
            LogPlan(target="avro", flush_markers="none"),
            [REPLICATED, EXIT],
            [SENT, MARKER],
            id="Avro without markers",
        ),
    ],
)
def test_log_content_follows_the_plan(
    api: Api, stitch: StitchEmulator, github: int, plan: LogPlan, there: list[str], missing: list[str]
) -> None:
    log = api.log(stitch.complete_job(github, log=plan).job_name)
    assert [text for text in there if text not in log] == []
    assert [text for text in missing if text in log] == []


def test_unavailable_log_is_404(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = stitch.complete_job(github, log=LogPlan(available=False)).job_name
    response = api.log_response(job_name)
    assert (response.status_code, response.content) == (404, b"")


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        pytest.param("every", ["06:00:22", "06:01:42"], id="every flush"),
        pytest.param("last", ["06:01:42"], id="the last flush"),
    ],
)
def test_stream_flushed_twice_has_one_or_two_markers(
    api: Api, stitch: StitchEmulator, github: int, markers: Literal["every", "last"], expected: list[str]
) -> None:
    flushes = {"commits": [Flush(at=20, rows=60), Flush(at=100, rows=60)]}
    log = LogPlan(target="avro", flush_markers=markers)
    job = stitch.start_job(github, flushes=flushes, log=log)
    stitch.advance(150)
    assert [at for at, _ in avro_markers(api.log(job.job_name))] == expected


def test_rows_are_divided_among_flushes(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"a": EmulatedStream(7, flushes=3)})
    log = api.log(stitch.complete_job(source_id).job_name)
    # the tap logs one counter per minute
    assert re.findall(r'replicated (\d+) records from "a"', log) == ["4", "3"]
    assert [(rows, stream) for _, rows, stream in sent_batches(log)] == [("3", "a"), ("2", "a"), ("2", "a")]


def test_long_log_is_streamed(api: Api, stitch: StitchEmulator, github: int) -> None:
    job_name = stitch.complete_job(github, log=LogPlan(padding_bytes=3_000_000)).job_name
    location = api.log_response(job_name).headers["Location"]
    with requests.get(location, stream=True, timeout=10) as response:
        assert "Content-Length" not in response.headers
        content = response.content
    assert len(content) > 3_000_000
    lines = content.decode().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert [line[:23] for line in lines] == sorted(line[:23] for line in lines)
    assert "Exit status is" in lines[-1]
