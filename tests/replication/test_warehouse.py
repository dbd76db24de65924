"""Test the names of warehouse tables, and compare them with names from OpenLineage's own classes."""

from __future__ import annotations

import pytest
from openlineage.client.naming import dataset as naming
from openlineage.common.provider.snowflake import fix_account_name

from airflow_provider_stitch.replication.warehouse import (
    column_name,
    destination_table,
    source_table,
    table_name,
)

SNOWFLAKE = {"host": "acme-prod.snowflakecomputing.com", "port": "443", "database": "raw"}
REDSHIFT = {"host": "dwh.abc123.eu-central-1.redshift.amazonaws.com", "port": "5439", "database": "raw"}
POSTGRES = {"host": "PG.acme.example", "port": "5432", "database": "Staging"}
DATABRICKS = {
    "jdbc_url": "jdbc:spark://dbc-1.cloud.databricks.com:443/default;transportMode=http;ssl=1;"
    "httpPath=sql/protocolv1/o/0/1;AuthMech=3;UID=token;PWD=dapi0123456789abcdef"
}
AZURE = {"host": "acme.database.windows.net", "port": "1433", "database": "dwh"}
MYSQL = {"host": "mysql.acme.example", "port": "3307"}
S3 = {
    "s3_bucket": "acme-stitch",
    "s3_key_format_string": "[integration_name]/[table_name]/[table_version].csv",
}

DESTINATIONS = [
    pytest.param(
        ("snowflake", SNOWFLAKE, "github", "commits"),
        ("snowflake://acme-prod", "RAW.GITHUB.COMMITS", "snowflake://acme-prod/RAW/GITHUB/COMMITS"),
        naming.Snowflake("acme", "prod", "RAW", "GITHUB", "COMMITS"),
        id="snowflake",
    ),
    pytest.param(
        ("snowflake", {**SNOWFLAKE, "host": "xy12345.us-east-1.snowflakecomputing.com"}, "a", "b"),
        ("snowflake://xy12345.us-east-1.aws", "RAW.A.B", "snowflake://xy12345.us-east-1.aws/RAW/A/B"),
        None,
        id="snowflake, account locator",
    ),
    pytest.param(
        ("redshift", {**REDSHIFT, "database": "RAW"}, "shop", "Orders"),
        (
            "redshift://dwh.eu-central-1:5439",
            "raw.shop.orders",
            "redshift://dwh.abc123.eu-central-1.redshift.amazonaws.com:5439/raw/shop/orders",
        ),
        naming.Redshift("dwh", "eu-central-1", "5439", "raw", "shop", "orders"),
        id="redshift",
    ),
    pytest.param(
        ("panoply", {"host": "db.panoply.io", "port": "5439", "database": "acme"}, "shop", "Orders"),
        (
            "redshift://db.panoply.io:5439",
            "acme.shop.orders",
            "redshift://db.panoply.io:5439/acme/shop/orders",
        ),
        None,
        id="panoply",
    ),
    pytest.param(
        ("bigquery_v2", {"project_id": "acme-dwh"}, "shop", "Order Items"),
        ("bigquery", "acme-dwh.shop.order_items", "bigquery://acme-dwh/shop/order_items"),
        naming.BigQuery("acme-dwh", "shop", "order_items"),
        id="bigquery",
    ),
    pytest.param(
        ("postgres", POSTGRES, "github", "Pull#Requests"),
        (
            "postgres://pg.acme.example:5432",
            "Staging.github.PullRequests",
            "postgres://pg.acme.example:5432/Staging/github/PullRequests",
        ),
        naming.Postgres("pg.acme.example", "5432", "Staging", "github", "PullRequests"),
        id="postgres keeps the case",
    ),
    pytest.param(
        ("databricks_delta", DATABRICKS, "shop", "4Orders"),
        (
            "databricks://dbc-1.cloud.databricks.com",
            "hive_metastore.shop._4orders",
            "databricks://dbc-1.cloud.databricks.com/hive_metastore/shop/_4orders",
        ),
        None,
        id="databricks",
    ),
    pytest.param(
        (
            "databricks_delta",
            {"jdbc_url": "jdbc:databricks://h:443/default;ConnCatalog=Main-EU;PWD=x"},
            "shop",
            "orders",
        ),
        ("databricks://h", "main-eu.shop.orders", "databricks://h/main-eu/shop/orders"),
        None,
        id="databricks with a catalog",
    ),
    pytest.param(
        ("mssql_server", AZURE, "shop", "Orders"),
        (
            "sqlserver://acme.database.windows.net:1433",
            "dwh.shop.orders",
            "sqlserver://acme.database.windows.net:1433/dwh/shop/orders",
        ),
        None,
        id="mssql",
    ),
    pytest.param(
        ("azure_sqldw", AZURE, "shop", "Orders"),
        (
            "sqlserver://acme.database.windows.net:1433",
            "shop.orders",
            "sqlserver://acme.database.windows.net:1433/shop/orders",
        ),
        naming.AzureSynapse("acme.database.windows.net", "1433", "shop", "orders"),
        id="azure synapse",
    ),
    pytest.param(
        ("mysql_destination", MYSQL, "shop", "Orders"),
        ("mysql://mysql.acme.example:3307", "shop.orders", "mysql://mysql.acme.example:3307/shop/orders"),
        naming.MySQL("mysql.acme.example", "3307", "shop", "orders"),
        id="mysql",
    ),
    pytest.param(
        ("s3", S3, "shop", "Orders"),
        ("s3://acme-stitch", "shop/Orders", "s3://acme-stitch/shop/Orders"),
        naming.S3("acme-stitch", "shop/Orders"),
        id="s3, prefix of the keys",
    ),
]


