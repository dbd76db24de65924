"""A mark for tests that need Airflow to store the state of a task for the next try."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.triggers.versions import RELEASE

STORES_TASK_STATE = pytest.mark.skipif(RELEASE < (3, 3), reason="Airflow stores task state since 3.3")
