"""The documented properties of all source and destination types, and sample requests that contain them.

The file `tests/fixtures/connector_properties.json` follows the tables and report cards in Stitch's
documentation. The file does not depend on the emulator's code, so a test can compare the emulator with the
file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[1] / "fixtures"
CONNECTORS: dict[str, Any] = json.loads((FIXTURES / "connector_properties.json").read_text("utf-8"))
DESTINATIONS: dict[str, dict[str, str]] = CONNECTORS["destinations"]
SOURCES: dict[str, dict[str, str]] = CONNECTORS["sources"]
REPORT_CARDS: dict[str, dict[str, dict[str, Any]]] = CONNECTORS["report_cards"]

#: Valid values for properties with a documented format.
_VALUES: dict[str, Any] = {
    "host": "db.acme.example",
    "port": "5432",
    "start_date": "2025-01-01T00:00:00Z",
    "encryption_type": "none",
    "output_file_format": "csv",
    "include_schemas_in_destination_stream_name": "false",
    "frequency_in_minutes": "60",
}
_VALUES_BY_TYPE: dict[str, Any] = {
    "array": ["one"],
    "boolean": True,
    "integer": "7",
    "object": {"name": "value"},
    "string": "value",
    "string/integer": "7",
}


def required_values(properties: dict[str, str]) -> dict[str, Any]:
    """Return a valid value for each property that a source or destination type requires."""
    values = {}
    for name, words in properties.items():
        requirement, kind, *flags = words.split()
        if requirement == "required" and not flags:
            values[name] = _VALUES.get(name, _VALUES_BY_TYPE[kind])
    return values
