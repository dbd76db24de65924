"""Test the formats of counters in tap and target logs, and which streams a tap counts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from airflow_provider_stitch.emulator import EmulatedStream, LogPlan

from .log_forms import info_texts, times_of

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


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
def test_runner_writes_counters_in_three_forms(
    api: Api, stitch: StitchEmulator, plan: LogPlan, tap: str, target: str
) -> None:
    source_id = stitch.add_source("github", streams={"commits": 9, "issues": 0})
    log = api.log(stitch.complete_job(source_id, log=plan).job_name)
    assert tap in info_texts(log, "tap")
    assert target in info_texts(log)


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
def test_tap_counts_the_planned_streams_and_endpoints(
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
        pytest.param("postgres", [POINT.format(tags="{}")], id="PostgreSQL: no tags"),
        pytest.param("oracle", [POINT.format(tags="{}")], id="Oracle: no tags"),
        pytest.param(
            "mysql",
            [POINT.format(tags="{'database': 'shop', 'table': 'orders'}")],
            id="MySQL: database and table",
        ),
        pytest.param("mongodb", [], id="MongoDB: no counters"),
        pytest.param("mssql", [], id="MSSQL: no counters"),
        pytest.param("shopify", [], id="Shopify: no counters"),
    ],
)
def test_counters_depend_on_the_tap(api: Api, stitch: StitchEmulator, kind: str, expected: list[str]) -> None:
    source_id = stitch.add_source("shop", type=f"platform.{kind}", streams={"o": TABLE, "p": 0})
    log = api.log(stitch.complete_job(source_id).job_name)
    assert [line for line in info_texts(log, "tap") if "value=5" in line] == expected
    assert bool(expected) == ("METRIC" in "".join(info_texts(log, "tap")))


def test_tap_writes_a_counter_every_minute(api: Api, stitch: StitchEmulator) -> None:
    source_id = stitch.add_source("github", streams={"commits": 10})
    job = stitch.start_job(source_id, tap_seconds=200)
    stitch.advance(300)
    log = api.log(job.job_name)
    assert re.findall(r"replicated (\d+) records", log) == ["3", "3", "2", "2"]
    assert times_of(log, "replicated") == ["06:01:12,250", "06:02:12,250", "06:03:12,250", "06:03:32,250"]
