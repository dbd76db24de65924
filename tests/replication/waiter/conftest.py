"""A fixture for a source that has streams with rows and a stream without rows."""

from __future__ import annotations

import pytest


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})