@pytest.mark.parametrize(("arguments", "expected", "official"), DESTINATIONS)
def test_table_in_a_destination(arguments, expected, official):
    table = destination_table(*arguments)

    assert (table.namespace, table.name, table.uri) == expected
    if official is not None:
        assert (table.namespace, table.name) == (official.get_namespace(), official.get_name())


@pytest.mark.parametrize("account", ["acme-prod", "xy12345", "xy12345.eu-west-1", "xy12345.east-us-2.azure"])
def test_snowflake_account_is_the_one_of_openlineage(account):
    table = destination_table(
        "snowflake", {**SNOWFLAKE, "host": f"{account}.snowflakecomputing.com"}, "shop", "orders"
    )

    assert table.namespace == f"snowflake://{fix_account_name(account)}"


@pytest.mark.parametrize(
    ("destination_type", "properties"),
    [
        pytest.param("dataworld", {"account_id": "acme"}, id="data.world has no tables"),
        pytest.param("new_type", POSTGRES, id="unknown type"),
        pytest.param(None, POSTGRES, id="no type"),
        pytest.param("postgres", {"host": "pg"}, id="no database"),
        pytest.param("postgres", {"database": "a"}, id="no host"),
        pytest.param("snowflake", {"database": "a"}, id="snowflake without host"),
        pytest.param("bigquery_v2", {"project_id": ""}, id="empty project"),
        pytest.param("databricks_delta", {"jdbc_url": "nonsense"}, id="URL without host"),
        pytest.param(
            "databricks_delta", {"jdbc_url": "jdbc:spark://my_host;PWD=//dapi1"}, id="URL after invalid host"
        ),
        pytest.param("postgres", {"host": "pg;PWD=dapi1", "database": "a"}, id="options in the host"),
        pytest.param("postgres", {"host": "pg?password=dapi1", "database": "a"}, id="query in the host"),
        pytest.param(
            "s3", {"s3_bucket": "b", "s3_key_format_string": "[new]/[table_name]"}, id="s3, unknown part"
        ),
        pytest.param(
            "s3", {"s3_bucket": "b", "s3_key_format_string": "[table_version]/[table_name]"}, id="s3"
        ),
        pytest.param("s3", {"s3_bucket": "b"}, id="s3 without format"),
    ],
)
def test_unknown_table_has_no_name(destination_type, properties):
    assert destination_table(destination_type, properties, "shop", "orders") is None


