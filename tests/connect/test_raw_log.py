"""Test that a raw extraction log can be read line by line or saved to a file, using little memory."""

from __future__ import annotations

import stat
import tracemalloc

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    ExtractionLogUnavailable,
    InvalidArgument,
    RateLimited,
)
from airflow_provider_stitch.connect.raw_log import MAX_LINE_LENGTH, RawExtractionLog, split_text
from airflow_provider_stitch.emulator import JobPlan, LogPlan, StitchEmulator

from .scripted_server import http_response

JOB_NAME = "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d"
MEGABYTE = 1024 * 1024


@pytest.fixture
def emulator():
    with StitchEmulator() as emulator:
        yield emulator


@pytest.fixture
def emulator_client(emulator):
    with StitchClient(emulator.access_token, base_url=emulator.url, client_id=emulator.client_id) as client:
        yield client


def test_log_is_read_line_by_line(emulator, emulator_client):
    github = emulator.add_source("github", streams={"commits": 12})
    job = emulator.complete_job(github)

    with emulator_client.open_extraction_log(job.job_name) as log:
        lines = list(log)

    assert "Running" in lines[0]
    assert lines[-1].endswith("Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.")
    assert not any(line.endswith("\n") for line in lines)
    assert [request.counted for request in emulator.requests] == [True]


@pytest.mark.parametrize("use", ["lines", "file"])
def test_long_log_is_read_in_little_memory(tmp_path, use):
    line = b"2026-08-17 06:04:51,012Z    tap - INFO " + b"x" * 5000 + b"\n"
    log = RawExtractionLog(JOB_NAME, (line * 10 for _ in range(1000)))
    tracemalloc.start()
    try:
        size = log.save(tmp_path / "log.txt") if use == "file" else sum(len(each) + 1 for each in log)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size == 10_000 * len(line)
    assert peak < 2 * MEGABYTE < size / 20


def test_saved_log_replaces_a_file_and_is_private(emulator, emulator_client, tmp_path):
    github = emulator.add_source("github", streams={"commits": 12})
    job = emulator.complete_job(github)
    path = tmp_path / "log.txt"
    path.write_text("an older log")

    with emulator_client.open_extraction_log(job.job_name) as log:
        log.save(str(path))

    assert "Exit status is" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_failed_download_leaves_no_file(emulator, emulator_client, tmp_path):
    github = emulator.add_source("github", streams={"commits": 12})
    job = emulator.complete_job(github)
    emulator.fail(cut="mid-body", host="log")
    path = tmp_path / "log.txt"

    with (
        emulator_client.open_extraction_log(job.job_name) as log,
        pytest.raises(ExtractionLogUnavailable) as caught,
    ):
        log.save(path)

    assert caught.value.job_name == job.job_name
    assert emulator.access_token not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_log_can_be_read_only_once_and_only_while_it_is_open(emulator, emulator_client):
    github = emulator.add_source("github", streams={"commits": 12})
    job = emulator.complete_job(github, JobPlan(log=LogPlan(padding_bytes=MEGABYTE)))

    with emulator_client.open_extraction_log(job.job_name) as log:
        lines = iter(log)
        next(lines)
        with pytest.raises(RuntimeError, match="already read"):
            list(log)
    with pytest.raises(RuntimeError, match="closed"):
        list(lines)
    with pytest.raises(RuntimeError, match="already closed"):
        list(log)


def test_missing_log_and_invalid_name_are_errors(emulator, emulator_client):
    with (
        pytest.raises(ExtractionLogNotFound, match=JOB_NAME) as caught,
        emulator_client.open_extraction_log(JOB_NAME),
    ):
        pass
    assert caught.value.job_name == JOB_NAME
    with pytest.raises(InvalidArgument), emulator_client.open_extraction_log(""):
        pass
    assert len(emulator.requests) == 1


def test_opening_is_retried_while_stitch_is_unavailable(emulator):
    github = emulator.add_source("github", streams={"commits": 12})
    job = emulator.complete_job(github)
    emulator.fail("GET", "/extractions/", status=503)
    emulator.fail(host="log", status=503)
    delays = []
    client = StitchClient(
        emulator.access_token,
        base_url=emulator.url,
        client_id=emulator.client_id,
        retry_for=60,
        sleep=delays.append,
    )

    with client, client.open_extraction_log(job.job_name) as log:
        assert list(log)

    assert len(delays) == 2


def test_error_of_another_request_inside_the_block_is_unchanged(emulator, emulator_client):
    github = emulator.add_source("github", streams={"commits": 12})
    job = emulator.complete_job(github)
    emulator.fail("GET", "/loads", status=429)

    with pytest.raises(RateLimited), emulator_client.open_extraction_log(job.job_name):
        emulator_client.list_loads()


def test_time_of_the_reader_does_not_count_as_a_slow_download(emulator, fake_clock):
    github = emulator.add_source("github", streams={"commits": 12})
    job = emulator.complete_job(github, JobPlan(log=LogPlan(padding_bytes=MEGABYTE)))
    client = StitchClient(
        emulator.access_token,
        base_url=emulator.url,
        client_id=emulator.client_id,
        monotonic=fake_clock.monotonic,
    )

    with client, client.open_extraction_log(job.job_name) as log:
        for _ in log.chunks():
            fake_clock.sleep(3600)

    assert len(fake_clock.delays) > 1


def test_log_without_a_redirect_is_read_as_well(client, stitch):
    stitch.script(http_response(b"first\nlast\n", Content_Type="text/plain"))

    with client.open_extraction_log(JOB_NAME) as log:
        assert list(log) == ["first", "last"]


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        pytest.param([b"a\nb", b"c\n", b"d"], ["a", "bc", "d"], id="lines across chunks"),
        pytest.param([b"a\r", b"\n\nb\n"], ["a", "", "b"], id="CRLF and empty lines"),
        pytest.param([b"caf\xc3", b"\xa9\n"], ["caf\u00e9"], id="a character across chunks"),
        pytest.param([b"\xff\n", b"\xc3"], ["\ufffd", "\ufffd"], id="bytes that are not UTF-8"),
        pytest.param([], [], id="an empty log"),
    ],
)
def test_text_is_split_into_lines(chunks, lines):
    assert list(split_text(chunks)) == lines


def test_line_without_end_is_returned_in_parts():
    parts = list(split_text([b"x" * MAX_LINE_LENGTH] * 3 + [b"y\nz"]))

    assert [len(part) for part in parts] == [MAX_LINE_LENGTH] * 3 + [1, 1]
