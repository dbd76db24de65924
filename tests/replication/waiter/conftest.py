"""A source with one stream that has rows and one stream without rows."""

from __future__ import annotations

import pytest


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120, "issues": 0, "pulls": 7})