@pytest.mark.parametrize(
    ("destination_type", "properties"),
    [
        pytest.param("databricks_delta", DATABRICKS, id="option of the URL"),
        pytest.param(
            "databricks_delta", {"jdbc_url": "jdbc:spark://token:dapi1@h:443"}, id="user of the URL"
        ),
        pytest.param("databricks_delta", {"jdbc_url": "jdbc:spark://dapi1@h"}, id="token of the URL"),
        pytest.param("databricks_delta", {"jdbc_url": "jdbc:spark://dapi1/x@h"}, id="slash in the token"),
        pytest.param("postgres", {"host": "postgres://u:dapi1@pg:5432/x", "database": "a"}, id="URL as host"),
        pytest.param("postgres", {"host": "u:a:dapi1/x@pg", "database": "a"}, id="slash in the password"),
        pytest.param("postgres", {"host": "pg", "port": "5432;PWD=dapi1", "database": "a"}, id="port"),
    ],
)
def test_name_contains_no_secret_of_the_destination(destination_type, properties):
    table = destination_table(destination_type, properties, "shop", "orders")

    assert table is not None
    assert "dapi" not in repr(table)
    assert table.namespace in (
        "databricks://dbc-1.cloud.databricks.com",
        "databricks://h",
        "postgres://pg:5432",
    )


@pytest.mark.parametrize(
    ("stream", "schema", "properties", "expected"),
    [
        pytest.param("orders", "public", {}, "orders", id="without the option"),
        pytest.param(
            "orders",
            "public",
            {"include_schemas_in_destination_stream_name": "true"},
            "public__orders",
            id="with",
        ),
        pytest.param(
            "orders", None, {"include_schemas_in_destination_stream_name": True}, None, id="unknown schema"
        ),
        pytest.param(
            "orders", "a", {"include_schemas_in_destination_stream_name": "false"}, "orders", id="turned off"
        ),
    ],
)
def test_schema_is_part_of_the_name_only_if_the_source_has_that_option(stream, schema, properties, expected):
    assert table_name(stream, schema, properties) == expected


@pytest.mark.parametrize(
    ("destination_type", "expected"),
    [
        ("snowflake", "ORDERID"),
        ("redshift", "orderid"),
        ("postgres", "OrderId"),
        ("bigquery_v2", "order_id"),
        ("databricks_delta", "order_id"),
        ("s3", "Order Id"),
    ],
)
def test_column_follows_the_rules_of_the_destination(destination_type, expected):
    assert column_name(destination_type, "Order Id") == expected


@pytest.mark.parametrize(
    ("source_type", "properties", "metadata", "expected"),
    [
        pytest.param(
            "platform.hp-postgres",
            {"host": "pg", "port": "6543", "dbname": "x"},
            ("shopdb", "public"),
            ("postgres://pg:6543", "shopdb.public.orders"),
            id="postgres",
        ),
        pytest.param(
            "platform.postgres",
            {"host": "pg", "dbname": "shopdb"},
            (None, "public"),
            ("postgres://pg:5432", "shopdb.public.orders"),
            id="database of the properties",
        ),
        pytest.param(
            "platform.mysql", {"host": "m"}, ("shop", None), ("mysql://m:3306", "shop.orders"), id="mysql"
        ),
        pytest.param(
            "platform.mssql",
            {"host": "s", "port": 1433},
            ("shop", "dbo"),
            ("sqlserver://s:1433", "shop.dbo.orders"),
            id="mssql",
        ),
        pytest.param(
            "platform.oracle",
            {"host": "o", "sid": "XE"},
            (None, "SHOP"),
            ("oracle://o:1521", "XE.SHOP.orders"),
            id="oracle",
        ),
        pytest.param(
            "platform.mongodb",
            {"host": "m", "database": "admin"},
            ("shop", None),
            ("mongodb://m:27017", "shop.orders"),
            id="mongodb",
        ),
        pytest.param(
            "platform.postgres",
            {"host": "[2001:DB8::1]:5432", "dbname": "a"},
            (None, "public"),
            ("postgres://[2001:db8::1]:5432", "a.public.orders"),
            id="IPv6 with port",
        ),
        pytest.param("platform.postgres", {"host": "pg"}, (None, "public"), None, id="unknown database"),
        pytest.param("platform.postgres", {"dbname": "a"}, (None, "public"), None, id="unknown host"),
        pytest.param("platform.sftp", {"host": "a"}, (None, None), None, id="no database"),
    ],
)
def test_table_in_a_database_source(source_type, properties, metadata, expected):
    table = source_table(source_type, properties, *metadata, "orders")

    assert (table and (table.namespace, table.name)) == expected
