"""Test the events that OpenLineage receives from real tasks, and how lineage is read from Stitch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import EmulatedStream, StitchEmulator
from airflow_provider_stitch.lineage import (
    MAX_SCHEMAS,
    Column,
    Lineage,
    LoadedTable,
    facets,
    gather,
)
from airflow_provider_stitch.replication.warehouse import Table
from tests.support.dag_runs import AIRFLOW_HOME

SECRET = "hunter2-dapi-0123456789"
SERVER = {"username": "stitch", "password": SECRET, "database": "raw"}
DESTINATIONS = {
    "snowflake": {**SERVER, "host": "acme-prod.snowflakecomputing.com", "port": "443", "warehouse": "wh"},
    "redshift": {**SERVER, "host": "dwh.abc.eu-central-1.redshift.amazonaws.com", "port": "5439"},
    "bigquery_v2": {
        "cloud_storage_location": "EU",
        "loading_mode": "append",
        "service_account_credentials": {"project_id": "acme-dwh", "private_key": SECRET},
    },
    "postgres": {**SERVER, "host": "pg.acme.example", "port": "5432", "ssl": "false"},
    "databricks_delta": {
        "jdbc_url": f"jdbc:spark://dbc-1.cloud.databricks.com:443/default;UID=token;PWD={SECRET}",
        "access_token": SECRET,
        "ssh_config": {},
        "staging_area": {},
    },
}
TABLES = {
    "snowflake": ("snowflake://acme-prod", "RAW.SHOP.ORDERS"),
    "redshift": ("redshift://dwh.eu-central-1:5439", "raw.shop.orders"),
    "bigquery_v2": ("bigquery", "acme-dwh.shop.orders"),
    "postgres": ("postgres://pg.acme.example:5432", "raw.shop.Orders"),
    "databricks_delta": ("databricks://dbc-1.cloud.databricks.com", "hive_metastore.shop.orders"),
}
SLOW = "slow"  #: the account for which Stitch takes a minute to return streams
SOURCE = {"host": "db.acme.example", "port": "5433", "dbname": "shopdb", "user": "u", "password": SECRET}
ORDERS = EmulatedStream(rows=7, schema_name="public", database_name="shopdb")
QUIET = EmulatedStream(rows=0, schema_name="public", database_name="shopdb")


class Events:
    """The events that OpenLineage's file transport has written, and the output of the DAG run."""

    def __init__(self, text: str, states: dict[str, str], output: str, tokens: list[str]) -> None:
        self.text = text
        self.states = states
        self.output = output
        self.tokens = tokens
        self._events = [json.loads(line) for line in text.splitlines()]

    def completed(self, task_id: str) -> dict[str, Any]:
        """Return the only COMPLETE event of a task."""
        (event,) = (
            event
            for event in self._events
            if event["eventType"] == "COMPLETE" and event["job"]["name"] == f"lineage.{task_id}"
        )
        return event


