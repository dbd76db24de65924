"""Test which conditions prevent a wait from finishing."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import CannotFinish, DeletedSource
from airflow_provider_stitch.connect.objects import Destination
from airflow_provider_stitch.replication.rules.preconditions import schedule_blocker, start_blocker
from tests.support.builders import source

DAY = "2026-08-01T00:00:00Z"
WAREHOUSE = Destination.from_json({"id": 1, "name": "warehouse", "type": "postgres"})
DELETED_WAREHOUSE = Destination.from_json(
    {"id": 1, "name": "warehouse", "type": "postgres", "deleted_at": DAY}
)


@pytest.mark.parametrize(
    ("the_source", "destinations"),
    [
        pytest.param(source(1, "a"), [WAREHOUSE], id="fully configured"),
        pytest.param(source(1, "a", step=None), [WAREHOUSE], id="an old source without a step"),
        pytest.param(source(1, "a", paused_at=DAY), [WAREHOUSE], id="paused, but started by a task"),
    ],
)
def test_start_blocker_is_none_if_a_job_can_finish(the_source, destinations):
    assert start_blocker(the_source, destinations) is None


@pytest.mark.parametrize(
    ("the_source", "destinations", "kind", "message"),
    [
        pytest.param(source(1, "a", deleted_at=DAY), [WAREHOUSE], DeletedSource, "was deleted", id="deleted"),
        pytest.param(
            source(1, "a", step="field_selection"),
            [WAREHOUSE],
            CannotFinish,
            "Select at least one stream",
            id="no stream selected",
        ),
        pytest.param(
            source(1, "a", step="discover_schema"),
            [WAREHOUSE],
            CannotFinish,
            "connection check",
            id="no successful connection check",
        ),
        pytest.param(source(1, "a"), [], CannotFinish, "no destination", id="no destination"),
        pytest.param(
            source(1, "a"), [DELETED_WAREHOUSE], CannotFinish, "no destination", id="deleted destination"
        ),
        pytest.param(
            source(1, "a", type="import_api"), [WAREHOUSE], CannotFinish, "no jobs to start", id="import API"
        ),
        pytest.param(
            source(1, "a", type="webhook.x"), [WAREHOUSE], CannotFinish, "no jobs to start", id="webhook"
        ),
    ],
)
def test_start_blocker_names_the_reason_if_a_job_cannot_finish(the_source, destinations, kind, message):
    blocker = start_blocker(the_source, destinations)

    assert type(blocker) is kind
    assert message in str(blocker)
    assert "a (1)" in str(blocker)


@pytest.mark.parametrize("fields", [{"type": "import_api"}, {"step": "form"}])
def test_schedule_blocker_includes_the_reasons_against_a_start(fields):
    assert isinstance(schedule_blocker(source(1, "a", **fields), [WAREHOUSE]), CannotFinish)
    assert isinstance(schedule_blocker(source(1, "a"), []), CannotFinish)


@pytest.mark.parametrize("field", ["paused_at", "system_paused_at"])
def test_schedule_blocker_reports_a_paused_source(field):
    assert "paused" in str(schedule_blocker(source(1, "a", **{field: DAY}), [WAREHOUSE]))
    assert schedule_blocker(source(1, "a"), [WAREHOUSE]) is None
