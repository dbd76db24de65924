"""The lineage of a loaded job: the tables that the job read and wrote, for OpenLineage and for asset events.

`gather` reads the tables from Stitch while the task runs. OpenLineage's listener reports the lineage in
another process, which must end within ten seconds. The requests of `gather` do not count against the rate
limit. `facets` sends no requests, and is the only function that uses OpenLineage's client.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.replication.warehouse import (
    Table,
    column_name,
    destination_table,
    has_schema_prefix,
    source_table,
    table_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Destination, Source, Stream, StreamSchema

# Time limit in seconds for all requests of one task. Reading the lineage must not delay the tasks that use
# the rows.
GATHER_SECONDS = 5.0

MAX_SCHEMAS = 50  #: maximum number of stream schemas to read, with one request per schema
MAX_THREADS = 8


@dataclass(frozen=True)
class Column:
    """A column in the destination, and the stream's field that is loaded into it."""

    name: str
    field: str
    type: str | None  #: the type in the stream's JSON schema


@dataclass(frozen=True)
class LoadedTable:
    """One table that the job has loaded, and the streams whose rows it received."""

    stream: str  #: the stream's name in the task's XCom
    rows: int | None
    inputs: tuple[tuple[str, str], ...]  #: namespace and name of each dataset that was read
    output: Table | None  #: None if the dataset's name in OpenLineage cannot be determined
    columns: tuple[Column, ...] = ()  #: columns of the table; empty if the columns are unknown


@dataclass(frozen=True)
class Lineage:
    """The tables that a job has loaded. The lineage contains no secrets and can be pickled."""

    job_name: str
    client_id: int
    tables: tuple[LoadedTable, ...]

    @property
    def table_uris(self) -> dict[str, str]:
        """The URI of a stream's table, for each stream that is loaded into exactly one table."""
        uris: dict[str, set[str]] = {}
        for table in self.tables:
            if table.output is not None:
                uris.setdefault(table.stream, set()).add(table.output.uri)
        return {stream: next(iter(found)) for stream, found in uris.items() if len(found) == 1}


def is_enabled(task: Any) -> bool:
    """Return whether OpenLineage is installed and reports the tables of this task.

    If the configuration of OpenLineage is invalid, return False, because lineage is optional.
    """
    try:
        from airflow.providers.openlineage import conf
    except ImportError:
        return False
    try:
        return not conf.is_disabled() and _is_reported(task)
    except Exception as error:  # noqa: BLE001 - a lineage error must not fail a finished task
        task.log.warning("Not reporting lineage, because OpenLineage's configuration is invalid: %s", error)
        return False


def _is_reported(task: Any) -> bool:
    """Return whether OpenLineage's listener requests the lineage of this task."""
    from airflow.providers.openlineage import conf

    try:
        from airflow.providers.openlineage.utils.emission_policy import resolve_task_emission_policy
    except ImportError:  # this release of the OpenLineage provider has only the following two options
        from airflow.providers.openlineage.utils.selective_enable import is_task_lineage_enabled

        if f"{type(task).__module__}.{type(task).__qualname__}" in conf.disabled_operators():
            return False
        return not conf.selective_enable() or is_task_lineage_enabled(task)
    policy = resolve_task_emission_policy(task, task.dag_id, task.task_id)
    return policy.emit and policy.extract_operator_metadata


# --- Reading from Stitch --------------------------------------------------------------------------------


def gather(
    client: StitchClient,
    result: Mapping[str, Any],
    *,
    with_inputs: bool = True,
    seconds: float = GATHER_SECONDS,
    log_warning: Callable[[str], None],
) -> Lineage:
    """Return the lineage of a job, as far as Stitch responds in time.

    This function never raises a StitchError.

    :param result: the XCom of the task.
    :param with_inputs: whether to read the streams and their schemas. If False, only the names of the outputs
        are determined.
    :param seconds: time limit for all requests together.
    :param log_warning: a function to call with a one-line message if a request fails or takes too long.
    """
    lineage = Lineage(result["job_name"], result["client_id"], ())
    if not result["streams"]:
        return lineage
    reader = _Reader(client.with_request_timeout(seconds), result["source_id"], time.monotonic() + seconds)
    read = reader.read_connections(with_streams=with_inputs)
    if not with_inputs and read.source is not None and has_schema_prefix(read.source.properties):
        read = reader.read_connections(with_streams=True)
    tables = [table for name in result["streams"] for table in _tables(name, result, read)]
    if with_inputs and read.streams is not None:
        tables = reader.with_columns(tables, read)
    if reader.problems:
        log_warning(
            f"Lineage of source {result['source_name']} ({result['source_id']}) is incomplete: could not "
            f"read {', '.join(reader.problems)} within {seconds:g} s. The load itself has succeeded."
        )
    return Lineage(lineage.job_name, lineage.client_id, tuple(tables))


