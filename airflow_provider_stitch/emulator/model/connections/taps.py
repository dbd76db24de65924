"""Table names and row counters of taps, by source type.

The rules in this module are from the code of the open-source taps. The behavior of taps for version-2
databases (``hp-*``) is not known.
"""

from __future__ import annotations

from typing import Literal

CounterTags = Literal["endpoint", "table", "nothing"]
Prefix = Literal["schema", "database", "tap_stream_id"]

_PREFIXES: dict[str, Prefix] = {"postgres": "schema", "mongodb": "database", "mssql": "tap_stream_id"}
_COUNTER_TAGS: dict[str, CounterTags] = {"mysql": "table", "oracle": "nothing", "postgres": "nothing"}
_TAPS_WITHOUT_COUNTERS = frozenset({"mongodb", "mssql", "s3-csv", "shopify"})


def is_version_2(type_name: str) -> bool:
    """Return whether a source type is a version-2 database, which uses the Avro target."""
    return _short_name(type_name).startswith("hp-")


def prefix_of_tables(type_name: str) -> Prefix | None:
    """Return the prefix of table names if ``include_schemas_in_destination_stream_name`` is set."""
    return _PREFIXES.get(_short_name(type_name))


def counter_tags(type_name: str) -> CounterTags:
    """Return the tags of the tap's row counters. The tags contain an endpoint, a table, or nothing."""
    return _COUNTER_TAGS.get(_short_name(type_name), "endpoint")


def counts_rows(type_name: str, *, log_based: bool) -> bool:
    """Return whether the tap of a source type writes row counters for a stream."""
    name = _short_name(type_name)
    return name not in _TAPS_WITHOUT_COUNTERS and not (name == "mysql" and log_based)


def _short_name(type_name: str) -> str:
    return type_name.removeprefix("platform.")
