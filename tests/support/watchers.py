"""Pytest marks for tests that require an Airflow version with, or without, support for watchers."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.triggers.versions import HAS_SHARED_STREAMS

HAS_WATCHERS = pytest.mark.skipif(not HAS_SHARED_STREAMS, reason="watchers and the receiver need Airflow 3.3")
HAS_NO_WATCHERS = pytest.mark.skipif(HAS_SHARED_STREAMS, reason="Airflow 3.3 and later have watchers")
