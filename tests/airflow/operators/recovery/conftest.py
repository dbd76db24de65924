"""Fixtures for a source, and for the context of a task that runs without a DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.interrupted_runs import FakeTaskInstance, FakeTaskStateStore

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator


@pytest.fixture
def context() -> dict[str, Any]:
    """Return a task context with stored values that the task's next try can also read."""
    return {"ti": FakeTaskInstance(), "task_state_store": FakeTaskStateStore()}


@pytest.fixture
def github(airflow_database: None, stitch: StitchEmulator) -> int:
    """Add a source with one stream."""
    return stitch.add_source("github", streams={"commits": 120})
