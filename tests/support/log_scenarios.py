"""Jobs with different kinds of extraction logs, and the result that a task must report for each job.

All times are in seconds from the start of the job.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError, LogPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_stitch.emulator import StitchEmulator

QUIET_PERIOD = 900


@dataclass(frozen=True)
class LogScenario:
    """A source, the plan for its jobs, and the expected result of a task that waits for loading."""

    streams: Mapping[str, Any]
    plan: JobPlan
    loaded_after: float  #: when the last row is loaded; without rows, when the extraction ends
    expected_rows: Mapping[str, int | None]  #: number of rows per stream in the task's result
    type: str = "platform.github"
    properties: Mapping[str, Any] = field(default_factory=dict)
    requested: tuple[str, ...] | None = None  #: the task's argument `streams`
    extra_wait: float = 0.0  #: seconds that the task waits after `loaded_after`, such as `load_settle`
    error: str | None = None  #: the name of the expected exception class
    message: str = ""  #: text that the error message must contain

    def add_to(self, stitch: StitchEmulator) -> int:
        """Add the source with a job that ended a day ago, plan its next jobs, and return the source id."""
        source = stitch.add_source("shop", type=self.type, streams=self.streams, properties=self.properties)
        stitch.complete_job(source, JobPlan(), seconds_ago=86_400)
        stitch.plan_jobs(source, self.plan)
        return source


def _flush(at: float, rows: int = 10, *, lag: float = 60.0, **others: Any) -> Flush:
    return Flush(at=at, rows=rows, prepare=lag, load=0.0, **others)


def _plan(flushes: Mapping[str, list[Flush]], *, tap_seconds: float = 120.0, **others: Any) -> JobPlan:
    return JobPlan(tap_seconds=tap_seconds, flushes=flushes, **others)


_SCHEMAS = {"include_schemas_in_destination_stream_name": "true"}
_NO_ROWS = {"commits": EmulatedStream(0), "issues": EmulatedStream(0)}
_TABLES = {
    "public_orders": EmulatedStream(
        10, "shop-public-orders", "orders", schema_name="public", database_name="shop"
    ),
    "archive_orders": EmulatedStream(
        5, "shop-archive-orders", "orders", schema_name="archive", database_name="shop"
    ),
}
_EXTRACTION_END = 150.0

SCENARIOS: Mapping[str, LogScenario] = {
    "a selected stream without rows": LogScenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100)]}),
        loaded_after=160,
        expected_rows={"commits": 10},
    ),
    "no stream with rows": LogScenario(
        streams=_NO_ROWS, plan=_plan({}), loaded_after=_EXTRACTION_END, expected_rows={}
    ),
    "rows only in a child stream that the tap does not count": LogScenario(
        streams={"tickets": 0, "ticket_comments": 41},
        plan=_plan(
            {"tickets": [], "ticket_comments": [_flush(140, 41, lag=4200)]},
            log=LogPlan(tap_counters="parents", counted_streams=("tickets",)),
        ),
        loaded_after=4340,
        expected_rows={"ticket_comments": 41},
        type="platform.zendesk",
    ),
    "the same counters of tap and target": LogScenario(
        streams={"commits": 10},
        plan=_plan(
            {"commits": [_flush(100)]},
            log=LogPlan(tap_counter_form="sentence", target_counter_form="sentence"),
        ),
        loaded_after=160,
        expected_rows={"commits": 10},
    ),
    "counters in the form of points": LogScenario(
        streams={"commits": 10},
        plan=_plan(
            {"commits": [_flush(100)]}, log=LogPlan(tap_counter_form="point", target_counter_form="point")
        ),
        loaded_after=160,
        expected_rows={"commits": 10},
    ),
    "full-table streams with version messages only": LogScenario(
        streams={"commits": 10, "labels": EmulatedStream(0, replication_method="FULL_TABLE")},
        plan=_plan({"commits": [_flush(100)]}),
        loaded_after=160,
        expected_rows={"commits": 10},
    ),
    "version messages of a target without counters": LogScenario(
        streams={"commits": 10, "labels": EmulatedStream(0, replication_method="FULL_TABLE")},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(target_version="1.8")),
        loaded_after=160,
        expected_rows={"commits": None},
        extra_wait=QUIET_PERIOD,
    ),
    "a tap counter of an endpoint that is not a stream": LogScenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(other_counters={"limits": 7})),
        loaded_after=160,
        expected_rows={"commits": 10},
    ),
    "a requested table with its schema in the log": LogScenario(
        streams={**_TABLES, "customers": EmulatedStream(3, schema_name="public")},
        plan=_plan(
            {
                "public_orders": [_flush(100)],
                "archive_orders": [_flush(100, 5)],
                "customers": [_flush(100, 3, lag=7200)],
            }
        ),
        loaded_after=160,
        expected_rows={"shop-public-orders": 10},
        type="platform.postgres",
        properties=_SCHEMAS,
        requested=("public_orders",),
        extra_wait=120,  # another selected table has the same name as this one
    ),
    "a table of MSSQL with its schema in the log": LogScenario(
        streams={
            "orders": EmulatedStream(10, "shop_dbo_orders", "orders", schema_name="dbo", database_name="shop")
        },
        plan=_plan({"orders": [_flush(100)]}),
        loaded_after=160,
        expected_rows={"orders": 10},
        type="platform.mssql",
        properties=_SCHEMAS,
        requested=("orders",),
    ),
    "one table name in two schemas": LogScenario(
        streams=_TABLES,
        plan=_plan({"public_orders": [_flush(60)], "archive_orders": [_flush(100, 5)]}),
        loaded_after=160,
        expected_rows={"orders": 15},
        type="platform.mysql",
        extra_wait=120,
    ),
    "four batches five minutes apart": LogScenario(
        streams={"commits": 40},
        plan=_plan({"commits": [_flush(at, lag=400) for at in (60, 360, 660, 960)]}, tap_seconds=1000),
        loaded_after=1360,
        expected_rows={"commits": 40},
        extra_wait=360,
    ),
    "a destination that lags by 70 minutes": LogScenario(
        streams={"commits": 10, "issues": 0, "pulls": 4},
        plan=_plan({"commits": [_flush(60, lag=4200)], "pulls": [_flush(100, 4, lag=60)]}),
        loaded_after=4260,
        expected_rows={"commits": 10, "pulls": 4},
    ),
    "a batch in several requests with a retry": LogScenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100, requests=3, retries=2)]}),
        loaded_after=160,
        expected_rows={"commits": 10},
        extra_wait=QUIET_PERIOD,
    ),
    "an Avro marker for each batch": LogScenario(
        streams={"orders": 10, "customers": 0},
        plan=_plan({"orders": [_flush(60), _flush(100)]}),
        loaded_after=160,
        expected_rows={"orders": 20},
        type="platform.hp-postgres",
        extra_wait=120,
    ),
    "one Avro marker for two batches": LogScenario(
        streams={"orders": 10},
        plan=_plan(
            {"orders": [_flush(60, lag=100), _flush(100, lag=150)]}, log=LogPlan(flush_markers="last")
        ),
        loaded_after=250,
        expected_rows={"orders": 20},
        type="platform.hp-postgres",
        extra_wait=120,
    ),
    "a tap without discovery": LogScenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100)]}, has_discovery=False),
        loaded_after=160,
        expected_rows={"commits": 10},
    ),
    "a log without its exit line": LogScenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(exit_line=False)),
        loaded_after=160,
        expected_rows={"commits": 10},
    ),
    "a log of a runner that crashed": LogScenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100, lag=3000)]}, log=LogPlan(runner_crashes=True)),
        loaded_after=3100,
        expected_rows={"commits": 10},
        extra_wait=QUIET_PERIOD,
    ),
    "a log that is never available": LogScenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(available=False)),
        loaded_after=160,
        expected_rows={"commits": None},
        extra_wait=QUIET_PERIOD,
    ),
    "a batch that the Import API rejects": LogScenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100)]}, refused_stream="commits", target_exit_status=1),
        loaded_after=0,
        expected_rows={},
        error="ExtractionFailed",
        message="Error persisting data",
    ),
    "a load that the destination rejects": LogScenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100, error=LoadError("relation is locked"))]}),
        loaded_after=0,
        expected_rows={},
        error="LoadingFailed",
        message="commits: relation is locked",
    ),
}