@dataclass(frozen=True)
class _Connections:
    """A source, its destination and its streams. Unknown values are None."""

    source: Source | None
    destination: Destination | None
    streams: Sequence[Stream] | None

    def named(self, name: str) -> list[Stream]:
        """Return the selected streams that have this `stream_name` or, if there are none, `tap_stream_id`."""
        selected = [stream for stream in self.streams or [] if stream.selected]
        return [stream for stream in selected if stream.stream_name == name] or [
            stream for stream in selected if stream.tap_stream_id == name
        ]


class _Reader:
    """Reads from Stitch in daemon threads, so that the task can end without waiting for a slow response."""

    def __init__(self, client: StitchClient, source_id: int, deadline: float) -> None:
        self.client = client
        self.source_id = source_id
        self.deadline = deadline
        self.problems: list[str] = []

    def read_connections(self, *, with_streams: bool) -> _Connections:
        client, source_id = self.client, self.source_id
        calls: dict[Any, Callable[[], Any]] = {
            "the source": lambda: client.get_source(source_id),
            "its destination": lambda: client.list_destinations(source_id=source_id),
        }
        if with_streams:
            calls["its streams"] = lambda: client.list_streams(source_id)
        read = self._read(calls)
        destinations = [each for each in read.get("its destination", []) if each.deleted_at is None]
        # Stitch documents the filter by source only in an error message, and might ignore the filter.
        destination = destinations[0] if len(destinations) == 1 else None
        return _Connections(read.get("the source"), destination, read.get("its streams"))

    def with_columns(self, tables: list[LoadedTable], read: _Connections) -> list[LoadedTable]:
        """Return the tables with their columns, unless more than MAX_SCHEMAS schemas must be read."""
        named = {table.stream: read.named(table.stream) for table in tables}
        unique = {name: found[0] for name, found in named.items() if len(found) == 1}
        if len(unique) > MAX_SCHEMAS:
            return tables
        schemas = self._read(
            {name: self._schema_call(stream.stream_id) for name, stream in unique.items()},
            as_one="the schemas of its streams",
        )
        kind = read.destination.type if read.destination is not None else None
        return [
            replace(table, columns=_columns(schemas[table.stream], kind))
            if table.stream in schemas
            else table
            for table in tables
        ]

    def _schema_call(self, stream_id: int) -> Callable[[], StreamSchema]:
        return lambda: self.client.get_stream_schema(self.source_id, stream_id)

    def _read(self, calls: Mapping[Any, Callable[[], Any]], *, as_one: str | None = None) -> dict[Any, Any]:
        """Run calls in parallel, and return the results of the calls that succeed before the deadline.

        :param as_one: a common name for the failed calls, which the log message contains instead of their
            own names.
        """
        results: dict[Any, Any] = {}
        errors: dict[Any, Exception] = {}
        waiting = list(calls.items())
        done = threading.Semaphore(0)

        def work() -> None:
            while waiting:
                try:
                    name, call = waiting.pop()
                except IndexError:  # another thread has removed the last call
                    return
                try:
                    results[name] = call()
                except Exception as error:  # noqa: BLE001 - a lineage error must not fail a finished task
                    errors[name] = error
                finally:
                    done.release()

        for _ in range(min(MAX_THREADS, len(calls))):
            threading.Thread(target=work, daemon=True).start()
        for _ in calls:
            if not done.acquire(timeout=max(0.0, self.deadline - time.monotonic())):
                break
        waiting.clear()
        read = dict(results)
        missing = [name for name in calls if name not in read]
        if missing:
            reasons = {str(errors[name]): None for name in missing if name in errors}
            reason = f" ({next(iter(reasons))})" if reasons else ""
            self.problems.append((as_one or ", ".join(missing)) + reason)
        return read


def _tables(name: str, result: Mapping[str, Any], read: _Connections) -> list[LoadedTable]:
    """Return the tables into which a stream in the XCom is loaded.

    If several schemas contain a stream with this name, there are several tables.
    """
    inputs = [
        (_input(stream, result, read.source), _output(name, stream, read)) for stream in read.named(name)
    ]
    if not inputs:
        inputs = [((_account(result), f"{result['source_name']}.{name}"), _output(name, None, read))]
    outputs = list(dict.fromkeys(output for _, output in inputs))
    return [
        LoadedTable(
            stream=name,
            # The log contains only the total number of rows in a stream. If the stream has several tables,
            # the number of rows in each table is unknown.
            rows=result["streams"][name]["rows"] if len(outputs) == 1 else None,
            inputs=tuple(table for table, written in inputs if written == output),
            output=output,
        )
        for output in outputs
    ]


