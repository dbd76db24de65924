"""Test that OpenLineage's settings determine whether a task requests the lineage of its source."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_stitch.lineage import is_enabled
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

TRANSPORT = json.dumps({"type": "console"})


def requests_of_a_run(airflow: Any, stitch: StitchEmulator) -> list[str]:
    """Run a task, and return the paths of the requests that the task sends only for lineage."""
    source = stitch.add_source(f"shop_{len(stitch.requests)}", streams={"orders": 1})
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="replicate", source=str(source), load_settle=0)
    assert airflow.run(dag).state == "success"
    wanted = (f"/v4/sources/{source}/streams/", f"/v4/destinations?source_id={source}")
    return [request.path for request in stitch.requests if request.path.startswith(wanted)]


def test_lineage_is_requested_only_if_openlineage_is_configured(
    airflow: Any, stitch: StitchEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert requests_of_a_run(airflow, stitch) == []

    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", TRANSPORT)
    assert len(requests_of_a_run(airflow, stitch)) == 2

    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__DISABLED", "True")
    assert requests_of_a_run(airflow, stitch) == []


def test_lineage_is_off_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    task = StitchRunReplicationJobOperator(task_id="a", source="b")
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", TRANSPORT)
    assert is_enabled(task) is True

    for name in [name for name in sys.modules if name.startswith("airflow.providers.openlineage")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", None)
    assert is_enabled(task) is False


@pytest.fixture(params=["release with policies", "earlier release"])
def openlineage_release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: with the installed OpenLineage, and as if OpenLineage had no emission policies."""
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", TRANSPORT)
    if request.param == "earlier release":
        monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.utils.emission_policy", None)


@pytest.mark.usefixtures("openlineage_release")
def test_lineage_is_off_for_operators_that_are_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = "airflow_provider_stitch.operators.run_job.StitchRunReplicationJobOperator"
    task = StitchRunReplicationJobOperator(task_id="a", source="b")
    assert is_enabled(task) is True

    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__DISABLED_FOR_OPERATORS", operator)
    assert is_enabled(task) is False


@pytest.mark.usefixtures("openlineage_release")
def test_lineage_is_off_for_tasks_that_are_not_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.openlineage.utils.selective_enable import disable_lineage, enable_lineage

    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE", "True")

    def task() -> Any:
        return StitchRunReplicationJobOperator(task_id="a", source="b")

    assert is_enabled(task()) is False
    assert is_enabled(disable_lineage(task())) is False
    assert is_enabled(enable_lineage(task())) is True


@pytest.mark.parametrize(
    ("controls", "expected"),
    [({"emit": False}, False), ({"extract_operator_metadata": False}, False), ({"emit": True}, True)],
)
def test_lineage_follows_the_emission_policy(
    monkeypatch: pytest.MonkeyPatch, controls: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", TRANSPORT)
    # the emission policy takes precedence over this setting
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE", str(expected))
    monkeypatch.setenv(
        "AIRFLOW__OPENLINEAGE__EMISSION_POLICY", json.dumps([{"scope": {}, "controls": controls}])
    )

    assert is_enabled(StitchRunReplicationJobOperator(task_id="a", source="b")) is expected


def test_task_with_an_invalid_transport_succeeds(
    airflow: Any, stitch: StitchEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", "{not json")

    assert requests_of_a_run(airflow, stitch) == []
