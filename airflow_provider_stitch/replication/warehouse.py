"""Names of tables in destinations and source databases, as specified by OpenLineage.

The functions are pure. A function returns None if the properties do not determine a name, because a wrong
name would connect unrelated lineage graphs.

Sources: OpenLineage, "Naming"; Stitch's documentation of each destination ("Object name limits", "Column
naming"). Stitch documents some naming rules only for columns. The naming rules for columns are assumed to
apply to tables as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Table:
    """A table, with its OpenLineage name and its asset URI."""

    namespace: str  #: the server, such as `snowflake://acme-prod`
    name: str  #: the table on the server, such as `DB.SCHEMA.TABLE`
    uri: str  #: the asset's URI, such as `snowflake://acme-prod/DB/SCHEMA/TABLE`


def destination_table(
    destination_type: str | None, properties: Mapping[str, Any], schema: str, table: str
) -> Table | None:
    """Return the table into which Stitch loads a stream.

    :param destination_type: Stitch's name for the type of the destination, such as `snowflake`.
    :param properties: the destination's properties. The result contains no secret from the properties.
    :param schema: the source's name, which is also the name of its schema in the destination.
    :param table: the table's name before the destination's naming rules are applied (see `table_name`).
    """
    name = _DESTINATIONS.get(destination_type or "")
    return None if name is None else name(_Properties(properties), schema, table)


def table_name(stream_name: str, schema_name: str | None, source_properties: Mapping[str, Any]) -> str | None:
    """Return a stream's table name before the destination's naming rules apply, or None if unknown.

    Source: Stitch's documentation, "include_schemas_in_destination_stream_name".
    """
    if not has_schema_prefix(source_properties):
        return stream_name
    return None if schema_name is None else f"{schema_name}__{stream_name}"


def has_schema_prefix(source_properties: Mapping[str, Any]) -> bool:
    """Return whether a source's table names in the destination are prefixed with the schema's name."""
    return str(source_properties.get("include_schemas_in_destination_stream_name")).lower() == "true"


def source_table(
    source_type: str | None,
    properties: Mapping[str, Any],
    database: str | None,
    schema: str | None,
    table: str,
) -> Table | None:
    """Return the table from which Stitch extracts a stream of a database source.

    :param source_type: Stitch's name for the type of the source, such as `platform.hp-postgres`.
    :param properties: the source's properties, such as `host`, `port`, and `dbname` or `database`.
    :param database: `database-name` from the stream's metadata.
    :param schema: `schema-name` from the stream's metadata.
    """
    dialect = _DATABASES.get((source_type or "").removeprefix("platform.").removeprefix("hp-"))
    given = _Properties(properties)
    host = _host(given)
    if dialect is None or host is None:
        return None
    scheme, port = dialect
    server = f"{scheme}://{host}:{_port(given, port)}"
    database = database or given.get("dbname") or given.get("database")
    parts: list[str | None]
    if scheme in ("mysql", "mongodb"):  # sources of these types have databases, but no schemas
        parts = [database or schema, table]
    elif scheme == "oracle":
        parts = [given.get("sid") or database, schema, table]
    else:
        parts = [database, schema, table]
    return _table(server, parts)


def column_name(destination_type: str | None, field: str) -> str:
    """Return the name of the column into which Stitch loads a field."""
    if destination_type == "snowflake":
        return _letters_first(field).upper()
    if destination_type in ("redshift", "panoply"):
        return _letters_first(field).lower()
    if destination_type in ("bigquery_v2", "databricks_delta"):
        return _underscores(field).lower()
    return _letters_first(field) if destination_type == "postgres" else field


# The URI scheme and default port for each source type, without the prefixes `platform.` and `hp-`.
_DATABASES = {
    **dict.fromkeys(("postgres", "heroku_pg", "cloudsql-pg", "cloudsql_pg", "aurora-pg"), ("postgres", 5432)),
    **dict.fromkeys(("mysql", "mariadb", "aurora", "cloudsql", "cloudsql-mysql"), ("mysql", 3306)),
    "mssql": ("sqlserver", 1433),
    "oracle": ("oracle", 1521),
    "mongodb": ("mongodb", 27017),
}


class _Properties:
    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = properties

    def get(self, name: str) -> str | None:
        """Return a property as a string, or None if it is missing or empty."""
        value = self._properties.get(name)
        return (str(value).strip() or None) if isinstance(value, (str, int)) else None


# --- Destinations ---------------------------------------------------------------------------------------


def _snowflake(properties: _Properties, schema: str, table: str) -> Table | None:
    host = _host(properties)
    if host is None:
        return None
    account = _snowflake_account(host.removesuffix(".snowflakecomputing.com").removesuffix(".privatelink"))
    parts = [properties.get("database"), schema, _letters_first(table)]
    return _table(f"snowflake://{account}", [part and part.upper() for part in parts])


def _snowflake_account(account: str) -> str:
    """Return a Snowflake account name in OpenLineage's form: `organization-name` or `locator.region.cloud`.

    Source: `fix_account_name` of openlineage-integration-common.
    """
    identifier, *others = account.split(".")
    if "-" in identifier:
        return identifier
    region, cloud, *_ = [*others, *("us-west-1", "aws")[len(others) :]]
    return f"{identifier}.{region}.{cloud}"


def _redshift(properties: _Properties, schema: str, table: str) -> Table | None:
    host = _host(properties)
    if host is None:
        return None
    labels = host.split(".")
    is_cluster = host.endswith(".amazonaws.com") and len(labels) == 6
    port = _port(properties, 5439)
    database = properties.get("database")
    parts = [database and database.lower(), schema.lower(), _letters_first(table).lower()]
    # The asset converter of Airflow's Amazon provider expects the full host name, unlike its SQL hook.
    return _table(
        f"redshift://{f'{labels[0]}.{labels[2]}' if is_cluster else host}:{port}",
        parts,
        server_in_uri=f"redshift://{host}:{port}",
    )


def _bigquery(properties: _Properties, schema: str, table: str) -> Table | None:
    parts = [properties.get("project_id"), schema.lower(), _underscores(table).lower()]
    return _table("bigquery", parts, server_in_uri="bigquery:/")


def _postgres(properties: _Properties, schema: str, table: str) -> Table | None:
    return _on_server(
        "postgres", "5432", properties, [properties.get("database"), schema, _letters_first(table)]
    )


def _databricks(properties: _Properties, schema: str, table: str) -> Table | None:
    # The URL may contain a token in its user part or in an option, so only the host and the catalog are used.
    url = properties.get("jdbc_url") or properties.get("jdbc") or ""
    server, *options = url.split(";")
    host = re.fullmatch(r"(?:jdbc:)?\w+://(?:[^@]*@)?([A-Za-z0-9.-]+)(?:[:/][^@]*)?", server, re.IGNORECASE)
    if host is None:
        return None
    values = dict(option.strip().lower().partition("=")[::2] for option in options)
    catalog = values.get("conncatalog") or "hive_metastore"
    parts: list[str | None] = [catalog, schema.lower(), _underscores(table).lower()]
    return _table(f"databricks://{host[1].lower()}", parts)


def _sql_server(properties: _Properties, schema: str, table: str) -> Table | None:
    parts = [properties.get("database"), schema.lower(), table.lower()]
    return _on_server("sqlserver", "1433", properties, parts)


def _azure_synapse(properties: _Properties, schema: str, table: str) -> Table | None:
    return _on_server("sqlserver", "1433", properties, [schema.lower(), table.lower()])


def _mysql(properties: _Properties, schema: str, table: str) -> Table | None:
    return _on_server("mysql", "3306", properties, [schema.lower(), table.lower()])


def _s3(properties: _Properties, schema: str, table: str) -> Table | None:
    """Return the key prefix that all objects of a stream share. The rest of a key differs between loads."""
    bucket, form = properties.get("s3_bucket"), properties.get("s3_key_format_string") or ""
    constant = re.match(r"(?:[^\[]|\[(?:integration|table)_name\])*", form)
    if bucket is None or constant is None or "[table_name]" not in constant[0]:
        return None
    prefix = constant[0].replace("[integration_name]", schema).replace("[table_name]", table).strip("/")
    return Table(f"s3://{bucket}", prefix, f"s3://{bucket}/{quote(prefix)}")


_DESTINATIONS: dict[str, Callable[[_Properties, str, str], Table | None]] = {
    "snowflake": _snowflake,
    "redshift": _redshift,
    "panoply": _redshift,  # Panoply operates a Redshift database
    "bigquery_v2": _bigquery,
    "postgres": _postgres,
    "databricks_delta": _databricks,
    "mssql_server": _sql_server,
    "azure_sqldw": _azure_synapse,
    "mysql_destination": _mysql,
    "s3": _s3,
    # data.world is omitted, because its tables have no names that other tools could use.
}


# --- Names ----------------------------------------------------------------------------------------------


# A host name or an IPv6 address in brackets, each with an optional port, or an IPv6 address without brackets.
_HOST = re.compile(r"(?P<name>[\w.-]+|\[[\da-fA-F:.]+\])(?::\d+)?|(?P<address>[\da-fA-F]*:[\da-fA-F:.]+)")


def _host(properties: _Properties) -> str | None:
    """Return the host name in lower case, without other parts of a URL, such as a password.

    If the remaining text is not a host name, return None, because the text may contain a secret.
    """
    # Everything up to the last `@` may belong to a password.
    address = (properties.get("host") or "").rpartition("://")[2].rpartition("@")[2].partition("/")[0]
    found = _HOST.fullmatch(address)
    return None if found is None else (found["name"] or found["address"]).lower()


def _port(properties: _Properties, default: int | str) -> str:
    port = properties.get("port") or ""
    return port if port.isdecimal() else str(default)


def _on_server(
    scheme: str, default_port: str, properties: _Properties, parts: list[str | None]
) -> Table | None:
    host = _host(properties)
    return None if host is None else _table(f"{scheme}://{host}:{_port(properties, default_port)}", parts)


def _table(server: str, parts: list[str | None], *, server_in_uri: str | None = None) -> Table | None:
    """Return a table, or None if a part of its name is unknown."""
    known = [part for part in parts if part]
    if len(known) < len(parts):
        return None
    path = "/".join(quote(part, safe="") for part in known)
    return Table(server, ".".join(known), f"{server_in_uri or server}/{path}")


def _letters_first(name: str) -> str:
    """Remove special characters from a name, and leading characters that are not letters."""
    return re.sub(r"^[^A-Za-z]+|[^A-Za-z0-9_]", "", name)


def _underscores(name: str) -> str:
    """Replace special characters with underscores, and prefix a leading digit with an underscore."""
    return re.sub(r"^(?=\d)", "_", re.sub(r"[^A-Za-z0-9_]", "_", name))