def _input(stream: Stream, result: Mapping[str, Any], source: Source | None) -> tuple[str, str]:
    if source is not None:
        table = source_table(
            source.type, source.properties, stream.database_name, stream.schema_name, stream.stream_name
        )
        if table is not None:
            return table.namespace, table.name
    return _account(result), f"{result['source_name']}.{stream.tap_stream_id}"


def _output(name: str, stream: Stream | None, read: _Connections) -> Table | None:
    source, destination = read.source, read.destination
    if source is None or destination is None:
        return None
    schema = None if stream is None else stream.schema_name or stream.database_name
    table = table_name(name if stream is None else stream.stream_name, schema, source.properties)
    if table is None:
        return None
    return destination_table(destination.type, destination.properties, source.name, table)


def _account(result: Mapping[str, Any]) -> str:
    return f"stitch://{result['client_id']}"


def _columns(schema: StreamSchema, destination_type: str | None) -> tuple[Column, ...]:
    properties = schema.schema.get("properties")
    types = properties if isinstance(properties, dict) else {}
    return tuple(
        Column(column_name(destination_type, name), name, _type(types.get(name)))
        for name, field in schema.fields.items()
        if field.is_replicated
    )


def _type(schema: Any) -> str | None:
    if not isinstance(schema, dict):
        return None
    types = schema.get("type")
    names = [each for each in (types if isinstance(types, list) else [types]) if each not in (None, "null")]
    found = schema.get("format") or (names[0] if names else None)
    return None if found is None else str(found)


# --- Reporting to OpenLineage ---------------------------------------------------------------------------


def facets(lineage: Lineage | None) -> Any:
    """Return the inputs, outputs and facets of a job, as OpenLineage's `OperatorLineage`.

    :param lineage: the tables that the job has loaded, or None if it has loaded nothing.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import external_query_run

    if lineage is None:
        return OperatorLineage()
    query = external_query_run.ExternalQueryRunFacet(
        externalQueryId=lineage.job_name, source=f"stitch://{lineage.client_id}"
    )
    inputs = dict.fromkeys(dataset for table in lineage.tables for dataset in table.inputs)
    outputs: dict[Table, list[LoadedTable]] = {}
    for table in lineage.tables:
        if table.output is not None:
            outputs.setdefault(table.output, []).append(table)
    return OperatorLineage(
        inputs=[InputDataset(namespace=namespace, name=name) for namespace, name in inputs],
        outputs=[_output_dataset(output, _merged(tables)) for output, tables in outputs.items()],
        run_facets={"externalQuery": query},
    )


def _merged(tables: Sequence[LoadedTable]) -> LoadedTable:
    """Merge streams that are loaded into one table, such as `a b` and `a/b`.

    The columns of a merged table are unknown.
    """
    if len(tables) == 1:
        return tables[0]
    rows = [table.rows for table in tables if table.rows is not None]
    return replace(
        tables[0],
        rows=sum(rows) if len(rows) == len(tables) else None,
        inputs=tuple(dict.fromkeys(dataset for table in tables for dataset in table.inputs)),
        columns=(),
    )


def _output_dataset(output: Table, table: LoadedTable) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import (
        column_lineage_dataset,
        datasource_dataset,
        output_statistics_output_dataset,
        schema_dataset,
    )

    described: dict[str, Any] = {
        "dataSource": datasource_dataset.DatasourceDatasetFacet(name=output.namespace, uri=output.namespace)
    }
    if table.columns:
        described["schema"] = schema_dataset.SchemaDatasetFacet(
            fields=[
                schema_dataset.SchemaDatasetFacetFields(name=column.name, type=column.type)
                for column in table.columns
            ]
        )
        identity = column_lineage_dataset.Transformation(type="DIRECT", subtype="IDENTITY")
        described["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            fields={
                column.name: column_lineage_dataset.Fields(
                    inputFields=[
                        column_lineage_dataset.InputField(
                            namespace=namespace, name=name, field=column.field, transformations=[identity]
                        )
                        for namespace, name in table.inputs
                    ]
                )
                for column in table.columns
            }
        )
    counted: dict[str, Any] = {}
    if table.rows is not None:
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=table.rows)
        counted["outputStatistics"] = statistics
    return OutputDataset(namespace=output.namespace, name=output.name, facets=described, outputFacets=counted)
