"""Jobs whose logs differ, and when their rows are really loaded, in seconds from the job's start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator import EmulatedStream, Flush, JobPlan, LoadError, LogPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_stitch.emulator import StitchEmulator

QUIET_PERIOD = 900


@dataclass(frozen=True)
class Scenario:
    """A source, the plan of its job, and what a task that waits for loading must report."""

    streams: Mapping[str, Any]
    plan: JobPlan
    loaded: float  #: when the last row is loaded; without rows, when the extraction has finished
    expected: Mapping[str, int | None]  #: rows by stream, as the task reports them
    type: str = "platform.github"
    properties: Mapping[str, Any] = field(default_factory=dict)
    requested: tuple[str, ...] | None = None  #: the task's `streams`
    waits_longer: float = 0.0  #: seconds after `loaded` that the task needs before it can be sure
    error: str | None = None  #: the kind of the task's error
    message: str = ""  #: and a part of its message

    def add_to(self, stitch: StitchEmulator) -> int:
        """Add the source, with a job of long ago, and plan its next jobs."""
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
_EXTRACTED = 150.0

SCENARIOS: Mapping[str, Scenario] = {
    "a selected stream had no rows": Scenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100)]}),
        loaded=160,
        expected={"commits": 10},
    ),
    "no stream had rows": Scenario(streams=_NO_ROWS, plan=_plan({}), loaded=_EXTRACTED, expected={}),
    "rows only in a child that the tap does not count": Scenario(
        streams={"tickets": 0, "ticket_comments": 41},
        plan=_plan(
            {"tickets": [], "ticket_comments": [_flush(140, 41, lag=4200)]},
            log=LogPlan(tap_counters="parents", counted_streams=("tickets",)),
        ),
        loaded=4340,
        expected={"ticket_comments": 41},
        type="platform.zendesk",
    ),
    "tap and target count alike": Scenario(
        streams={"commits": 10},
        plan=_plan(
            {"commits": [_flush(100)]},
            log=LogPlan(tap_counter_form="sentence", target_counter_form="sentence"),
        ),
        loaded=160,
        expected={"commits": 10},
    ),
    "counters written as points": Scenario(
        streams={"commits": 10},
        plan=_plan(
            {"commits": [_flush(100)]}, log=LogPlan(tap_counter_form="point", target_counter_form="point")
        ),
        loaded=160,
        expected={"commits": 10},
    ),
    "full-table streams with version messages only": Scenario(
        streams={"commits": 10, "labels": EmulatedStream(0, replication_method="FULL_TABLE")},
        plan=_plan({"commits": [_flush(100)]}),
        loaded=160,
        expected={"commits": 10},
    ),
    "version messages of a target without counters": Scenario(
        streams={"commits": 10, "labels": EmulatedStream(0, replication_method="FULL_TABLE")},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(target_version="1.8")),
        loaded=160,
        expected={"commits": None},
        waits_longer=QUIET_PERIOD,
    ),
    "the tap counts an endpoint that is no stream": Scenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(other_counters={"limits": 7})),
        loaded=160,
        expected={"commits": 10},
    ),
    "a requested table with its schema in the log": Scenario(
        streams={**_TABLES, "customers": EmulatedStream(3, schema_name="public")},
        plan=_plan(
            {
                "public_orders": [_flush(100)],
                "archive_orders": [_flush(100, 5)],
                "customers": [_flush(100, 3, lag=7200)],
            }
        ),
        loaded=160,
        expected={"shop-public-orders": 10},
        type="platform.postgres",
        properties=_SCHEMAS,
        requested=("public_orders",),
        waits_longer=120,  # another selected table has the same name
    ),
    "a table of MSSQL with its schema in the log": Scenario(
        streams={
            "orders": EmulatedStream(10, "shop_dbo_orders", "orders", schema_name="dbo", database_name="shop")
        },
        plan=_plan({"orders": [_flush(100)]}),
        loaded=160,
        expected={"orders": 10},
        type="platform.mssql",
        properties=_SCHEMAS,
        requested=("orders",),
    ),
    "one table name in two schemas": Scenario(
        streams=_TABLES,
        plan=_plan({"public_orders": [_flush(60)], "archive_orders": [_flush(100, 5)]}),
        loaded=160,
        expected={"orders": 15},
        type="platform.mysql",
        waits_longer=120,
    ),
    "four batches five minutes apart": Scenario(
        streams={"commits": 40},
        plan=_plan({"commits": [_flush(at, lag=400) for at in (60, 360, 660, 960)]}, tap_seconds=1000),
        loaded=1360,
        expected={"commits": 40},
        waits_longer=360,
    ),
    "a destination that lags by 70 minutes": Scenario(
        streams={"commits": 10, "issues": 0, "pulls": 4},
        plan=_plan({"commits": [_flush(60, lag=4200)], "pulls": [_flush(100, 4, lag=60)]}),
        loaded=4260,
        expected={"commits": 10, "pulls": 4},
    ),
    "a batch in several requests, of which the last is retried": Scenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100, requests=3, retries=2)]}),
        loaded=160,
        expected={"commits": 10},
        waits_longer=QUIET_PERIOD,
    ),
    "the Avro target": Scenario(
        streams={"orders": 10, "customers": 0},
        plan=_plan({"orders": [_flush(60), _flush(100)]}),
        loaded=160,
        expected={"orders": 20},
        type="platform.hp-postgres",
        waits_longer=120,
    ),
    "an Avro marker that stands for two batches": Scenario(
        streams={"orders": 10},
        plan=_plan(
            {"orders": [_flush(60, lag=100), _flush(100, lag=150)]}, log=LogPlan(flush_markers="last")
        ),
        loaded=250,
        expected={"orders": 20},
        type="platform.hp-postgres",
        waits_longer=120,
    ),
    "a tap without discovery": Scenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100)]}, has_discovery=False),
        loaded=160,
        expected={"commits": 10},
    ),
    "a log without its exit line": Scenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(exit_line=False)),
        loaded=160,
        expected={"commits": 10},
    ),
    "a runner that crashed": Scenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100, lag=3000)]}, log=LogPlan(runner_crashes=True)),
        loaded=3100,
        expected={"commits": 10},
        waits_longer=QUIET_PERIOD,
    ),
    "a log that is never available": Scenario(
        streams={"commits": 10, "issues": 0},
        plan=_plan({"commits": [_flush(100)]}, log=LogPlan(available=False)),
        loaded=160,
        expected={"commits": None},
        waits_longer=QUIET_PERIOD,
    ),
    "a batch that the Import API refuses": Scenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100)]}, refused_stream="commits", target_exit_status=1),
        loaded=0,
        expected={},
        error="ExtractionFailed",
        message="Error persisting data",
    ),
    "a load that the destination refuses": Scenario(
        streams={"commits": 10},
        plan=_plan({"commits": [_flush(100, error=LoadError("relation is locked"))]}),
        loaded=0,
        expected={},
        error="LoadingFailed",
        message="commits: relation is locked",
    ),
}