@pytest.fixture(scope="module")
def events(airflow_database: None, tmp_path_factory: pytest.TempPathFactory) -> Events:
    """Run all tasks in one Airflow installation that writes OpenLineage events to a file."""
    home: Path = tmp_path_factory.mktemp("lineage")
    file = home / "events.json"
    (home / "airflow.db").write_bytes((AIRFLOW_HOME / "airflow.db").read_bytes())
    with StitchEmulator(speed=600) as stitch:
        connections = {name: _account(stitch, name) for name in [*DESTINATIONS, SLOW]}
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"},
            **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(file), "append": True}
            ),
            "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "60",  # a busy machine needs a long timeout
            "STITCH_TEST_ACCOUNTS": json.dumps([*connections]),
        }
        run = subprocess.run(  # noqa: PLW1510 - the assertion below prints the output of the run
            [sys.executable, "-m", "tests.support.lineage_run"],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    states = json.loads(run.stdout.rpartition("\nSTATES ")[2].splitlines()[0])
    tokens = [json.loads(connection)["password"] for connection in connections.values()]
    return Events(file.read_text(), states, run.stdout + run.stderr, tokens)


def _account(stitch: StitchEmulator, name: str) -> str:
    """Add an account with one destination and one source, and return the account's connection as JSON."""
    account = stitch.add_account()
    if name in DESTINATIONS:
        account.delete_destinations()
        account.add_destination(name, properties=DESTINATIONS[name])
    source = account.add_source(
        "shop", streams={"Orders": ORDERS, "quiet": QUIET}, type="platform.postgres", properties=SOURCE
    )
    if name == SLOW:
        streams = rf"/v4/sources/{source}/streams$"
        # the waiting task requests the streams once, and only the response to later requests is delayed
        stitch.fail("GET", streams, times=1, delay=0.01)
        stitch.fail("GET", streams, times=None, delay=60)
    connection = json.loads(stitch.connection_json(account))
    # with a lower limit, a waiting task computes its schedule faster
    connection["extra"] = {"requests_per_10_minutes": 3000}
    return json.dumps(connection)


@pytest.mark.parametrize("mode", ["worker", "deferred", "sensor"])
@pytest.mark.parametrize("destination", DESTINATIONS)
def test_event_has_the_tables_and_their_rows(events: Events, destination: str, mode: str) -> None:
    event = events.completed(f"{mode}_{destination}")

    (read,) = event["inputs"]
    assert (read["namespace"], read["name"]) == ("postgres://db.acme.example:5433", "shopdb.public.Orders")
    (written,) = event["outputs"]
    assert (written["namespace"], written["name"]) == TABLES[destination]
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert written["facets"]["dataSource"]["name"] == TABLES[destination][0]


def test_event_has_columns_and_the_name_of_the_job(events: Events) -> None:
    event = events.completed("worker_snowflake")

    facets = event["outputs"][0]["facets"]
    columns = [field["name"] for field in facets["schema"]["fields"]]
    assert columns == ["ID", "UPDATED_AT", "NAME"]
    (origin,) = facets["columnLineage"]["fields"]["ID"]["inputFields"]
    assert (origin["name"], origin["field"]) == ("shopdb.public.Orders", "id")
    assert origin["transformations"][0]["subtype"] == "IDENTITY"
    assert ".sync." in event["run"]["facets"]["externalQuery"]["externalQueryId"]


def test_event_has_no_columns_if_stitch_is_slow(events: Events) -> None:
    """Stitch takes a minute to return the streams of the source.

    The task does not wait for this response, and its event does not contain the columns.
    """
    event = events.completed(f"worker_{SLOW}")

    assert events.states[f"worker_{SLOW}"] == "success"
    assert [(read["namespace"][:9], read["name"]) for read in event["inputs"]] == [
        ("stitch://", "shop.Orders")
    ]
    (written,) = event["outputs"]
    assert (written["namespace"], written["name"]) == (
        "postgres://pg.acme.example:5432",
        "staging.shop.Orders",
    )
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert "schema" not in written["facets"]
    assert "is incomplete: could not read its streams within 5 s" in events.output


def test_sensors_that_should_end_in_the_triggerer_succeed(events: Events) -> None:
    assert set(events.states.values()) == {"success"}
    assert "Ending in a worker despite end_from_trigger: Airflow has listeners" in events.output


def test_events_contain_no_secret(events: Events) -> None:
    for secret in [SECRET, *events.tokens]:
        assert secret not in events.text


# --- Reading from Stitch --------------------------------------------------------------------------------


def result_of(source_id: int, **streams: int | None) -> dict[str, Any]:
    """Return the part of a task's XCom from which lineage is derived."""
    return {
        "job_name": "a.b.sync.c",
        "client_id": 1,
        "source_id": source_id,
        "source_name": "shop",
        "streams": {name: {"rows": rows} for name, rows in streams.items()},
    }


@pytest.fixture
def client(stitch: StitchEmulator) -> StitchClient:
    return StitchClient(stitch.access_token, base_url=stitch.url)


def gathered(client: StitchClient, result: dict[str, Any], **options: Any) -> tuple[Any, list[str]]:
    """Return the lineage of a job, and the warnings that were logged."""
    warnings: list[str] = []
    return gather(client, result, log_warning=warnings.append, **options), warnings


def test_lineage_sends_no_status_request(stitch: StitchEmulator, client: StitchClient) -> None:
    source = stitch.add_source("shop", streams={"Orders": ORDERS})

    lineage, warnings = gathered(client, result_of(source, Orders=7))

    assert [column.field for column in lineage.tables[0].columns] == ["id", "updated_at", "name"]
    assert stitch.limited_requests == []
    assert warnings == []


def test_job_without_rows_needs_no_request(stitch: StitchEmulator, client: StitchClient) -> None:
    source = stitch.add_source("shop", streams={"Orders": ORDERS})

    lineage, _ = gathered(client, result_of(source))

    assert (lineage.tables, len(stitch.requests)) == ((), 0)


def test_unavailable_stitch_causes_a_warning(stitch: StitchEmulator, client: StitchClient) -> None:
    source = stitch.add_source("shop", streams={"Orders": ORDERS})
    stitch.fail(times=None)

    lineage, warnings = gathered(client, result_of(source, Orders=7))

    assert [(table.inputs, table.output) for table in lineage.tables] == [
        ((("stitch://1", "shop.Orders"),), None)
    ]
    (warning,) = warnings
    assert "Lineage of source shop" in warning
    assert "could not read the source, its destination, its streams (GET http://" in warning


def test_namesakes_of_two_schemas_have_a_table_each_with_the_option(
    stitch: StitchEmulator, client: StitchClient
) -> None:
    option = {"include_schemas_in_destination_stream_name": "true"}
    streams = {
        f"shopdb-{schema}-orders": EmulatedStream(
            rows=1, stream_name="orders", schema_name=schema, database_name="shopdb"
        )
        for schema in ("eu", "us")
    }
    source = stitch.add_source(
        "shop", streams=streams, type="platform.postgres", properties={**SOURCE, **option}
    )

    for with_inputs in (True, False):
        lineage, _ = gathered(client, result_of(source, orders=2), with_inputs=with_inputs)

        assert [table.output.name for table in lineage.tables] == [
            "staging.shop.eu__orders",
            "staging.shop.us__orders",
        ]
        # only the total number of rows in both streams is known
        assert [table.rows for table in lineage.tables] == [None, None]
        assert lineage.table_uris == {}


def test_namesakes_of_two_schemas_share_a_table_without_the_option(
    stitch: StitchEmulator, client: StitchClient
) -> None:
    streams = {
        f"shopdb-{schema}-orders": EmulatedStream(
            rows=1, stream_name="orders", schema_name=schema, database_name="shopdb"
        )
        for schema in ("eu", "us")
    }
    source = stitch.add_source("shop", streams=streams, type="platform.postgres", properties=SOURCE)

    lineage, _ = gathered(client, result_of(source, orders=2))

    (table,) = lineage.tables
    assert [name for _, name in table.inputs] == ["shopdb.eu.orders", "shopdb.us.orders"]
    assert (table.output.name, table.rows) == ("staging.shop.orders", 2)


@pytest.mark.parametrize(("rows", "expected"), [((2, 0), 2), ((0, 0), 0), ((2, None), None)])
def test_streams_that_are_loaded_into_one_table_are_one_output(
    rows: tuple[int | None, ...], expected: int | None
) -> None:
    table = Table("postgres://pg:5432", "raw.shop.ab", "postgres://pg:5432/raw/shop/ab")
    column = Column("id", "id", "integer")
    tables = tuple(
        LoadedTable(name, count, (("stitch://1", f"shop.{name}"),), table, (column,))
        for name, count in zip(("a b", "a/b"), rows, strict=True)
    )

    reported = facets(Lineage("1.2.sync.x", 1, tables))

    assert [dataset.name for dataset in reported.inputs] == ["shop.a b", "shop.a/b"]
    (output,) = reported.outputs
    statistics = output.outputFacets.get("outputStatistics")
    assert (statistics and statistics.rowCount) == expected
    assert set(output.facets) == {"dataSource"}


def test_schemas_of_many_streams_are_not_read(stitch: StitchEmulator, client: StitchClient) -> None:
    names = [f"stream_{number}" for number in range(MAX_SCHEMAS + 1)]
    source = stitch.add_source("shop", streams=dict.fromkeys(names, 1))

    lineage, _ = gathered(client, result_of(source, **dict.fromkeys(names, 1)))

    assert len(lineage.tables) == MAX_SCHEMAS + 1
    assert {table.columns for table in lineage.tables} == {()}
    assert len(stitch.requests) == 3
