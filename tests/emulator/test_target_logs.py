"""Lines of the targets: their forms, their counts, their names, and when they are written.

The forms are those of the facts about Stitch, "Extraction log format".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LogPlan

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}Z (?:  main|   tap|target) - "
    r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) .+"
)
URL = r"https://\S+"
IMPORT_URL = rf"Using Stitch import URL {URL}"
PREFERENCES = (
    r"Using batch_size_prefernces of \{'batch_size_preference': None, .*'full_table_streams': \[.*\]\}"
)
TURBO = r"Using turbo_boost_factor of \d+"
SENDING_MESSAGES = rf"Sending batch with \d+ messages for table (?:commits|labels) to {URL}"
SERIALIZING = r"Serializing batch with \d+ messages for table (?:commits|labels)"
SENDING_BYTES = rf"Sending batch of \d+ bytes to {URL}"
COUNTER = (
    r'METRIC: \{"type": "counter", "metric": "record_count", "value": \d+, '
    r'"tags": \{"endpoint": "(?:commits|labels)", "num_bytes": \d+\}\}'
)
STOPPING = "Requests complete, stopping loop"

PHASE = r"(?:Discovery|Tap|Target)"
CLAUSE = rf'{PHASE} (?:succeeded\.|failed with code -?\d+(?: and error message: ".*")?\.)'
EXIT_LINE = re.compile(rf"Exit status is: {CLAUSE}(?: {CLAUSE})*")

LABELS = EmulatedStream(0, replication_method="FULL_TABLE")


def bodies(log: str, location: str = "target") -> list[str]:
    """Return the bodies of the INFO lines of one location."""
    return re.findall(rf"(?m)^\S+ \S+Z +{location} - INFO (.*)$", log)


def at(log: str, body: str) -> list[str]:
    """Return the times of the lines that contain a text."""
    return [line[11:23] for line in log.splitlines() if body in line]


def kinds(lines: list[str], *forms: str) -> list[str]:
    """Return the form of each line. A line of no form is an error."""
    return [next(form for form in forms if re.fullmatch(form, line)) for line in lines]


# --- Versions -------------------------------------------------------------------------------------------


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
    main = bodies(log, "main")
    assert main[0] == f"Running tap-github version 3.1.2 and target-stitch version {release}"
    assert "Starting target: target-env/bin/target-stitch --config /tmp/target_config.json" in main
    assert main[-3:] == [
        "Target exited normally with status 0",
        "No tunnel subprocess to tear down",
        "Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.",
    ]
    expected = [first, *batch, *batch, *last]
    assert kinds(bodies(log), *dict.fromkeys(expected)) == expected


def test_the_default_target_is_target_stitch_4(api: Api, stitch: StitchEmulator, github: int) -> None:
    log = api.log(stitch.complete_job(github).job_name)
    assert "and target-stitch version 4.0.3\n" in log


def test_some_versions_write_a_turbo_boost_factor(api: Api, stitch: StitchEmulator, github: int) -> None:
    plan = LogPlan(target_version="3.0", first_line="turbo_boost_factor")
    assert re.fullmatch(TURBO, bodies(api.log(stitch.complete_job(github, log=plan).job_name))[0])


@pytest.mark.parametrize("version", ["4.1", "0.9", "4", "new", "3.0.1.2", "5.0"])
def test_log_plan_rejects_versions_with_unknown_lines(version: str) -> None:
    with pytest.raises(ValueError, match=re.escape(version)):
        LogPlan(target_version=version)


# --- Messages, rows, requests ---------------------------------------------------------------------------


def test_messages_include_version_messages_and_counters_do_not(api: Api, stitch: StitchEmulator) -> None:
    streams = {"commits": 412, "labels": LABELS, "teams": EmulatedStream(3, replication_method="FULL_TABLE")}
    source_id = stitch.add_source("github", streams=streams)
    target = bodies(api.log(stitch.complete_job(source_id).job_name))
    assert "'full_table_streams': ['labels', 'teams']" in target[0]
    messages = re.findall(r"Serializing batch with (\d+) messages for table (\w+)", "\n".join(target))
    assert messages == [("412", "commits"), ("1", "labels"), ("4", "teams")]
    counters = [json.loads(line.removeprefix("METRIC: ")) for line in target if line.startswith("METRIC: ")]
    assert [(c["tags"]["endpoint"], c["value"]) for c in counters] == [
        ("commits", 412),
        ("labels", 0),
        ("teams", 3),
    ]


def test_a_job_without_rows_has_only_the_first_and_the_last_line(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 0, "issues": 0})
    target = bodies(api.log(stitch.complete_job(source_id).job_name))
    assert kinds(target, PREFERENCES, STOPPING) == [PREFERENCES, STOPPING]


@pytest.mark.parametrize("moves", [False, True])
def test_a_version_message_alone_moves_a_load_only_by_a_quirk(
    api: Api, stitch: StitchEmulator, *, moves: bool
) -> None:
    stitch.quirks.load_version_messages = moves
    stitch.complete_job(stitch.add_source("github", streams={"labels": LABELS}))
    assert list(api.loaded_at()) == (["labels"] if moves else [])


def test_a_flush_without_rows_is_a_version_message_alone(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    job = stitch.complete_job(github, flushes={"commits": [Flush(at=60, rows=0)]})
    assert "Serializing batch with 1 messages for table commits\n" in api.log(job.job_name)
    assert api.loads() == []


def test_a_batch_closes_at_20_000_messages(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 45_000})
    target = bodies(api.log(stitch.complete_job(source_id).job_name))
    messages = re.findall(r"Serializing batch with (\d+) messages for table commits", "\n".join(target))
    assert messages == ["20000", "20000", "5000"]
    assert list(api.loaded_at()) == ["commits"]


def test_a_batch_may_need_several_requests(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 7, "labels": LABELS})
    log = api.log(stitch.complete_job(source_id, log=LogPlan(requests_per_batch=3)).job_name)
    expected = [PREFERENCES, SERIALIZING, *[SENDING_BYTES, COUNTER] * 3]
    expected += [SERIALIZING, SENDING_BYTES, COUNTER, STOPPING]  # one message can't be split
    assert kinds(bodies(log), *dict.fromkeys(expected)) == expected
    assert re.findall(r'"value": (\d+), "tags": {"endpoint": "commits", "num', log) == ["3", "2", "2"]
    sizes = re.findall(r"Sending batch of (\d+) bytes", log)
    assert re.findall(r'"num_bytes": (\d+)', log) == sizes


def test_a_batch_may_be_serialized_before_its_request_begins(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    job = stitch.start_job(github, log=LogPlan(serialized_ahead=12))
    stitch.advance(150)
    log = api.log(job.job_name)
    assert at(log, "Serializing batch") == ["06:01:10,241"]
    assert at(log, "Sending batch of") == ["06:01:10,245"]
    assert at(log, '"num_bytes"') == ["06:01:22,250"]


# --- Requests that fail ---------------------------------------------------------------------------------


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
def test_retries_come_between_a_batch_and_its_state_update(
    api: Api, stitch: StitchEmulator, github: int, version: str, retry: str
) -> None:
    plan = LogPlan(target_version=version)
    flushes = {"commits": [Flush(at=60, rows=5, retries=2)]}
    job = stitch.start_job(github, flushes=flushes, log=plan)
    stitch.advance(150)
    log = api.log(job.job_name)
    waits = [float(m[1]) for line in bodies(log) if (m := re.fullmatch(retry, line))]
    assert waits == [1, 2]
    batch, state = at(log, "messages for table commits")[0], at(log, "State update")[0]
    tries = at(log, "Error sending") + at(log, "Backing off")
    assert [time[:8] for time in (batch, *tries, state)] == ["06:00:59", "06:00:59", "06:01:00", "06:01:02"]


@pytest.mark.parametrize(("version", "longest"), [("1.8", 7), ("4.0", 4)])
def test_plans_reject_more_retries_than_the_target_makes(version: str, longest: int) -> None:
    log = LogPlan(target_version=version, retries=longest)
    with pytest.raises(ValueError, match=f"up to {longest} times"):
        LogPlan(target_version=version, retries=longest + 1)
    with pytest.raises(ValueError, match=f"up to {longest} times"):
        JobPlan(log=log, flushes={"commits": [Flush(at=1, rows=1, retries=longest + 1)]})


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
def test_a_refused_batch_ends_the_job(
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


def test_a_stream_without_a_batch_cannot_be_refused(stitch: StitchEmulator, github: int) -> None:
    with pytest.raises(ValueError, match="no batch of issues"):
        stitch.plan_next_job(github, JobPlan(refused_stream="issues"))


# --- Counters -------------------------------------------------------------------------------------------

TAGS = '"tags": {"endpoint": "commits"}'


@pytest.mark.parametrize(
    ("plan", "tap", "target"),
    [
        pytest.param(
            LogPlan(),
            'replicated 9 records from "commits" endpoint',
            'METRIC: {"type": "counter", "metric": "record_count", "value": 9, '
            '"tags": {"endpoint": "commits", "num_bytes": 1855}}',
            id="default",
        ),
        pytest.param(
            LogPlan(tap_counter_form="json", target_counter_form="sentence"),
            f'METRIC: {{"type": "counter", "metric": "record_count", "value": 9, {TAGS}}}',
            'replicated 9 records from "commits" endpoint',
            id="json and sentence",
        ),
        pytest.param(
            LogPlan(tap_counter_form="point", target_counter_form="point"),
            "METRIC Point(metric_type='counter', metric='record_count', value=9, "
            "tags={'endpoint': 'commits'})",
            "METRIC Point(metric_type='counter', metric='record_count', value=9, "
            "tags={'endpoint': 'commits', 'num_bytes': 1855})",
            id="points",
        ),
    ],
)
def test_the_runner_writes_counters_in_three_forms(
    api: Api, stitch: StitchEmulator, plan: LogPlan, tap: str, target: str
) -> None:
    source_id = stitch.add_source("github", streams={"commits": 9, "issues": 0})
    log = api.log(stitch.complete_job(source_id, log=plan).job_name)
    assert tap in bodies(log, "tap")
    assert target in bodies(log)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param(LogPlan(tap_counters="all"), ["tickets", "comments"], id="all"),
        pytest.param(LogPlan(tap_counters="none"), [], id="none"),
        pytest.param(LogPlan(tap_counters="parents", counted_streams=["tickets"]), ["tickets"], id="parents"),
        pytest.param(
            LogPlan(tap_counters="none", other_counters={"ticket_forms": 7}), ["ticket_forms"], id="others"
        ),
    ],
)
def test_a_tap_counts_all_streams_or_some_or_other_endpoints(
    api: Api, stitch: StitchEmulator, plan: LogPlan, expected: list[str]
) -> None:
    source_id = stitch.add_source("zendesk", streams={"tickets": 0, "comments": 41})
    log = api.log(stitch.complete_job(source_id, log=plan).job_name)
    assert re.findall(r'tap - INFO replicated \d+ records from "(\w+)" endpoint', log) == expected
    assert "Serializing batch with 41 messages for table comments\n" in log


TABLE = EmulatedStream(5, stream_name="orders", schema_name="public", database_name="shop")
POINT = "METRIC Point(metric_type='counter', metric='record_count', value=5, tags={tags})"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("postgres", [POINT.format(tags="{}")], id="PostgreSQL names nothing"),
        pytest.param("oracle", [POINT.format(tags="{}")], id="Oracle names nothing"),
        pytest.param(
            "mysql",
            [POINT.format(tags="{'database': 'shop', 'table': 'orders'}")],
            id="MySQL names its table",
        ),
        pytest.param("mongodb", [], id="MongoDB counts nothing"),
        pytest.param("mssql", [], id="MSSQL counts nothing"),
        pytest.param("shopify", [], id="Shopify counts nothing"),
    ],
)
def test_taps_of_databases_count_in_their_own_way(
    api: Api, stitch: StitchEmulator, kind: str, expected: list[str]
) -> None:
    source_id = stitch.add_source("shop", type=f"platform.{kind}", streams={"o": TABLE, "p": 0})
    log = api.log(stitch.complete_job(source_id).job_name)
    assert [line for line in bodies(log, "tap") if "value=5" in line] == expected
    assert bool(expected) == ("METRIC" in "".join(bodies(log, "tap")))


def test_a_tap_counts_each_minute_since_the_last_time(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 10})
    job = stitch.start_job(source_id, tap_seconds=200)
    stitch.advance(300)
    log = api.log(job.job_name)
    assert re.findall(r"replicated (\d+) records", log) == ["3", "3", "2", "2"]
    assert at(log, "replicated") == ["06:01:12,250", "06:02:12,250", "06:03:12,250", "06:03:32,250"]


# --- Names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "without", "with_schema"),
    [
        pytest.param("postgres", "orders", "public_orders", id="PostgreSQL"),
        pytest.param("mysql", "orders", "orders", id="MySQL"),
        pytest.param("oracle", "orders", "orders", id="Oracle"),
        pytest.param("mongodb", "orders", "shop_orders", id="MongoDB"),
        pytest.param("mssql", "orders", "shop-public-orders", id="MSSQL"),
        pytest.param("hp-postgres", "orders", "public__orders", id="Avro"),
    ],
)
def test_target_and_load_have_the_same_name(
    api: Api, stitch: StitchEmulator, kind: str, without: str, with_schema: str
) -> None:
    streams = {"shop-public-orders": TABLE}
    for option, expected in (("false", without), ("true", with_schema)):
        source_id = stitch.add_source(
            f"shop_{option}",
            type=f"platform.{kind}",
            streams=streams,
            properties={"include_schemas_in_destination_stream_name": option},
        )
        log = api.log(stitch.complete_job(source_id).job_name)
        named = re.findall(r"target - INFO .*(?:messages for table|record-count-impl) (.+)", log)
        assert named == [expected]
        assert expected in [load["stream_name"] for load in api.loads()]
        assert "tap - INFO Beginning sync of stream(shop-public-orders) " in log
        assert "State update: adding bookmarks.shop-public-orders.updated_at = " in log


def test_a_stream_of_a_saas_source_keeps_its_name(api: Api, stitch: StitchEmulator) -> None:
    name = "data_extension.New subscribers"
    log = api.log(stitch.complete_job(stitch.add_source("et", streams={name: 3})).job_name)
    assert f"Serializing batch with 3 messages for table {name}\n" in log
    assert list(api.loaded_at()) == [name]


@pytest.mark.parametrize(
    ("kind", "names", "logged", "loaded"),
    [
        pytest.param("postgres", "target", "public_orders", "public_orders", id="target"),
        pytest.param("postgres", "destination", "public_orders", "public__orders", id="destination"),
        pytest.param("postgres", "source", "public_orders", "orders", id="source"),
        pytest.param(
            "hp-postgres", "destination", "public__orders", "public__orders", id="Avro, destination"
        ),
        pytest.param("hp-postgres", "source", "orders", "orders", id="Avro, source"),
    ],
)
def test_a_load_may_show_another_name_than_the_target(
    api: Api, stitch: StitchEmulator, kind: str, names: Any, logged: str, loaded: str
) -> None:
    stitch.quirks.load_names = names
    source_id = stitch.add_source(
        "shop",
        type=f"platform.{kind}",
        streams={"shop-public-orders": TABLE},
        properties={"include_schemas_in_destination_stream_name": "true"},
    )
    log = api.log(stitch.complete_job(source_id).job_name)
    named = re.findall(r"target - INFO .*(?:messages for table|record-count-impl) (.+)", log)
    assert (named, list(api.loaded_at())) == ([logged], [loaded])


# --- The Avro target ------------------------------------------------------------------------------------


def test_version_2_databases_have_the_log_of_the_avro_target(api: Api, stitch: StitchEmulator) -> None:
    whole = EmulatedStream(0, replication_method="FULL_TABLE", schema_name="public")
    source_id = stitch.add_source("pg", type="platform.hp-postgres", streams={"o": TABLE, "zones": whole})
    log = api.log(stitch.complete_job(source_id).job_name)
    assert re.search(r"main - INFO Running tap-\S+ version \S+ and target-stitch-avro version \S+\n", log)
    assert bodies(log) == [
        "com.stitchdata.target-stitch-avro.flush-pipeline - send-stream-record-count-impl orders"
    ]


# --- The runner -----------------------------------------------------------------------------------------


def test_a_state_update_follows_all_batches_that_were_sent_before_it(
    api: Api, stitch: StitchEmulator
) -> None:
    source_id = stitch.add_source("github", streams={"slow": 1, "fast": 1})
    flushes = {"slow": [Flush(at=60, rows=1, retries=4)], "fast": [Flush(at=50, rows=1)]}
    job = stitch.start_job(source_id, flushes=flushes)
    stitch.advance(150)
    log = api.log(job.job_name)
    # The slow batch was sent at 45 s, and persisted at 60 s.
    assert at(log, "State update") == ["06:01:02,750", "06:01:02,750"]


def test_state_updates_change_what_an_earlier_job_has_left(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    first = api.log(stitch.complete_job(github, seconds_ago=7200).job_name)
    second = api.log(stitch.complete_job(github, seconds_ago=3600).job_name)
    (value,) = re.findall(r"State update: adding bookmarks.commits.updated_at = (.+)", first)
    assert f"State update: changing bookmarks.commits.updated_at from {value} to " in second
    assert 'Current state: {"bookmarks": {}}\n' in first
    assert f'Current state: {{"bookmarks": {{"commits": {{"updated_at": {value}}}}}}}\n' in second


def test_rows_that_a_stopped_job_has_not_sent_change_no_state(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    api.start(github)
    stitch.advance(70)  # `commits` is flushed at 80 s
    stitch.stop_job(github)
    job_name = api.start(github)
    stitch.advance(150)
    assert 'Current state: {"bookmarks": {}}\n' in api.log(job_name)


def test_a_crash_of_the_runner_leaves_a_bare_traceback(api: Api, stitch: StitchEmulator, github: int) -> None:
    log = api.log(stitch.complete_job(github, log=LogPlan(runner_crashes=True)).job_name)
    before, _, after = log.partition("  main - INFO No tunnel subprocess to tear down\n")
    assert after.startswith("Traceback (most recent call last):\n  File ")
    assert "Exit status is" not in log
    assert "Requests complete" not in log
    assert "messages for table commits\n" in before


def test_a_tap_without_discovery_has_no_clause_and_no_status(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    log = api.log(stitch.complete_job(github, has_discovery=False).job_name)
    assert bodies(log, "main")[-1] == "Exit status is: Tap succeeded. Target succeeded."
    assert "discovery mode" not in log
    listed = api.extraction(github)
    phases = ("discovery", "tap", "target")
    assert [listed[f"{phase}_exit_status"] for phase in phases] == [None, 0, 0]
    assert [listed[f"{phase}_description"] for phase in phases] == [None, None, None]


def test_a_job_without_discovery_cannot_fail_in_it() -> None:
    with pytest.raises(ValueError, match="discovery"):
        JobPlan(has_discovery=False, discovery_exit_status=1)


@pytest.mark.parametrize(
    "plan",
    [
        JobPlan(),
        JobPlan(has_discovery=False),
        JobPlan(discovery_exit_status=1),
        JobPlan(tap_exit_status=-9),
        JobPlan(tap_exit_status=1),
        JobPlan(target_exit_status=1),
        JobPlan(refused_stream="commits"),
    ],
)
def test_exit_lines_follow_the_grammar(api: Api, stitch: StitchEmulator, github: int, plan: JobPlan) -> None:
    assert EXIT_LINE.fullmatch(bodies(api.log(stitch.complete_job(github, plan).job_name), "main")[-1])


# --- Loads of several batches ---------------------------------------------------------------------------


def test_batches_minutes_apart_are_loaded_one_after_the_other(
    api: Api, stitch: StitchEmulator, github: int
) -> None:
    flushes = [Flush(at=each, rows=30, prepare=30, load=30) for each in (60, 360, 660, 960)]
    stitch.start_job(github, tap_seconds=1000, flushes={"commits": flushes})
    seen = []
    for _ in range(4):
        stitch.advance(300)
        seen.append(api.loaded_at()["commits"])
    assert seen == [f"2026-08-17T06:{minute:02d}:02Z" for minute in (2, 7, 12, 17)]
