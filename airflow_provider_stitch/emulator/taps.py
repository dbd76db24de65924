"""How the taps of each type of source name their tables, and which counters they write.

Source: the open-source taps. What the taps of version-2 databases (``hp-*``) do is not known.
"""

from __future__ import annotations

from typing import Literal

CounterTags = Literal["endpoint", "table", "nothing"]
Prefix = Literal["schema", "database", "tap_stream_id"]

_PREFIXES: dict[str, Prefix] = {"postgres": "schema", "mongodb": "database", "mssql": "tap_stream_id"}
_COUNTER_TAGS: dict[str, CounterTags] = {"mysql": "table", "oracle": "nothing", "postgres": "nothing"}
_TAPS_WITHOUT_COUNTERS = frozenset({"mongodb", "mssql", "s3-csv", "shopify"})


def is_version_2(type_name: str) -> bool:
    """Return whether a source type is a version-2 database, which sends its rows through the Avro target."""
    return _bare(type_name).startswith("hp-")


def prefix_of_tables(type_name: str) -> Prefix | None:
    """Return what precedes a table's name if ``include_schemas_in_destination_stream_name`` is set."""
    return _PREFIXES.get(_bare(type_name))


def counter_tags(type_name: str) -> CounterTags:
    """Return what the tap's counters name: the stream as an endpoint, its table, or nothing."""
    return _COUNTER_TAGS.get(_bare(type_name), "endpoint")


def counts(type_name: str, *, log_based: bool) -> bool:
    """Return whether the tap of a source type counts the rows of a stream."""
    bare = _bare(type_name)
    return bare not in _TAPS_WITHOUT_COUNTERS and not (bare == "mysql" and log_based)


def _bare(type_name: str) -> str:
    return type_name.removeprefix("platform.")
