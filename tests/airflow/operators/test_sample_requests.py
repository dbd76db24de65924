"""Test that operators create sources and destinations of all documented types only once.

The tests execute the operators without a DAG, because that is much faster.
"""

from __future__ import annotations

import pytest

from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
)
from tests.support.documented import DESTINATIONS, SOURCES, required_values
from tests.support.setup_runs import requests_of
from tests.support.setup_without_dag import execute

#: A selection of source types with different kinds of properties and different configuration steps.
SOURCE_TYPES = [
    "import_api",
    "platform.closeio",
    "platform.github",
    "platform.hp-mysql",
    "platform.hp-postgres",
    "platform.hubspot",
    "platform.mongodb",
    "platform.mssql",
    "platform.s3-csv",
    "platform.salesforce",
    "platform.shopify",
    "platform.zendesk",
]


def divide(values):
    """Divide values into those for the argument `properties` and those for the argument `credentials`."""
    names = {name for name in values if name in ("password", "access_token", "sentinel_key", "api_key")}
    return (
        {name: value for name, value in values.items() if name not in names},
        {name: value for name, value in values.items() if name in names},
    )


@pytest.mark.parametrize("destination_type", DESTINATIONS)
def test_destination_of_each_type_is_created_and_then_left_unchanged(stitch, destination_type):
    stitch.delete_destinations()
    properties, credentials = divide(required_values(DESTINATIONS[destination_type]))

    def run(number):
        operator = StitchCreateDestinationOperator(
            task_id="task",
            destination_type=destination_type,
            name="Warehouse",
            properties=properties,
            credentials=credentials,
            poll_interval=0.001,
        )
        return execute(operator, number)

    first, second = run(1), run(2)

    assert (first["created"], first["missing_properties"]) == (True, {})
    assert (second["created"], second["changed"]) == (False, [])
    assert requests_of(stitch, "PUT") == []


@pytest.mark.parametrize("source_type", SOURCE_TYPES)
def test_source_of_each_type_is_created_and_then_left_unchanged(stitch, source_type):
    properties, credentials = divide(required_values(SOURCES[source_type]))

    def run(number):
        operator = StitchCreateSourceOperator(
            task_id="task",
            source_type=source_type,
            display_name="Source",
            properties=properties,
            credentials=credentials,
        )
        return execute(operator, number)

    first, second = run(1), run(2)

    assert first["created"]
    assert set(first["missing_properties"]) <= {"oauth", "profile"}
    assert (second["created"], second["changed"]) == (False, [])
    assert requests_of(stitch, "PUT") == []
