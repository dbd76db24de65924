"""Test the log lines that each target version writes, including the numbers of messages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LogPlan

from .log_forms import (
    AVRO_MARKER,
    COUNTER,
    IMPORT_URL,
    LINE,
    PREFERENCES,
    SENDING_BYTES,
    SENDING_MESSAGES,
    SERIALIZING,
    STOPPING,
    TURBO,
    info_texts,
    matched_forms,
    times_of,
)

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


LABELS = EmulatedStream(0, replication_method="FULL_TABLE")


SAMPLES = Path(__file__).parents[1] / "fixtures" / "extraction_logs"


@pytest.mark.parametrize(
    ("version", "release", "first", "batch", "last"),
    [
        pytest.param("1.0", "1.0.0", IMPORT_URL, [SENDING_MESSAGES], ["Exiting normally"], id="1.0"),
        pytest.param("1.8", "1.8.1", IMPORT_URL, [SENDING_MESSAGES], ["Exiting normally"], id="1.8"),
        pytest.param(
            "2.0", "2.0.5", IMPORT_URL, [SENDING_MESSAGES], [STOPPING, r"Writing final state\."], id="2.0"
        ),
        pytest.param("3.0.1", "3.0.1", PREFERENCES, [SENDING_MESSAGES], [STOPPING], id="3.0.1"),
        pytest.param("3.0", "3.0.3", PREFERENCES, [SERIALIZING, SENDING_BYTES], [STOPPING], id="3.0"),
        pytest.param("3.1", "3.1.0", PREFERENCES, [SERIALIZING, SENDING_BYTES], [STOPPING], id="3.1"),
        pytest.param(
            "3.2", "3.2.1", PREFERENCES, [SERIALIZING, SENDING_BYTES, COUNTER], [STOPPING], id="3.2"
        ),
        pytest.param(
            "4.0", "4.0.3", PREFERENCES, [SERIALIZING, SENDING_BYTES, COUNTER], [STOPPING], id="4.0"
        ),
    ],
)
def test_target_stitch_writes_the_lines_of_its_version(
    api: Api,
    stitch: StitchEmulator,
    version: str,
    release: str,
    first: str,
    batch: list[str],
    last: list[str],
) -> None:
    source_id = stitch.add_source("github", streams={"commits": 412, "labels": LABELS, "issues": 0})
    log = api.log(stitch.complete_job(source_id, log=LogPlan(target_version=version)).job_name)
    assert all(LINE.fullmatch(line) for line in log.splitlines())
    main = info_texts(log, "main")
    assert main[0] == f"Running tap-github version 3.1.2 and target-stitch version {release}"
    assert "Starting target: target-env/bin/target-stitch --config /tmp/target_config.json" in main
    assert main[-3:] == [
        "Target exited normally with status 0",
        "No tunnel subprocess to tear down",
        "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.",
    ]
    expected = [first, *batch, *batch, *last]
    assert matched_forms(info_texts(log), *dict.fromkeys(expected)) == expected


def test_sample_logs_have_lines_of_the_same_forms() -> None:
    known = (IMPORT_URL, PREFERENCES, SENDING_MESSAGES, SERIALIZING, SENDING_BYTES, COUNTER, STOPPING)
    others = (
        "Exiting normally",
        r"replicated \d+ records from .*",
        "FLUSH early exit .*",
        rf"{AVRO_MARKER} .+",
    )
    samples = [path.read_text(encoding="utf-8") for path in sorted(SAMPLES.glob("*.log"))]
    found = {kind for sample in samples for kind in matched_forms(info_texts(sample), *known, *others)}
    assert found == {*known, *others}


def test_default_target_is_target_stitch_4(api: Api, stitch: StitchEmulator, github: int) -> None:
    log = api.log(stitch.complete_job(github).job_name)
    assert "and target-stitch version 4.0.3\n" in log


def test_some_versions_write_a_turbo_boost_factor(api: Api, stitch: StitchEmulator, github: int) -> None:
    plan = LogPlan(target_version="3.0", first_line="turbo_boost_factor")
    assert re.fullmatch(TURBO, info_texts(api.log(stitch.complete_job(github, log=plan).job_name))[0])


@pytest.mark.parametrize("version", ["4.1", "0.9", "4", "new", "3.0.1.2", "5.0"])
def test_log_plan_rejects_versions_with_unknown_lines(version: str) -> None:
    with pytest.raises(ValueError, match=re.escape(version)):
        LogPlan(target_version=version)


# --- Messages, rows, requests ---------------------------------------------------------------------------


def test_messages_include_version_messages_and_counters_do_not(api: Api, stitch: StitchEmulator) -> None:
    streams = {"commits": 412, "labels": LABELS, "teams": EmulatedStream(3, replication_method="FULL_TABLE")}
    source_id = stitch.add_source("github", streams=streams)
    target = info_texts(api.log(stitch.complete_job(source_id).job_name))
    assert "'full_table_streams': ['labels', 'teams']" in target[0]
    messages = re.findall(r"Serializing batch with (\d+) messages for table (\w+)", "\n".join(target))
    assert messages == [("412", "commits"), ("1", "labels"), ("4", "teams")]
    counters = [json.loads(line.removeprefix("METRIC: ")) for line in target if line.startswith("METRIC: ")]
    assert [(c["tags"]["endpoint"], c["value"]) for c in counters] == [
        ("commits", 412),
        ("labels", 0),
        ("teams", 3),
    ]


def test_job_without_rows_writes_only_first_and_last_target_line(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 0, "issues": 0})
    target = info_texts(api.log(stitch.complete_job(source_id).job_name))
    assert matched_forms(target, PREFERENCES, STOPPING) == [PREFERENCES, STOPPING]


@pytest.mark.parametrize("moves", [False, True])
def test_version_message_alone_updates_load_only_with_quirk(
    api: Api, stitch: StitchEmulator, *, moves: bool
) -> None:
    stitch.quirks.load_version_messages = moves
    stitch.complete_job(stitch.add_source("github", streams={"labels": LABELS}))
    assert list(api.loaded_at()) == (["labels"] if moves else [])


def test_flush_without_rows_contains_only_a_version_message(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    job = stitch.complete_job(github, flushes={"commits": [Flush(at=60, rows=0)]})
    assert "Serializing batch with 1 messages for table commits\n" in api.log(job.job_name)
    assert api.loads() == []


def test_batch_closes_at_20_000_messages(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 45_000})
    target = info_texts(api.log(stitch.complete_job(source_id).job_name))
    messages = re.findall(r"Serializing batch with (\d+) messages for table commits", "\n".join(target))
    assert messages == ["20000", "20000", "5000"]
    assert list(api.loaded_at()) == ["commits"]


def test_batch_can_be_sent_in_several_requests(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 7, "labels": LABELS})
    log = api.log(stitch.complete_job(source_id, log=LogPlan(requests_per_batch=3)).job_name)
    expected = [PREFERENCES, SERIALIZING, *[SENDING_BYTES, COUNTER] * 3]
    expected += [SERIALIZING, SENDING_BYTES, COUNTER, STOPPING]  # a batch of one message is never split
    assert matched_forms(info_texts(log), *dict.fromkeys(expected)) == expected
    assert re.findall(r'"value": (\d+), "tags": {"endpoint": "commits", "num', log) == ["3", "2", "2"]
    sizes = re.findall(r"Sending batch of (\d+) bytes", log)
    assert re.findall(r'"num_bytes": (\d+)', log) == sizes


def test_batch_can_be_serialized_before_its_request_starts(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    job = stitch.start_job(github, log=LogPlan(serialized_ahead=12))
    stitch.advance(150)
    log = api.log(job.job_name)
    assert times_of(log, "Serializing batch") == ["06:01:10,241"]
    assert times_of(log, "Sending batch of") == ["06:01:10,245"]
    assert times_of(log, '"num_bytes"') == ["06:01:22,250"]


# --- Failed requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "retry"),
    [
        pytest.param(
            "1.8", r"Error sending data to Stitch\. Sleeping (\d+) seconds before trying again: .+", id="1.8"
        ),
        pytest.param("2.0", r"Backing off post_coroutine\(\.\.\.\) for ([\d.]+)s \(.+\)", id="2.0"),
        pytest.param("4.0", r"Backing off post_coroutine\(\.\.\.\) for ([\d.]+)s \(.+\)", id="4.0"),
    ],
)
def test_retries_are_logged_between_batch_and_state_update(
    api: Api, stitch: StitchEmulator, github: int, version: str, retry: str
) -> None:
    plan = LogPlan(target_version=version)
    flushes = {"commits": [Flush(at=60, rows=5, retries=2)]}
    job = stitch.start_job(github, flushes=flushes, log=plan)
    stitch.advance(150)
    log = api.log(job.job_name)
    waits = [float(m[1]) for line in info_texts(log) if (m := re.fullmatch(retry, line))]
    assert waits == [1, 2]
    batch, state = times_of(log, "messages for table commits")[0], times_of(log, "State update")[0]
    tries = times_of(log, "Error sending") + times_of(log, "Backing off")
    assert [time[:8] for time in (batch, *tries, state)] == ["06:00:59", "06:00:59", "06:01:00", "06:01:02"]


@pytest.mark.parametrize(("version", "limit"), [("1.8", 7), ("4.0", 4)])
def test_plan_rejects_more_retries_than_the_target_makes(version: str, limit: int) -> None:
    log = LogPlan(target_version=version, retries=limit)
    with pytest.raises(ValueError, match=f"at most {limit} times"):
        LogPlan(target_version=version, retries=limit + 1)
    with pytest.raises(ValueError, match=f"at most {limit} times"):
        JobPlan(log=log, flushes={"commits": [Flush(at=1, rows=1, retries=limit + 1)]})


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        pytest.param(
            "4.0",
            [
                "ERROR Giving up post_coroutine(...) after 1 tries (target_stitch.StitchClientResponseError)",
                "INFO FLUSH early exit because of SEND_EXCEPTION: StitchClientResponseError()",
                "CRITICAL Error persisting data to Stitch: 400: {'error': 'Record 0 for table events ",
            ],
            id="4.0",
        ),
        pytest.param(
            "1.8",
            ["CRITICAL Error persisting data for table \"events\": {'error': 'Record 0 for table "],
            id="1.8",
        ),
    ],
)
def test_rejected_batch_ends_the_job(
    api: Api, stitch: StitchEmulator, version: str, lines: list[str]
) -> None:
    streams = {"commits": 412, "events": 5, "later": 3}
    source_id = stitch.add_source("github", streams=streams)
    plan = JobPlan(refused_stream="events", log=LogPlan(target_version=version))
    log = api.log(stitch.complete_job(source_id, plan).job_name)
    text = log.splitlines()
    assert "messages for table commits" in log
    assert "messages for table events" in log
    assert "messages for table later" not in log
    assert "Requests complete" not in log
    assert "Exiting normally" not in log
    failing = [line[25:].partition("target - ")[2] for line in text[-3 - len(lines) : -3]]
    assert [line.startswith(begin) for line, begin in zip(failing, lines, strict=True)] == [True] * len(lines)
    assert [line[25:] for line in text[-3:-1]] == [
        "  main - ERROR Target exited abnormally with status 1. Terminating tap.",
        "  main - INFO No tunnel subprocess to tear down",
    ]
    message = failing[-1].removeprefix("CRITICAL ")
    assert text[-1].endswith(
        f'Tap failed with code -15. Target failed with code 1 and error message: "{message}".'
    )
    listed = api.extraction(source_id)
    assert (listed["tap_exit_status"], listed["target_exit_status"]) == (-15, 1)
    assert listed["target_description"] == message
    stitch.advance(3600)
    assert list(api.loaded_at()) == ["commits"]


@pytest.mark.parametrize(
    ("version", "begin"),
    [
        ("4.0", "Error persisting data to Stitch: 400: {"),
        ("1.8", 'Error persisting data for table "commits": {'),
    ],
)
def test_failed_target_has_the_message_of_its_version(
    api: Api, stitch: StitchEmulator, github: int, version: str, begin: str
) -> None:
    plan = JobPlan(target_exit_status=1, log=LogPlan(target_version=version))
    log = api.log(stitch.complete_job(github, plan).job_name)
    message = api.extraction(github)["target_description"]
    assert message.startswith(begin)
    assert f"target - CRITICAL {message}\n" in log


def test_stream_without_a_batch_cannot_be_rejected(stitch: StitchEmulator, github: int) -> None:
    with pytest.raises(ValueError, match="batch of stream issues, but the stream has no batch"):
        stitch.plan_next_job(github, JobPlan(refused_stream="issues"))


# --- The Avro target ------------------------------------------------------------------------------------


def test_version_2_database_has_the_log_of_the_avro_target(api: Api, stitch: StitchEmulator) -> None:
    orders = EmulatedStream(5, stream_name="orders", schema_name="public")
    zones = EmulatedStream(0, replication_method="FULL_TABLE", schema_name="public")
    streams = {"shop-public-orders": orders, "zones": zones}
    source_id = stitch.add_source("pg", type="platform.hp-postgres", streams=streams)
    log = api.log(stitch.complete_job(source_id).job_name)
    assert re.search(r"main - INFO Running tap-\S+ version \S+ and target-stitch-avro version \S+\n", log)
    assert info_texts(log) == [
        "com.stitchdata.target-stitch-avro.flush-pipeline - send-stream-record-count-impl orders"
    ]
